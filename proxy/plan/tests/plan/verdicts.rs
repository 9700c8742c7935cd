//! Balance, refuse or drop: what becomes of a new connection at each kind of frontend.

use podway_cluster_model::builder::Change;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::TrafficPolicy::{self, Cluster, Local};
use podway_proxy_plan::plan::Origin;
use podway_proxy_plan::policy::{Policy, UnknownPorts};

use crate::support::*;

/// Both policies, each way.
const POLICIES: [(TrafficPolicy, TrafficPolicy); 4] =
    [(Cluster, Cluster), (Cluster, Local), (Local, Cluster), (Local, Local)];

#[test]
fn service_without_usable_endpoint_refuses_at_every_frontend_whatever_the_policy() {
    let rows = [
        ("no endpoint", vec![]),
        ("only a local endpoint that is not ready", vec![not_ready(here("10.244.1.5"))]),
        ("only a remote endpoint that is not ready", vec![not_ready(there("10.244.2.5"))]),
    ];
    for (row, endpoints) in rows {
        for (internal, external) in POLICIES {
            let world = World::web(web_with(internal, external), endpoints.clone());
            for destination in EXTERNAL.into_iter().chain([CLUSTER_IP]) {
                for source in SOURCES {
                    assert_eq!(
                        world.tcp(source, destination),
                        "reject",
                        "{row}, {internal:?}/{external:?}, {source} to {destination}"
                    );
                }
            }
        }
    }
}

#[test]
fn service_without_slices_refuses() {
    let world = World::new(policy(), [Change::Service(web())]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "reject");
    assert_eq!(world.tcp(OUTSIDE, NODE_PORT), "reject");
}

#[test]
fn internal_local_policy_without_local_endpoint_drops() {
    let rows = [
        ("ready elsewhere", there("10.244.2.5")),
        ("terminating elsewhere", terminating(there("10.244.2.5"))),
    ];
    for (row, endpoint) in rows {
        for external in [Cluster, Local] {
            let world = World::web(web_with(Local, external), vec![endpoint.clone()]);
            for source in SOURCES {
                assert_eq!(world.tcp(source, CLUSTER_IP), "drop", "{row}, from {source}");
            }
        }
    }
}

#[test]
fn internal_local_policy_uses_local_endpoints_only() {
    let endpoints = vec![here("10.244.1.5"), there("10.244.2.5"), here("10.244.1.6")];
    let world = World::web(web_with(Local, Cluster), endpoints);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.5:8080 10.244.1.6:8080");
}

#[test]
fn internal_policy_says_nothing_about_external_traffic() {
    let world = World::web(web_with(Local, Cluster), vec![there("10.244.2.5")]);
    for destination in EXTERNAL {
        assert_eq!(world.tcp(OUTSIDE, destination), "10.244.2.5:8080!", "{destination}");
    }
}

