//! Manifests that many tests start from, as YAML.

use std::fmt::Write as _;

use podway_tests_lab::{Place, node_name};

use crate::NODES;

/// The Service `shop/web` at 10.96.0.20 with one endpoint, for a node without a lab.
pub const SHOP_WEB: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.20
  clusterIPs: [10.96.0.20]
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.5], conditions: {ready: true}}]
"#;

/// Spec of a Service with TCP and UDP behind a ClusterIP and a node port, in both families.
pub const WEB: &str = "type: NodePort, ipFamilyPolicy: PreferDualStack, ports: [\
    {name: stream, port: 80, targetPort: 8080, nodePort: 30001}, \
    {name: datagrams, port: 80, targetPort: 8080, protocol: UDP, nodePort: 30001}]";

/// The Service `web` as [`WEB`] has it, the pods `web-1` and `web-2` on a node each, and [`clients`].
#[must_use]
pub fn web() -> String {
    pod("web-1", 1, "") + &pod("web-2", 2, "") + &service("web", WEB) + &clients()
}

/// A pod on each node to ask from: [`client`].
#[must_use]
pub fn clients() -> String {
    NODES.map(|number| pod(&format!("client-{number}"), number, "")).join("")
}

/// The pod to ask from on node `number`.
#[must_use]
pub fn client(number: u8) -> Place {
    Place::pod(format!("client-{number}"))
}

/// The pod `name` on node `number`; `more` has other fields of its spec in flow style. Its label
/// `app` is the name up to the last dash.
#[must_use]
pub fn pod(name: &str, number: u8, more: &str) -> String {
    pod_with(name, number, &format!("containers: [{{name: main, image: main}}], {more}"))
}

/// As [`pod`], with `spec` as all fields of its spec.
#[must_use]
pub fn pod_with(name: &str, number: u8, spec: &str) -> String {
    pod_of("{}", name, number, spec)
}

/// As [`pod`]: one that serves on for as long as the test takes after it was deleted.
#[must_use]
pub fn pod_that_stays(name: &str, number: u8) -> String {
    let spec = "terminationGracePeriodSeconds: 600, containers: [{name: main, image: main}]";
    pod_of("{lab.podway.io/ignore-sigterm: \"\"}", name, number, spec)
}

fn pod_of(annotations: &str, name: &str, number: u8, spec: &str) -> String {
    let app = name.rsplit_once('-').map_or(name, |(app, _)| app);
    let node = node_name(number);
    document(&format!(
        "{{apiVersion: v1, kind: Pod, \
         metadata: {{name: {name}, labels: {{app: {app}}}, annotations: {annotations}}}, \
         spec: {{nodeName: {node}, {spec}}}}}"
    ))
}

/// A Deployment of `replicas` pods with the label `app: NAME`.
#[must_use]
pub fn deployment(name: &str, replicas: u32) -> String {
    document(&format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, \
         spec: {{replicas: {replicas}, selector: {{matchLabels: {{app: {name}}}}}, \
         template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: main, image: main}}]}}}}}}}}"
    ))
}

/// A Service that selects `app: NAME`; `spec` has the other fields in flow style.
#[must_use]
pub fn service(name: &str, spec: &str) -> String {
    document(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, \
         spec: {{selector: {{app: {name}}}, {spec}}}}}"
    ))
}

/// A slice of `service` with the fields `ports` and `endpoints` as given.
#[must_use]
pub fn slice(name: &str, service: &str, ports: &str, endpoints: &[String]) -> String {
    let mut text = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
         metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}}}}}, \
         ports: {ports}, endpoints: ["
    );
    for address in endpoints {
        // Writing to a string cannot fail.
        write!(text, "{{addresses: [{address}], conditions: {{ready: true}}}}, ")
            .unwrap_or_default();
    }
    document(&(text + "]}"))
}

/// One document of a text of several.
fn document(text: &str) -> String {
    format!("---\n{text}\n")
}
