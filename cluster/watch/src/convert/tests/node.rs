use std::sync::Arc;

use podway_cluster_model::label::Labels;
use podway_cluster_model::name::{NodeName, ObjectName};
use podway_cluster_model::node::{Eligibility, Node, Pod, Sockets};

use super::*;

#[test]
fn a_pod_has_its_labels() {
    let labels = [("app".into(), "web".into())].into_iter().collect();
    let expected = Pod { labels, ..pod() };
    let (change, rejections) = converted(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, labels: {app: web}}\n",
    );
    assert_eq!((change, rejections), (Some(Change::Pod(expected)), vec![]));
}

fn node() -> Node {
    Node {
        name: NodeName::new("node-1").unwrap(),
        addresses: Vec::new(),
        pod_cidrs: Vec::new(),
        zone: None,
        eligibility: Eligibility::Eligible,
    }
}

fn pod() -> Pod {
    Pod {
        name: ObjectName::new("shop", "web-0").unwrap(),
        node: None,
        addresses: Vec::new(),
        host_network: false,
        sockets: Sockets::Translated,
        labels: Labels::default(),
    }
}

fn check_node(name: &str, yaml: &str, expected: Node, rejected: &[&str]) {
    let yaml = format!("apiVersion: v1\nkind: Node\n{yaml}\n");
    let (change, rejections) = converted(&yaml);
    assert_eq!(change, Some(Change::Node(expected)), "{name}");
    assert_eq!(rejections, rejected, "{name}");
}

fn check_pod(name: &str, yaml: &str, expected: Pod, rejected: &[&str]) {
    let yaml =
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web-0, namespace: shop}}\n{yaml}\n");
    let (change, rejections) = converted(&yaml);
    assert_eq!(change, Some(Change::Pod(expected)), "{name}");
    assert_eq!(rejections, rejected, "{name}");
}

#[test]
fn nodes() {
    check_node("a bare node", "metadata: {name: node-1}", node(), &[]);
    check_node(
        "internal addresses stand before external ones, names are left out",
        "metadata: {name: node-1}\nstatus: {addresses: [{type: ExternalIP, address: 203.0.113.1}, {type: Hostname, address: node-1}, {type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: '2001:db8::1'}]}",
        Node {
            addresses: ["192.0.2.1", "2001:db8::1", "203.0.113.1"]
                .map(|ip| ip.parse().unwrap())
                .to_vec(),
            ..node()
        },
        &[],
    );
    check_node(
        "zone and pod networks",
        "metadata: {name: node-1, labels: {topology.kubernetes.io/zone: zone-a}}\nspec: {podCIDR: 10.244.9.0/24, podCIDRs: [10.244.1.0/24, 'fd00:244:1::/64']}",
        Node {
            zone: Some(Arc::from("zone-a")),
            pod_cidrs: vec!["10.244.1.0/24".parse().unwrap(), "fd00:244:1::/64".parse().unwrap()],
            ..node()
        },
        &[],
    );
    check_node(
        "podCIDR alone",
        "metadata: {name: node-1}\nspec: {podCIDR: 10.244.1.0/24}",
        Node { pod_cidrs: vec!["10.244.1.0/24".parse().unwrap()], ..node() },
        &[],
    );
    check_node(
        "what is wrong costs only itself",
        "metadata: {name: node-1}\nspec: {podCIDRs: [10.244.1.0, 10.244.1.0/24, 10.244.2.0/24]}\nstatus: {addresses: [{type: InternalIP, address: x}, {address: 192.0.2.1}]}",
        Node { pod_cidrs: vec!["10.244.1.0/24".parse().unwrap()], ..node() },
        &[
            "node node-1: spec.podCIDRs[0]: \"10.244.1.0\" is not an address range such as 192.0.2.0/24",
            "node node-1: status.addresses[0].address: \"x\" is not an IP address",
            "node node-1: status.addresses[1].type: is missing",
            "node node-1: spec.podCIDRs: 10.244.2.0/24 is the second of its family",
        ],
    );
}

#[test]
fn nodes_on_their_way_out_are_leaving() {
    let leaving = || Node { eligibility: Eligibility::Leaving, ..node() };
    check_node(
        "deleted",
        "metadata: {name: node-1, deletionTimestamp: '2026-01-31T12:00:00Z'}",
        leaving(),
        &[],
    );
    check_node(
        "to be removed by the autoscaler",
        "metadata: {name: node-1}\nspec: {taints: [{key: gpu, effect: NoSchedule}, {key: ToBeDeletedByClusterAutoscaler, value: '1769860800', effect: NoSchedule}]}",
        leaving(),
        &[],
    );
    check_node(
        "cordoned is not leaving",
        "metadata: {name: node-1}\nspec: {unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}",
        node(),
        &[],
    );
}

#[test]
fn pods() {
    check_pod("a pod that waits for its node", "spec: {}\nstatus: {phase: Pending}", pod(), &[]);
    check_pod(
        "podIPs",
        "spec: {nodeName: node-1}\nstatus: {phase: Running, podIP: 10.244.1.1, podIPs: [{ip: 10.244.1.1}, {ip: 'fd00:244::1'}]}",
        Pod {
            node: Some(NodeName::new("node-1").unwrap()),
            addresses: vec!["10.244.1.1".parse().unwrap(), "fd00:244::1".parse().unwrap()],
            ..pod()
        },
        &[],
    );
    check_pod(
        "podIP alone",
        "status: {podIP: 10.244.1.1}",
        Pod { addresses: vec!["10.244.1.1".parse().unwrap()], ..pod() },
        &[],
    );
    check_pod(
        "on the node's own network",
        "spec: {hostNetwork: true}",
        Pod { host_network: true, ..pod() },
        &[],
    );
    for annotations in [
        "podway.dev/sockets: untranslated",
        "sidecar.istio.io/status: '{}'",
        "ambient.istio.io/redirection: enabled",
        "linkerd.io/proxy-version: edge-26.1.1",
    ] {
        let yaml = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web-0, namespace: shop, \
             annotations: {{{annotations}}}}}\n"
        );
        let (change, rejections) = converted(&yaml);
        let untranslated = Pod { sockets: Sockets::Untranslated, ..pod() };
        assert_eq!(change, Some(Change::Pod(untranslated)), "{annotations}");
        assert!(rejections.is_empty());
    }
    let (change, rejections) = converted(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, \
         annotations: {podway.dev/sockets: maybe, ambient.istio.io/redirection: disabled}}\n",
    );
    assert_eq!(change, Some(Change::Pod(pod())), "a wrong value is as none");
    assert_eq!(rejections.len(), 1, "{rejections:?}");
    check_pod(
        "a wrong address costs only itself",
        "status: {podIPs: [{ip: 10.244.1.300}, {ip: 'fd00:244::1'}]}",
        Pod { addresses: vec!["fd00:244::1".parse().unwrap()], ..pod() },
        &["pod shop/web-0: status.podIPs[0].ip: \"10.244.1.300\" is not an IP address"],
    );
}

#[test]
fn a_pod_that_has_ended_has_no_addresses() {
    for phase in ["Failed", "Succeeded"] {
        let yaml = format!("status: {{phase: {phase}, podIPs: [{{ip: 10.244.1.1}}]}}");
        check_pod(phase, &yaml, pod(), &[]);
    }
}