#[test]
fn external_policy_says_nothing_about_the_cluster_ip() {
    let world = World::web(web_with(Cluster, Local), vec![there("10.244.2.5")]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.5:8080");
}

#[test]
fn external_local_policy_without_local_endpoint_drops_what_comes_from_outside() {
    let rows = [
        ("ready elsewhere", there("10.244.2.5")),
        ("terminating elsewhere", terminating(there("10.244.2.5"))),
    ];
    for (row, endpoint) in rows {
        let world = World::web(web_with(Cluster, Local), vec![endpoint]);
        for destination in EXTERNAL {
            assert_eq!(world.tcp(OUTSIDE, destination), "drop", "{row}, {destination}");
        }
    }
}

#[test]
fn external_local_policy_without_local_endpoint_still_serves_pods_and_the_node() {
    let world = World::web(web_with(Cluster, Local), vec![there("10.244.2.5")]);
    for destination in EXTERNAL {
        assert_eq!(world.tcp(POD_HERE, destination), "10.244.2.5:8080", "{destination}");
        assert_eq!(world.tcp(NODE, destination), "10.244.2.5:8080!", "{destination}");
    }
}

#[test]
fn external_local_policy_uses_local_endpoints_for_what_comes_from_outside() {
    let endpoints = vec![here("10.244.1.5"), there("10.244.2.5")];
    let world = World::web(web_with(Cluster, Local), endpoints);
    for destination in EXTERNAL {
        assert_eq!(world.tcp(OUTSIDE, destination), "10.244.1.5:8080", "{destination}");
    }
}

#[test]
fn cluster_policy_uses_ready_endpoints_everywhere_and_none_other() {
    let endpoints = vec![
        here("10.244.1.5"),
        there("10.244.2.5"),
        not_ready(here("10.244.1.6")),
        terminating(there("10.244.2.6")),
    ];
    let world = World::web(web(), endpoints);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.5:8080 10.244.2.5:8080");
    for destination in EXTERNAL {
        assert_eq!(
            world.tcp(OUTSIDE, destination),
            "10.244.1.5:8080! 10.244.2.5:8080!",
            "{destination}"
        );
    }
}

#[test]
fn endpoint_on_an_unknown_node_is_not_local() {
    let mut endpoint = here("10.244.1.5");
    endpoint.node = None;
    let world = World::web(web_with(Local, Cluster), vec![endpoint]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "drop");
    assert_eq!(world.tcp(OUTSIDE, NODE_PORT), "10.244.1.5:8080!");
}

#[test]
fn what_no_service_names_is_untouched() {
    let world = World::web(web(), vec![here("10.244.1.5")]);
    let rows = [
        ("undefined port of an external address", "203.0.113.10:81"),
        ("unallocated ClusterIP", "10.96.0.11:80"),
        ("Service port at the node's address", "192.0.2.1:80"),
        ("node port of another node", "192.0.2.2:30080"),
    ];
    for (row, destination) in rows {
        assert_eq!(world.tcp(POD_HERE, destination), "untouched", "{row}");
    }
}

#[test]
fn port_that_a_cluster_ip_does_not_have_is_refused_unless_ignored() {
    let rows = [
        (Protocol::Tcp, "10.96.0.10:81", "undefined port"),
        (Protocol::Tcp, "10.96.0.10:30080", "node port at the ClusterIP"),
        (Protocol::Udp, CLUSTER_IP, "other protocol"),
    ];
    for (unknown_ports, verdict) in
        [(UnknownPorts::Reject, "reject"), (UnknownPorts::Ignore, "untouched")]
    {
        let policy = Policy { unknown_ports, ..policy() };
        let changes = [Change::Service(web()), web_slice(vec![here("10.244.1.5")])];
        let mut world = World::new(policy, changes);
        for (protocol, destination, row) in rows {
            assert_eq!(world.send(protocol, POD_HERE, destination), verdict, "{row}");
        }
        world.apply([Change::ServiceGone(service_name("default/web"))]);
        assert_eq!(world.tcp(POD_HERE, "10.96.0.10:81"), "untouched", "the Service is gone");
    }
}

#[test]
fn service_address_that_no_service_has_is_dropped() {
    let policy = Policy { service_cidrs: nets(&["10.96.0.0/16"]), ..policy() };
    let changes = [Change::Service(web()), web_slice(vec![here("10.244.1.5")])];
    let mut world = World::new(policy, changes);
    assert_eq!(world.tcp(POD_HERE, "10.96.0.11:80"), "drop");
    assert_eq!(world.tcp(POD_HERE, "10.97.0.11:80"), "untouched", "outside the range");
    assert_eq!(world.tcp(POD_HERE, "10.96.0.10:81"), "reject", "a Service has the address");
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.5:8080");
    world.apply([Change::ServiceGone(service_name("default/web"))]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "drop", "the Service is gone");
}

#[test]
fn source_ranges_guard_the_load_balancer_and_nothing_else() {
    let mut service = web();
    service.external.source_ranges = nets(&["198.51.100.0/24", "2001:db8::/32"]);
    let world = World::web(service, vec![here("10.244.1.5")]);
    let load_balancer = world
        .planner
        .plans()
        .flat_map(|plan| &plan.ports)
        .flat_map(|port| &port.frontends)
        .find(|frontend| frontend.origin == Origin::LoadBalancer)
        .map(|frontend| std::net::SocketAddr::new(frontend.key.address, 80).to_string())
        .unwrap();
    assert_eq!(world.tcp("198.51.100.7", &load_balancer), "10.244.1.5:8080!");
    assert_eq!(world.tcp("198.51.101.7", &load_balancer), "drop");
    assert_eq!(world.tcp(POD_HERE, &load_balancer), "drop", "pods are no exception");
    for open in [CLUSTER_IP, NODE_PORT] {
        assert_ne!(world.tcp("198.51.101.7", open), "drop", "{open}");
    }
}

#[test]
fn source_ranges_of_the_other_family_let_everybody_in() {
    let mut service = web();
    service.external.source_ranges = nets(&["2001:db8::/32"]);
    let world = World::web(service, vec![here("10.244.1.5")]);
    assert!(world.planner.plans().flat_map(|plan| &plan.ports).all(|port| port.sources.is_none()));
}

#[test]
fn guarded_load_balancer_without_endpoints_drops_before_it_refuses() {
    let mut service = web();
    service.external.source_ranges = nets(&["198.51.100.0/24"]);
    let world = World::web(service, vec![]);
    let guarded = EXTERNAL.iter().filter(|one| world.tcp("198.51.101.7", one) == "drop").count();
    assert_eq!(guarded, 1, "the load balancer's address and no other");
    for destination in EXTERNAL {
        assert_eq!(world.tcp("198.51.100.7", destination), "reject", "{destination}");
    }
}

#[test]
fn source_range_with_the_node_in_it_lets_the_load_balancers_own_address_in() {
    let mut service = web();
    service.external.source_ranges = nets(&["192.0.2.0/24"]);
    let world = World::web(service, vec![here("10.244.1.5")]);
    let port = world.planner.plans().flat_map(|plan| &plan.ports).next().unwrap();
    let frontend =
        port.frontends.iter().find(|frontend| frontend.origin == Origin::LoadBalancer).unwrap();
    assert!(port.lets_in(frontend, frontend.key.address));
    assert!(port.lets_in(frontend, ip("192.0.2.1")));
    assert!(!port.lets_in(frontend, ip(OUTSIDE)));
}

#[test]
fn deleted_service_leaves_no_frontend() {
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    world.apply([Change::ServiceGone(service_name("default/web"))]);
    for destination in EXTERNAL.into_iter().chain([CLUSTER_IP]) {
        assert_eq!(world.tcp(POD_HERE, destination), "untouched", "{destination}");
    }
    assert_eq!(world.planner.plans().count(), 0);
}

#[test]
fn every_protocol_is_balanced_and_refused_alike() {
    for protocol in Protocol::ALL {
        let mut service = web();
        service.ports[0].protocol = protocol;
        let mut endpoints = slice("default/web", "web-1", vec![there("10.244.2.5")]);
        endpoints.ports[0].protocol = protocol;
        let mut world = World::new(policy(), [Change::Service(service)]);
        assert_eq!(world.send(protocol, POD_HERE, CLUSTER_IP), "reject", "{protocol}");
        world.apply([Change::Slice(endpoints)]);
        assert_eq!(world.send(protocol, POD_HERE, CLUSTER_IP), "10.244.2.5:8080", "{protocol}");
    }
}
