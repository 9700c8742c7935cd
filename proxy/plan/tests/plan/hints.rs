//! Which endpoints topology hints leave.

use std::sync::Arc;

use podway_cluster_model::builder::Change;
use podway_cluster_model::endpoint::{Endpoint, Hints};
use podway_cluster_model::node::Node;
use podway_cluster_model::service::TrafficPolicy::{Cluster, Local};

use crate::support::*;

/// The endpoint with hints for these zones and nodes.
fn hinted(endpoint: Endpoint, zones: &[&str], nodes: &[&str]) -> Endpoint {
    let zones = zones.iter().map(|zone| Arc::from(*zone)).collect();
    let nodes = nodes.iter().map(|node| node_name(node)).collect();
    Endpoint { hints: Hints::new(zones, nodes), ..endpoint }
}

fn zone(address: &str, zones: &[&str]) -> Endpoint {
    hinted(there(address), zones, &[])
}

fn nodes(address: &str, nodes: &[&str]) -> Endpoint {
    hinted(there(address), &[], nodes)
}

const A: &str = "10.244.2.1";
const B: &str = "10.244.2.2";
const C: &str = "10.244.2.3";

#[test]
fn hints_choose_the_cluster_pool() {
    let rows: Vec<(&str, Vec<Endpoint>, &[&str])> = vec![
        (
            "all hinted, one for our zone: that one",
            vec![zone(A, &["zone-a"]), zone(B, &["zone-b"])],
            &[A],
        ),
        (
            "hinted for several zones, ours among them",
            vec![zone(A, &["zone-b", "zone-a"]), zone(B, &["zone-b"])],
            &[A],
        ),
        (
            "one without a hint: all",
            vec![zone(A, &["zone-a"]), zone(B, &["zone-b"]), there(C)],
            &[A, B, C],
        ),
        ("none for our zone: all", vec![zone(A, &["zone-b"]), zone(B, &["zone-c"])], &[A, B]),
        ("no hints: all", vec![there(A), there(B)], &[A, B]),
        (
            "all hinted for nodes, one for ours: that one",
            vec![nodes(A, &["node-1"]), nodes(B, &["node-2"])],
            &[A],
        ),
        ("one without a node hint: all", vec![nodes(A, &["node-1"]), there(B)], &[A, B]),
        ("none for our node: all", vec![nodes(A, &["node-2"]), nodes(B, &["node-3"])], &[A, B]),
        (
            "node hints go before zone hints",
            vec![
                hinted(there(A), &["zone-a"], &["node-2"]),
                hinted(there(B), &["zone-b"], &["node-1"]),
            ],
            &[B],
        ),
        (
            "no node hint is ours: zone hints count",
            vec![
                hinted(there(A), &["zone-a"], &["node-2"]),
                hinted(there(B), &["zone-b"], &["node-3"]),
            ],
            &[A],
        ),
        (
            "node hints missing at one: zone hints count",
            vec![hinted(there(A), &["zone-a"], &["node-1"]), zone(B, &["zone-b"])],
            &[A],
        ),
        (
            "an endpoint that is not ready has no say",
            vec![zone(A, &["zone-a"]), zone(B, &["zone-b"]), not_ready(there(C))],
            &[A],
        ),
        (
            "an endpoint that is terminating has no say",
            vec![zone(A, &["zone-a"]), zone(B, &["zone-b"]), terminating(there(C))],
            &[A],
        ),
        (
            "our only hinted endpoint is not ready: all ready ones",
            vec![not_ready(zone(A, &["zone-a"])), zone(B, &["zone-b"]), zone(C, &["zone-b"])],
            &[B, C],
        ),
        (
            "terminating endpoints are not filtered",
            vec![terminating(zone(A, &["zone-a"])), terminating(zone(B, &["zone-b"]))],
            &[A, B],
        ),
        ("where an endpoint runs is no hint", vec![here(A), there(B)], &[A, B]),
    ];
    for (row, endpoints, expected) in rows {
        let world = World::web(web(), endpoints);
        let targets = |mark: &str| {
            expected.iter().map(|ip| format!("{ip}:8080{mark}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), targets(""), "{row}");
        // Hints apply to external traffic as well.
        assert_eq!(world.tcp(OUTSIDE, NODE_PORT), targets("!"), "{row}, node port");
    }
}

#[test]
fn node_without_zone_ignores_zone_hints() {
    let endpoints = vec![zone(A, &["zone-a"]), zone(B, &["zone-b"])];
    let mut world = World::web(web(), endpoints);
    world.apply([Change::Node(Node { zone: None, ..node() })]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), format!("{A}:8080 {B}:8080"));
}

#[test]
fn zone_of_the_node_may_change() {
    let endpoints = vec![zone(A, &["zone-a"]), zone(B, &["zone-b"])];
    let mut world = World::web(web(), endpoints);
    world.apply([Change::Node(Node { zone: Some(Arc::from("zone-b")), ..node() })]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), format!("{B}:8080"));
}

#[test]
fn local_policy_ignores_hints() {
    let endpoints = vec![hinted(here("10.244.1.5"), &["zone-b"], &[]), zone(A, &["zone-a"])];
    let world = World::web(web_with(Local, Local), endpoints);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.5:8080");
    assert_eq!(world.tcp(OUTSIDE, NODE_PORT), "10.244.1.5:8080");
    // The short circuit uses the cluster pool, which is filtered.
    assert_eq!(world.tcp(POD_HERE, NODE_PORT), format!("{A}:8080"));
}

#[test]
fn hints_of_a_duplicate_that_does_not_count_are_ignored() {
    let live = Change::Slice(slice("default/web", "web-z", vec![zone(A, &["zone-a"])]));
    let gone = Change::Slice(slice("default/web", "web-a", vec![terminating(there(A))]));
    let other = web_slice(vec![zone(B, &["zone-b"])]);
    let service = Change::Service(web_with(Cluster, Cluster));
    let world = World::new(policy(), [service, live, gone, other]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), format!("{A}:8080"));
}
