//! The objects of a cluster as files: what the daemons' folder shall hold.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Cluster;
use super::pod::Pod;
use super::slices;
use crate::address;
use crate::place::node_name;
use crate::protocol::PodPhase;

/// Files by name.
pub(crate) type Files = BTreeMap<String, Value>;

/// Every file that the folder shall hold: one per object, and one for all slices of a Service.
pub(crate) fn files(cluster: &Cluster) -> Files {
    let mut files = Files::new();
    for number in 1..=cluster.nodes {
        files.insert(format!("node_{}.json", node_name(number)), node(cluster, number));
    }
    for name in &cluster.namespaces {
        let labels = json!({"kubernetes.io/metadata.name": name});
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": labels}, "status": {"phase": "Active"},
        });
        files.insert(format!("namespace_{name}.json"), namespace);
    }
    for pod in cluster.pods.values() {
        files.insert(format!("pod_{}_{}.json", pod.name.namespace, pod.name.name), self::pod(pod));
    }
    for service in cluster.services.values() {
        let (namespace, name) = (&service.name.namespace, &service.name.name);
        files.insert(format!("service_{namespace}_{name}.json"), service.published());
        let slices = cluster.slices(service);
        if !slices.is_empty() {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": slices});
            files.insert(format!("endpointslices_{namespace}_{name}.json"), list);
        }
    }
    for (name, slice) in &cluster.user_slices {
        let file = format!("endpointslice_{}_{}.json", name.namespace, name.name);
        files.insert(file, slice.clone());
    }
    for (name, endpoints) in &cluster.user_endpoints {
        let list = json!({
            "apiVersion": "v1", "kind": "List", "items": slices::mirrored(endpoints),
        });
        files.insert(format!("endpoints_{}_{}.json", name.namespace, name.name), list);
    }
    files
}

/// A Node, as its kubelet registers it.
pub(super) fn node(cluster: &Cluster, number: u8) -> Value {
    let cidrs = address::pod_cidrs(number);
    let addresses = address::node(number);
    let name = node_name(number);
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": cluster.node_labels(number)},
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": addresses.v4.to_string()},
                {"type": "InternalIP", "address": addresses.v6.to_string()},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

fn pod(pod: &Pod) -> Value {
    let name = &pod.name;
    let mut metadata = json!({
        "name": name.name, "namespace": name.namespace, "uid": pod.uid,
        "labels": pod.labels, "annotations": pod.annotations,
    });
    if let Some(owner) = &pod.owner {
        metadata["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": owner.kind, "name": owner.name, "controller": true,
        }]);
    }
    if let Some(time) = &pod.deleted_at {
        metadata["deletionTimestamp"] = json!(time);
        metadata["deletionGracePeriodSeconds"] = json!(pod.spec.grace_seconds());
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(pod),
        "status": pod_status(pod),
    })
}

/// `status` of a pod.
pub(super) fn pod_status(pod: &Pod) -> Value {
    let ready = if pod.ready { "True" } else { "False" };
    let mut status = json!({
        "phase": if pod.phase == PodPhase::Pending { "Pending" } else { "Running" },
        "conditions": [
            {"type": "PodScheduled", "status": if pod.node.is_some() { "True" } else { "False" }},
            {"type": "Ready", "status": ready},
            {"type": "ContainersReady", "status": ready},
        ],
    });
    if let Some(addresses) = pod.addresses {
        status["podIP"] = json!(addresses.v4);
        status["podIPs"] = json!([{"ip": addresses.v4}, {"ip": addresses.v6}]);
    }
    if let Some(node) = pod.node {
        let addresses = address::node(node);
        status["hostIP"] = json!(addresses.v4);
        status["hostIPs"] = json!([{"ip": addresses.v4}, {"ip": addresses.v6}]);
    }
    status
}

fn spec(pod: &Pod) -> Value {
    let containers: Vec<_> = pod
        .spec
        .containers
        .iter()
        .map(|container| {
            let port = |port: &super::spec::ContainerPort| {
                let mut value =
                    json!({"containerPort": port.container_port, "protocol": port.protocol});
                if !port.name.is_empty() {
                    value["name"] = json!(port.name);
                }
                value
            };
            let ports: Vec<_> = container.ports.iter().map(port).collect();
            json!({"name": container.name, "ports": ports})
        })
        .collect();
    let mut spec = json!({
        "containers": containers,
        "terminationGracePeriodSeconds": pod.spec.grace_seconds(),
    });
    if let Some(node) = pod.node {
        spec["nodeName"] = json!(node_name(node));
    }
    if pod.spec.host_network {
        spec["hostNetwork"] = json!(true);
    }
    for (field, value) in [("hostname", &pod.spec.hostname), ("subdomain", &pod.spec.subdomain)] {
        if !value.is_empty() {
            spec[field] = json!(value);
        }
    }
    spec
}
