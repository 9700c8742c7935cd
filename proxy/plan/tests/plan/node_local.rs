//! DNS answered on the node: other nodes' endpoints come first when it is not.

use podway_cluster_model::builder::Change;
use podway_cluster_model::port::Protocol;
use podway_proxy_plan::policy::{NodeLocalDns, Policy};

use crate::support::{
    POD_HERE, World, here, not_ready, plain, policy, service_name, service_port, slice,
    terminating, there,
};

/// The Service `kube-system/dns` with port 53 and one that is not for DNS, under `policy`.
fn dns(
    node_local_dns: NodeLocalDns,
    endpoints: Vec<podway_cluster_model::endpoint::Endpoint>,
) -> World {
    let mut service = plain("kube-system/dns", "10.96.0.53");
    service.ports =
        vec![service_port("http", Protocol::Tcp, 53), service_port("http", Protocol::Tcp, 9153)];
    service.ports[1].name = crate::support::port_name("metrics");
    let mut slice = slice("kube-system/dns", "dns-1", endpoints);
    let metrics = crate::support::port_name("metrics");
    slice.ports.push(podway_cluster_model::endpoint::EndpointPort {
        name: metrics,
        protocol: Protocol::Tcp,
        port: crate::support::port(9153),
    });
    let policy = Policy { node_local_dns, ..policy() };
    World::new(policy, [Change::Service(service), Change::Slice(slice)])
}

fn on(service: &str) -> NodeLocalDns {
    NodeLocalDns::On { service: Some(service_name(service)), addresses: Vec::new() }
}

#[test]
fn endpoints_of_other_nodes_answer_for_a_server_that_does_not() {
    let endpoints = || vec![here("10.244.1.5"), there("10.244.2.5")];
    let both = "10.244.1.5:8080 10.244.2.5:8080";
    let other = "10.244.2.5:8080";
    for (name, policy, expected) in [
        ("off", NodeLocalDns::Off, both),
        ("on for this Service", on("kube-system/dns"), other),
        ("on for another Service", on("kube-system/kube-dns"), both),
        (
            "on without a Service",
            NodeLocalDns::On { service: None, addresses: vec!["10.96.0.53".parse().unwrap()] },
            both,
        ),
    ] {
        let world = dns(policy, endpoints());
        assert_eq!(world.tcp(POD_HERE, "10.96.0.53:53"), expected, "{name}");
    }
    let world = dns(on("kube-system/dns"), endpoints());
    let metrics = world.tcp(POD_HERE, "10.96.0.53:9153");
    assert_eq!(metrics, "10.244.1.5:9153 10.244.2.5:9153", "only DNS is answered on the node");
}

#[test]
fn endpoint_of_this_node_counts_where_no_other_is_ready() {
    for (name, endpoints, expected) in [
        ("the only one", vec![here("10.244.1.5")], "10.244.1.5:8080"),
        (
            "others are not ready",
            vec![here("10.244.1.5"), not_ready(there("10.244.2.5"))],
            "10.244.1.5:8080",
        ),
        (
            "others are leaving",
            vec![here("10.244.1.5"), terminating(there("10.244.2.5"))],
            "10.244.1.5:8080",
        ),
        (
            "it is leaving",
            vec![terminating(here("10.244.1.5")), there("10.244.2.5")],
            "10.244.2.5:8080",
        ),
        (
            "all are leaving",
            vec![terminating(here("10.244.1.5")), terminating(there("10.244.2.5"))],
            "10.244.1.5:8080 10.244.2.5:8080",
        ),
    ] {
        let world = dns(on("kube-system/dns"), endpoints);
        assert_eq!(world.tcp(POD_HERE, "10.96.0.53:53"), expected, "{name}");
    }
}
