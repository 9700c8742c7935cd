//! Balance, refuse or drop: what becomes of a new connection at each kind of frontend.

use podway_cluster_model::builder::Change;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::TrafficPolicy::{self, Cluster, Local};

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
        ("undefined port of a ClusterIP", "10.96.0.10:81"),
        ("undefined port of an external address", "203.0.113.10:81"),
        ("unallocated ClusterIP", "10.96.0.11:80"),
        ("Service port at the node's address", "192.0.2.1:80"),
        ("node port at the ClusterIP", "10.96.0.10:30080"),
        ("node port of another node", "192.0.2.2:30080"),
    ];
    for (row, destination) in rows {
        assert_eq!(world.tcp(POD_HERE, destination), "untouched", "{row}");
    }
    assert_eq!(world.send(Protocol::Udp, POD_HERE, CLUSTER_IP), "untouched", "other protocol");
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
