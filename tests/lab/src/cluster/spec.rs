//! Typed views of manifests: the fields that controllers and kubelet read.
//!
//! Everything else of an object stays in its JSON and is published as it came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Labels or annotations.
pub(crate) type Labels = BTreeMap<String, String>;

/// `metadata` of an object or a pod template.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
}

/// `spec` of the workload kinds; each reads what it has.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WorkloadSpec {
    pub(crate) replicas: Option<u32>,
    pub(crate) selector: LabelSelector,
    pub(crate) template: PodTemplate,
    pub(crate) service_name: String,
    pub(crate) pod_management_policy: String,
    pub(crate) strategy: Strategy,
}

/// `strategy` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Strategy {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) rolling_update: RollingUpdate,
}

/// How far a rolling update may stray from the replicas wanted; 25 % where not given.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RollingUpdate {
    pub(crate) max_surge: Option<IntOrString>,
    pub(crate) max_unavailable: Option<IntOrString>,
}

/// `selector` of a workload.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LabelSelector {
    pub(crate) match_labels: Labels,
}

/// A pod template, or a bare pod without its name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodTemplate {
    pub(crate) metadata: Metadata,
    pub(crate) spec: PodSpec,
}

/// `spec` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) containers: Vec<Container>,
    pub(crate) node_name: String,
    pub(crate) node_selector: Labels,
    pub(crate) host_network: bool,
    pub(crate) hostname: String,
    /// What programs in the pod see as its host name; DNS knows nothing of it.
    pub(crate) hostname_override: String,
    pub(crate) subdomain: String,
    pub(crate) dns_policy: String,
    pub(crate) dns_config: DnsConfig,
    pub(crate) termination_grace_period_seconds: Option<u32>,
}

impl PodSpec {
    /// Seconds that a deleted pod has to finish; 30 by default.
    pub(crate) fn grace_seconds(&self) -> u32 {
        self.termination_grace_period_seconds.unwrap_or(30)
    }
}

/// `dnsConfig` of a pod: what it adds to that of its DNS policy.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DnsConfig {
    pub(crate) nameservers: Vec<String>,
    pub(crate) searches: Vec<String>,
    pub(crate) options: Vec<DnsOption>,
}

/// An option of a resolver.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DnsOption {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) readiness_probe: Option<Probe>,
    pub(crate) startup_probe: Option<Probe>,
    pub(crate) lifecycle: Lifecycle,
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    pub(crate) name: String,
    pub(crate) container_port: u16,
    pub(crate) protocol: Protocol,
}

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Protocol {
    /// The default of the API.
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The name that the API uses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// Hooks of a container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Lifecycle {
    pub(crate) pre_stop: Option<Handler>,
}

/// A probe or hook: exactly one of these is set in a valid manifest.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Handler {
    pub(crate) exec: Option<ExecAction>,
    pub(crate) http_get: Option<HttpGetAction>,
    pub(crate) tcp_socket: Option<TcpSocketAction>,
    pub(crate) sleep: Option<SleepAction>,
}

/// A probe with its times.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Probe {
    #[serde(flatten)]
    pub(crate) handler: Handler,
    pub(crate) initial_delay_seconds: u32,
    pub(crate) period_seconds: Option<u32>,
    pub(crate) timeout_seconds: Option<u32>,
    pub(crate) success_threshold: Option<u32>,
    pub(crate) failure_threshold: Option<u32>,
}

/// Runs a command in the pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ExecAction {
    pub(crate) command: Vec<String>,
}

/// Asks for a page of the pod.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct HttpGetAction {
    #[serde(default)]
    pub(crate) path: String,
    pub(crate) port: IntOrString,
}

/// Opens a connection to the pod.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct TcpSocketAction {
    pub(crate) port: IntOrString,
}

/// Does nothing for a while.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct SleepAction {
    pub(crate) seconds: u32,
}

/// A number, or a name or percentage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(untagged)]
pub(crate) enum IntOrString {
    Int(u16),
    String(String),
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) selector: Labels,
    pub(crate) ports: Vec<ServicePort>,
    #[serde(rename = "clusterIP")]
    pub(crate) cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    pub(crate) cluster_ips: Vec<String>,
    pub(crate) ip_families: Vec<String>,
    pub(crate) ip_family_policy: Option<String>,
    pub(crate) publish_not_ready_addresses: bool,
    pub(crate) session_affinity: Option<String>,
    pub(crate) external_traffic_policy: Option<String>,
    pub(crate) health_check_node_port: Option<u16>,
    pub(crate) allocate_load_balancer_node_ports: Option<bool>,
    #[serde(rename = "loadBalancerIP")]
    pub(crate) load_balancer_ip: Option<String>,
}

/// A port of a Service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServicePort {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) target_port: Option<IntOrString>,
    pub(crate) node_port: Option<u16>,
    pub(crate) app_protocol: Option<String>,
}

impl ServicePort {
    /// The target port, which is the port itself where none is given.
    pub(crate) fn target(&self) -> IntOrString {
        self.target_port.clone().unwrap_or(IntOrString::Int(self.port))
    }
}

/// Reads a part of an object; an absent part is the default.
pub(crate) fn read<T: Default + for<'a> Deserialize<'a>>(
    object: &Value,
    part: &str,
) -> Result<T, serde_json::Error> {
    match object.get(part) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => T::deserialize(value),
    }
}

impl Handler {
    /// The port that this handler speaks to, resolved for `pod`.
    pub(crate) fn port(&self, pod: &super::pod::Pod) -> Option<u16> {
        let http = self.http_get.as_ref().map(|action| &action.port);
        let port = http.or(self.tcp_socket.as_ref().map(|action| &action.port))?;
        pod.resolve(port, Protocol::Tcp)
    }
}
