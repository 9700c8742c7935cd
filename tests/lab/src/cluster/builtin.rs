//! What a fresh cluster has before anybody applies a manifest.

use serde_json::{Value, json};

use crate::address::{self, Family};
use crate::place::node_name;

/// Annotation of the pods in which the daemon under test runs in place of the lab's server.
pub(crate) const DAEMON_ANNOTATION: &str = "lab.podway.io/daemon";

/// Annotation of pods that go on serving after SIGTERM, until their grace period ends.
pub(crate) const IGNORE_SIGTERM_ANNOTATION: &str = "lab.podway.io/ignore-sigterm";

/// Namespaces of a fresh cluster.
pub(crate) const NAMESPACES: [&str; 4] =
    ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Objects of a fresh cluster.
pub(crate) fn objects(with_daemon: bool) -> Vec<Value> {
    let mut objects = vec![kubernetes_service(), api_server_pod(), kube_dns_service()];
    objects.extend([Family::V4, Family::V6].map(api_server_slice));
    if with_daemon {
        objects.push(daemon_set());
    }
    objects
}

fn kubernetes_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": address::service(Family::V4, 1).to_string(),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    })
}

/// The slice that the API server keeps for itself; no controller manages it.
fn api_server_slice(family: Family) -> Value {
    let suffix = if family == Family::V4 { "" } else { "-ipv6" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("kubernetes{suffix}"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family.as_str(),
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        "endpoints": [{
            "addresses": [address::node(1).of(family).to_string()],
            "conditions": {"ready": true},
        }],
    })
}

/// The pod that answers in the API server's place.
fn api_server_pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("kube-apiserver-{}", node_name(1)), "namespace": "kube-system",
            "labels": {"component": "kube-apiserver", "tier": "control-plane"},
        },
        "spec": {
            "nodeName": node_name(1), "hostNetwork": true, "dnsPolicy": "Default",
            "containers": [{"name": "kube-apiserver", "ports": [{"containerPort": 6443}]}],
        },
    })
}

/// The Service of the cluster's DNS.
pub(super) fn kube_dns_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "clusterIP": address::service(Family::V4, 10).to_string(),
            "clusterIPs": [
                address::service(Family::V4, 10).to_string(),
                address::service(Family::V6, 10).to_string(),
            ],
            "ipFamilyPolicy": "PreferDualStack",
            "selector": {"k8s-app": "kube-dns"},
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    })
}

/// The daemon under test, one a node, on the node's network, as it would be deployed.
pub(super) fn daemon_set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "podway", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "kube-dns"}},
            "template": {
                "metadata": {
                    "labels": {"k8s-app": "kube-dns"},
                    "annotations": {DAEMON_ANNOTATION: ""},
                },
                "spec": {
                    "hostNetwork": true, "dnsPolicy": "Default",
                    "serviceAccountName": "podway",
                    "tolerations": [{"operator": "Exists"}],
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{
                        "name": "podway", "image": "podway",
                        "ports": [
                            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
                        ],
                    }],
                },
            },
        },
    })
}
