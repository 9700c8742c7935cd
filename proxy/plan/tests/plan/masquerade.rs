//! Whose source address is replaced by the node's.

use podway_cluster_model::builder::Change;
use podway_cluster_model::service::ServiceKind;
use podway_cluster_model::service::TrafficPolicy::{Cluster, Local};
use podway_proxy_plan::policy::Policy;

use crate::support::*;

#[test]
fn external_traffic_under_cluster_policy_is_always_masqueraded() {
    for (place, endpoint) in [("here", here("10.244.1.5")), ("there", there("10.244.1.5"))] {
        let world = World::web(web(), vec![endpoint]);
        for destination in EXTERNAL {
            for source in SOURCES {
                assert_eq!(
                    world.tcp(source, destination),
                    "10.244.1.5:8080!",
                    "endpoint {place}, {source} to {destination}"
                );
            }
        }
    }
}

#[test]
fn external_traffic_under_local_policy_takes_the_short_circuit_for_pods_and_the_node() {
    let endpoints = vec![here("10.244.1.5"), there("10.244.2.5")];
    let world = World::web(web_with(Cluster, Local), endpoints);
    let rows = [
        ("a pod keeps its address and reaches all", POD_HERE, "10.244.1.5:8080 10.244.2.5:8080"),
        ("a pod of another node likewise", POD_THERE, "10.244.1.5:8080 10.244.2.5:8080"),
        ("the node is masqueraded and reaches all", NODE, "10.244.1.5:8080! 10.244.2.5:8080!"),
        ("a client keeps its address and stays here", OUTSIDE, "10.244.1.5:8080"),
    ];
    for (row, source, expected) in rows {
        for destination in EXTERNAL {
            assert_eq!(world.tcp(source, destination), expected, "{row}, {destination}");
        }
    }
}

#[test]
fn node_address_inside_the_cluster_cidr_counts_as_a_pod() {
    let mut world = World::web(web_with(Cluster, Local), vec![there("10.244.2.5")]);
    world.planner.set_interfaces(vec![ip("10.244.1.1")]);
    world.apply([]);
    assert_eq!(world.tcp("10.244.1.1", LOAD_BALANCER), "10.244.2.5:8080");
}

#[test]
fn address_known_only_from_an_interface_counts_as_the_node() {
    let mut world = World::web(web_with(Cluster, Local), vec![there("10.244.2.5")]);
    assert_eq!(world.tcp("198.18.0.1", LOAD_BALANCER), "drop");
    world.planner.set_interfaces(vec![ip("198.18.0.1")]);
    world.apply([]);
    assert_eq!(world.tcp("198.18.0.1", LOAD_BALANCER), "10.244.2.5:8080!");
}

#[test]
fn without_cluster_cidr_pods_count_as_clients_from_outside() {
    let policy = Policy { cluster_cidrs: vec![], ..policy() };
    let endpoints = web_slice(vec![here("10.244.1.5"), there("10.244.2.5")]);
    let world = World::new(policy, [Change::Service(web_with(Cluster, Local)), endpoints]);
    assert_eq!(world.tcp(POD_HERE, LOAD_BALANCER), "10.244.1.5:8080");
}

#[test]
fn cluster_ip_masquerade_follows_the_operators_choice() {
    let off_cluster = policy();
    let always = Policy { masquerade_all: true, ..policy() };
    let never = Policy { cluster_cidrs: vec![], ..policy() };
    let always_without_cidr = Policy { masquerade_all: true, ..never.clone() };
    let v6_only = Policy { cluster_cidrs: nets(&["fd00:244::/32"]), ..policy() };
    let rows = [
        ("cluster CIDR: a pod keeps its address", &off_cluster, POD_HERE, false),
        ("cluster CIDR: so does one of another node", &off_cluster, POD_THERE, false),
        ("cluster CIDR: the node is masqueraded", &off_cluster, NODE, true),
        ("cluster CIDR: so is a routed client", &off_cluster, OUTSIDE, true),
        ("masquerade all: pods too", &always, POD_HERE, true),
        ("masquerade all: without CIDR too", &always_without_cidr, POD_HERE, true),
        ("no CIDR: a pod is not", &never, POD_HERE, false),
        ("no CIDR: the node is not", &never, NODE, false),
        ("no CIDR: a routed client is not", &never, OUTSIDE, false),
        ("no CIDR of this family: nobody is", &v6_only, OUTSIDE, false),
    ];
    for internal in [Cluster, Local] {
        for (row, policy, source, masqueraded) in rows {
            let service = Change::Service(web_with(internal, Cluster));
            let world = World::new(policy.clone(), [service, web_slice(vec![here("10.244.1.5")])]);
            let expected = if masqueraded { "10.244.1.5:8080!" } else { "10.244.1.5:8080" };
            assert_eq!(world.tcp(source, CLUSTER_IP), expected, "{row}, {internal:?}");
        }
    }
}

#[test]
fn each_family_has_its_own_cluster_cidr() {
    let mut service = web();
    service.kind = ServiceKind::ClusterIp(vec![ip("10.96.0.10"), ip("fd00:96::10")]);
    let policy = Policy { cluster_cidrs: nets(&["10.244.0.0/16"]), ..policy() };
    let v6 = slice("default/web", "web-v6", vec![there("fd00:244::5")]);
    let world = World::new(
        policy,
        [Change::Service(service), web_slice(vec![there("10.244.2.5")]), Change::Slice(v6)],
    );
    assert_eq!(world.tcp(OUTSIDE, CLUSTER_IP), "10.244.2.5:8080!");
    assert_eq!(world.tcp("2001:db8::7", "[fd00:96::10]:80"), "[fd00:244::5]:8080");
}

#[test]
fn only_the_first_cluster_cidr_of_a_family_counts() {
    let policy = Policy { cluster_cidrs: nets(&["10.244.0.0/16", "198.51.100.0/24"]), ..policy() };
    let world = World::new(policy, [Change::Service(web()), web_slice(vec![there("10.244.2.5")])]);
    assert_eq!(world.tcp(OUTSIDE, CLUSTER_IP), "10.244.2.5:8080!");
}

#[test]
fn pod_that_reaches_itself_is_masqueraded() {
    let endpoints = vec![here("10.244.1.5"), here("10.244.1.6"), there("10.244.2.5")];
    let world = World::web(web_with(Cluster, Local), endpoints);
    for destination in [CLUSTER_IP, LOAD_BALANCER] {
        assert_eq!(
            world.tcp("10.244.1.5", destination),
            "10.244.1.5:8080! 10.244.1.6:8080 10.244.2.5:8080",
            "{destination}"
        );
    }
}

#[test]
fn pod_of_another_node_is_not_masqueraded_on_the_way_to_itself() {
    let world = World::web(web(), vec![there("10.244.2.5")]);
    assert_eq!(world.tcp("10.244.2.5", CLUSTER_IP), "10.244.2.5:8080");
}

#[test]
fn endpoint_is_on_this_node_when_one_service_says_so() {
    let other = slice("default/other", "other-1", vec![here("10.244.1.5")]);
    let changes = [
        Change::Service(web()),
        web_slice(vec![there("10.244.1.5"), there("10.244.2.5")]),
        Change::Service(plain("default/other", "10.96.0.20")),
        Change::Slice(other),
    ];
    let world = World::new(policy(), changes);
    assert_eq!(world.tcp("10.244.1.5", CLUSTER_IP), "10.244.1.5:8080! 10.244.2.5:8080");
    assert_eq!(world.tcp("10.244.2.5", CLUSTER_IP), "10.244.1.5:8080 10.244.2.5:8080");
}
