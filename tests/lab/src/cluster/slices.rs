//! The EndpointSlice controllers: which slices a Service has.
//!
//! Rules: `EndpointSlice` in the API reference, and the controller's treatment of readiness,
//! host names, named ports and `publishNotReadyAddresses`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pod::{Pod, hash_name};
use super::service::{Service, ServiceKind};
use super::spec::Protocol;
use crate::address::Family;
use crate::place::node_name;

/// Most endpoints of one slice, the controller's default.
const MOST_ENDPOINTS: usize = 100;

/// One port of a slice: name, number, protocol, application protocol.
type Port = (String, u16, Protocol, Option<String>);

/// The slices of `service`, given the pods of its namespace in the order of their making.
///
/// A Service without selector has none: its slices are the user's.
pub(crate) fn of_service(service: &Service, pods: &[&Pod], zones: &[String]) -> Vec<Value> {
    if service.kind == ServiceKind::ExternalName || service.spec.selector.is_empty() {
        return Vec::new();
    }
    let mut slices = Vec::new();
    for family in &service.families {
        let mut groups: BTreeMap<Vec<Port>, Vec<Value>> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| selects(service, pod)) {
            if let Some(endpoint) = endpoint(service, pod, *family, zones) {
                groups.entry(ports(service, pod)).or_default().push(endpoint);
            }
        }
        for (ports, endpoints) in groups {
            for (index, endpoints) in endpoints.chunks(MOST_ENDPOINTS).enumerate() {
                slices.push(slice(service, *family, &ports, (index, endpoints)));
            }
        }
    }
    slices
}

/// Whether `service` selects `pod`.
pub(crate) fn selects(service: &Service, pod: &Pod) -> bool {
    service.name.namespace == pod.name.namespace
        && !service.spec.selector.is_empty()
        && service.spec.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
}

/// The ports that `pod` offers behind `service`.
fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let resolve = |port: &super::spec::ServicePort| {
        let number = pod.resolve(&port.target(), port.protocol)?;
        Some((port.name.clone(), number, port.protocol, port.app_protocol.clone()))
    };
    service.spec.ports.iter().filter_map(resolve).collect()
}

fn endpoint(service: &Service, pod: &Pod, family: Family, zones: &[String]) -> Option<Value> {
    let address = pod.addresses?.of(family);
    let node = pod.node?;
    let mut endpoint = json!({
        "addresses": [address.to_string()],
        "conditions": {
            "ready": service.spec.publish_not_ready_addresses || pod.is_available(),
            "serving": pod.ready,
            "terminating": pod.is_terminating(),
        },
        "nodeName": node_name(node),
        "targetRef": {
            "kind": "Pod", "namespace": pod.name.namespace, "name": pod.name.name, "uid": pod.uid,
        },
    });
    if let Some(zone) = zones.get(usize::from(node).saturating_sub(1)) {
        endpoint["zone"] = json!(zone);
    }
    if !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.name.name {
        endpoint["hostname"] = json!(pod.spec.hostname);
    }
    Some(endpoint)
}

fn slice(service: &Service, family: Family, ports: &[Port], chunk: (usize, &[Value])) -> Value {
    let (index, endpoints) = chunk;
    let name = &service.name;
    let key = format!("{ports:?}");
    let suffix =
        hash_name(&[&name.namespace, &name.name, family.as_str(), &key, &index.to_string()], 5);
    let mut labels = json!({
        "kubernetes.io/service-name": name.name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    });
    if service.kind == ServiceKind::Headless {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    let ports: Vec<_> = ports
        .iter()
        .map(|(name, number, protocol, application)| {
            let mut port = json!({"name": name, "port": number, "protocol": protocol});
            if let Some(application) = application {
                port["appProtocol"] = json!(application);
            }
            port
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-{suffix}", name.name), "namespace": name.namespace,
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": name.name, "controller": true,
            }],
        },
        "addressType": family.as_str(),
        "ports": ports,
        "endpoints": endpoints,
    })
}

/// The slices that the mirroring controller makes of a user's Endpoints object.
pub(crate) fn mirrored(endpoints: &Value) -> Vec<Value> {
    let (name, namespace) = (&endpoints["metadata"]["name"], &endpoints["metadata"]["namespace"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let subsets = endpoints["subsets"].as_array().cloned().unwrap_or_default();
    let mut slices = Vec::new();
    for (index, subset) in subsets.iter().enumerate() {
        for family in [Family::V4, Family::V6] {
            let of = |list: &str, ready: bool| -> Vec<Value> {
                let addresses = subset[list].as_array().cloned().unwrap_or_default();
                let is_v6 = |ip: &Value| ip.as_str().is_some_and(|ip| ip.contains(':'));
                let own =
                    addresses.into_iter().filter(|a| is_v6(&a["ip"]) == (family == Family::V6));
                own.map(|address| {
                    let mut endpoint =
                        json!({"addresses": [address["ip"]], "conditions": {"ready": ready}});
                    for field in ["hostname", "nodeName", "targetRef"] {
                        if !address[field].is_null() {
                            endpoint[field] = address[field].clone();
                        }
                    }
                    endpoint
                })
                .collect()
            };
            let mut members = of("addresses", true);
            members.extend(of("notReadyAddresses", false));
            if members.is_empty() {
                continue;
            }
            let parts = [&text(namespace), &text(name), family.as_str(), &index.to_string()];
            slices.push(json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{}-{}", text(name), hash_name(&parts, 5)),
                    "namespace": namespace,
                    "labels": {
                        "kubernetes.io/service-name": name,
                        "endpointslice.kubernetes.io/managed-by":
                            "endpointslicemirroring-controller.k8s.io",
                    },
                },
                "addressType": family.as_str(),
                "ports": subset["ports"],
                "endpoints": members,
            }));
        }
    }
    slices
}
