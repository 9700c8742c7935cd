//! Services.
//!
//! Field meanings: Kubernetes API `v1.Service`. What a proxy or a DNS server does with them is
//! decided in `proxy/plan` and `dns/zone`, not here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::label::Labels;
use crate::name::{PortName, ServiceName};
use crate::port::{Port, Protocol};

/// One Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Namespace and name.
    pub name: ServiceName,
    /// What kind of address, if any, stands for the Service.
    pub kind: ServiceKind,
    /// Ports in the order of the object.
    pub ports: Vec<ServicePort>,
    /// Addresses besides the ClusterIP, and how traffic to them is treated.
    pub external: External,
    /// Which endpoints may serve traffic to the ClusterIP.
    pub internal_policy: TrafficPolicy,
    /// Whether one client keeps its endpoint.
    pub affinity: Affinity,
    /// How its clients are spread over the endpoints.
    pub spread: Spread,
    /// Who programs the Service's traffic.
    pub proxy: ProxyOwner,
    /// Those of its labels that are kept.
    pub labels: Labels,
    /// Creation time in seconds since the Unix epoch; `None` where the manifest has none.
    ///
    /// Of two Services that claim one address, the older wins.
    pub created_unix_seconds: Option<i64>,
}

/// What stands for a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceKind {
    /// Virtual addresses, at most one of each family, primary first.
    ClusterIp(Vec<IpAddr>),
    /// No virtual address: the name resolves to the endpoints.
    Headless,
    /// The name is an alias of another, without its trailing dot.
    ExternalName(String),
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// Name, unique within the Service; empty when it is the only port.
    pub name: PortName,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port at the Service's own addresses.
    pub port: Port,
    /// Port at the node's addresses, when there is one.
    pub node_port: Option<Port>,
}

/// Which endpoints may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// All of the cluster.
    #[default]
    Cluster,
    /// Those of this node only.
    Local,
}

/// Whether one client keeps its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Affinity {
    /// Each connection chooses anew.
    #[default]
    None,
    /// A client address keeps its endpoint until `timeout` has passed without a new connection.
    ClientIp {
        /// 1 s to 86,400 s; 10,800 s unless the object says otherwise.
        timeout: Duration,
    },
}

/// How clients are spread over the endpoints of a Service: our own annotations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Annotation `podway.dev/hash`.
    pub choice: Choice,
    /// Annotation `podway.dev/weights`: weights by Pod name or address as text, 0 to
    /// [`MAX_WEIGHT`]; an endpoint that is not named has [`DEFAULT_WEIGHT`].
    pub weights: BTreeMap<Arc<str>, u8>,
}

/// Largest weight of an endpoint: one gets at most a hundred times what another gets.
pub const MAX_WEIGHT: u8 = 100;

/// Weight of an endpoint that has none of its own.
pub const DEFAULT_WEIGHT: u8 = 1;

/// How an endpoint is chosen for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Choice {
    /// At random.
    #[default]
    Random,
    /// By a hash of the client's address: the same for every node, and an endpoint that comes or
    /// goes moves its own share of clients only.
    ClientHash,
}

/// Addresses from outside the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct External {
    /// `spec.externalIPs`.
    pub addresses: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[]` with an address.
    pub load_balancer: Vec<LoadBalancerAddress>,
    /// `spec.loadBalancerSourceRanges`; empty allows every source.
    pub source_ranges: Vec<IpNet>,
    /// Which endpoints may serve traffic to these addresses and to node ports.
    pub policy: TrafficPolicy,
    /// Where the load balancer asks whether this node has local endpoints.
    pub health_check_node_port: Option<Port>,
}

/// One address of a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerAddress {
    /// The address.
    pub address: IpAddr,
    /// Whether packets arrive with it as destination.
    pub mode: LoadBalancerMode,
}

/// How a load balancer delivers (KEP-1860).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LoadBalancerMode {
    /// Packets keep the load balancer's address as destination; the node handles it.
    #[default]
    Vip,
    /// Packets come to the node or pod address; the node leaves the balancer's address alone.
    Proxy,
}

/// Who programs a Service's traffic (KEP-2447).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ProxyOwner {
    /// This proxy.
    #[default]
    Podway,
    /// Another: the Service has the label `service.kubernetes.io/service-proxy-name` or
    /// `service.kubernetes.io/headless`.
    Other,
}

impl Service {
    /// The virtual addresses; none for headless and ExternalName Services.
    #[must_use]
    pub fn cluster_ips(&self) -> &[IpAddr] {
        match &self.kind {
            ServiceKind::ClusterIp(addresses) => addresses,
            ServiceKind::Headless | ServiceKind::ExternalName(_) => &[],
        }
    }
}
