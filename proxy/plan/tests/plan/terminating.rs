//! Endpoints on their way out: used only where nothing is ready.

use podway_cluster_model::builder::Change;
use podway_cluster_model::endpoint::{Condition, Endpoint};
use podway_cluster_model::service::TrafficPolicy::{self, Cluster, Local};

use crate::support::*;

struct Row {
    name: &'static str,
    internal: TrafficPolicy,
    endpoints: Vec<Endpoint>,
    /// What a pod of this node gets at the ClusterIP.
    cluster_ip: &'static str,
    /// What a client from outside gets at a node port of policy `Local`.
    node_port: &'static str,
}

fn rows() -> Vec<Row> {
    let (l, m, r, s) = ("10.244.1.1", "10.244.1.2", "10.244.2.1", "10.244.2.2");
    vec![
        Row {
            name: "ready ones keep terminating ones out",
            internal: Cluster,
            endpoints: vec![here(l), terminating(here(m)), there(r), terminating(there(s))],
            cluster_ip: "10.244.1.1:8080 10.244.2.1:8080",
            node_port: "10.244.1.1:8080",
        },
        Row {
            name: "all terminating: all serve",
            internal: Cluster,
            endpoints: vec![terminating(here(l)), terminating(there(r))],
            cluster_ip: "10.244.1.1:8080 10.244.2.1:8080",
            node_port: "10.244.1.1:8080",
        },
        Row {
            name: "terminating here, ready elsewhere: each pool falls back on its own",
            internal: Cluster,
            endpoints: vec![terminating(here(l)), there(r)],
            cluster_ip: "10.244.2.1:8080",
            node_port: "10.244.1.1:8080",
        },
        Row {
            name: "internal Local: terminating here goes before ready elsewhere",
            internal: Local,
            endpoints: vec![terminating(here(l)), there(r)],
            cluster_ip: "10.244.1.1:8080",
            node_port: "10.244.1.1:8080",
        },
        Row {
            name: "internal Local: ready here keeps terminating here out",
            internal: Local,
            endpoints: vec![here(l), terminating(here(m))],
            cluster_ip: "10.244.1.1:8080",
            node_port: "10.244.1.1:8080",
        },
        Row {
            name: "terminating but no longer serving is not used",
            internal: Cluster,
            endpoints: vec![not_ready(here(l)), terminating(there(r))],
            cluster_ip: "10.244.2.1:8080",
            node_port: "drop",
        },
    ]
}

#[test]
fn terminating_endpoints_serve_only_where_none_is_ready() {
    for Row { name, internal, endpoints, cluster_ip, node_port } in rows() {
        let world = World::web(web_with(internal, Local), endpoints);
        assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), cluster_ip, "{name}");
        assert_eq!(world.tcp(OUTSIDE, NODE_PORT), node_port, "{name}");
    }
}

#[test]
fn endpoint_published_though_terminating_counts_as_ready() {
    let published =
        Endpoint { condition: Condition::Ready { terminating: true }, ..here("10.244.1.1") };
    let world = World::web(web(), vec![published, terminating(there("10.244.2.1"))]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.1:8080");
}

#[test]
fn of_two_endpoints_at_one_address_the_one_that_stays_counts() {
    let address = "10.244.1.1";
    let rows = [
        ("ready here, terminating there", here(address), terminating(there(address)), "here"),
        ("ready there, terminating here", there(address), terminating(here(address)), "there"),
        (
            "not ready yet, terminating",
            not_ready(here(address)),
            terminating(there(address)),
            "none",
        ),
        ("the same, the other way", not_ready(there(address)), terminating(here(address)), "none"),
        ("ready, not ready", here(address), not_ready(there(address)), "here"),
    ];
    for (row, one, other, expected) in rows {
        for (first, second) in [(&one, &other), (&other, &one)] {
            let world = World::new(
                policy(),
                [
                    Change::Service(web_with(Local, Cluster)),
                    Change::Slice(slice("default/web", "web-a", vec![first.clone()])),
                    Change::Slice(slice("default/web", "web-b", vec![second.clone()])),
                ],
            );
            // Under policy `Local` the verdict tells where the endpoint is thought to be.
            let verdict = match expected {
                "here" => "10.244.1.1:8080",
                "there" => "drop",
                _ => "reject",
            };
            assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), verdict, "{row}");
        }
    }
}

#[test]
fn endpoint_in_two_slices_serves_once() {
    let world = World::new(
        policy(),
        [
            Change::Service(web()),
            Change::Slice(slice("default/web", "web-a", vec![here("10.244.1.1")])),
            Change::Slice(slice("default/web", "web-b", vec![here("10.244.1.1")])),
        ],
    );
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.1:8080");
}

#[test]
fn of_two_ready_endpoints_at_one_address_the_same_counts_whatever_the_slices_are_called() {
    let address = "10.244.1.1";
    let verdicts = [(here(address), there(address)), (there(address), here(address))].map(
        |(first, second)| {
            let world = World::new(
                policy(),
                [
                    Change::Service(web_with(Local, Cluster)),
                    Change::Slice(slice("default/web", "web-a", vec![first])),
                    Change::Slice(slice("default/web", "web-b", vec![second])),
                ],
            );
            world.tcp(POD_HERE, CLUSTER_IP)
        },
    );
    assert_eq!(verdicts[0], verdicts[1]);
}
