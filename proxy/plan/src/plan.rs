//! The decision as plain, ordered, printable data.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use podway_cluster_model::name::{PortName, ServiceName};
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{Affinity, Choice};

/// Address family; each has its own table in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::Ip, Self::Ip6];

    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ip,
            IpAddr::V6(_) => Self::Ip6,
        }
    }

    /// Name of the family as nft writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }
}

/// What this node does with the traffic of one Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlan {
    /// The Service.
    pub name: ServiceName,
    /// Its ports, once for each family that has a frontend, in order of family, name and protocol.
    pub ports: Vec<PortPlan>,
}

/// One port of a Service in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortPlan {
    /// Family of all frontends and endpoints here.
    pub family: Family,
    /// Name of the Service port.
    pub name: PortName,
    /// Protocol of all frontends and endpoints here.
    pub protocol: Protocol,
    /// Whether a client keeps its endpoint; shared by all frontends.
    pub affinity: Affinity,
    /// How an endpoint is chosen for a new connection.
    pub choice: Choice,
    /// Sources that may use the load balancer's addresses; `None` lets everybody.
    pub sources: Option<Arc<[IpNet]>>,
    /// Where clients reach the port, ordered by address and port.
    pub frontends: Vec<Frontend>,
    /// Endpoints that serve clients of the whole cluster, ordered and without duplicates.
    ///
    /// Empty when no frontend uses it, whether there are endpoints or not.
    pub cluster: Arc<[Backend]>,
    /// Endpoints of this node that serve under a `Local` policy, ordered and without duplicates.
    ///
    /// Empty when no frontend uses it, whether there are endpoints or not.
    pub local: Arc<[Backend]>,
}

/// One endpoint address of a Service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it runs.
    pub place: Place,
    /// How much of the traffic it gets, beside the others of its pool; at least 1.
    pub weight: u8,
}

/// Where an endpoint runs, seen from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// On this node.
    Here,
    /// On another node, or unknown.
    Elsewhere,
}

/// Address, protocol and port of a frontend: what no two Services may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendKey {
    /// Destination address of the client's packets.
    pub address: IpAddr,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Destination port of the client's packets.
    pub port: Port,
}

/// Where clients reach a Service port, and what happens to them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontend {
    /// Address, protocol and port.
    pub key: FrontendKey,
    /// Which field of the Service it comes from.
    pub origin: Origin,
    /// What happens to a new connection.
    pub action: Action,
}

/// Which field of a Service a frontend comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// `spec.clusterIPs`.
    ClusterIp,
    /// `spec.ports[].nodePort` at an address of this node.
    NodePort,
    /// `spec.externalIPs`.
    ExternalIp,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
}

impl Origin {
    /// Whether traffic to it counts as coming from outside the cluster.
    #[must_use]
    pub const fn is_external(self) -> bool {
        !matches!(self, Self::ClusterIp)
    }
}

/// What happens to a new connection at a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It goes to an endpoint of `pool`, each as likely as its weight.
    Balance {
        /// Endpoints to choose from; never empty.
        pool: Pool,
        /// Whether the source address is replaced by the node's.
        masquerade: Masquerade,
    },
    /// `externalTrafficPolicy: Local`: clients from outside go to the local pool (and are dropped
    /// when it is empty) and keep their address; pods go to the cluster pool and keep theirs; the
    /// node goes to the cluster pool and is masqueraded. The cluster pool is never empty.
    PreserveSource,
    /// It is refused at once with an ICMP port unreachable: the Service has no usable endpoint.
    Reject,
    /// It is dropped: there are usable endpoints, but a policy keeps this node from them.
    Drop,
}

/// Which endpoints of a port a frontend chooses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// [`PortPlan::cluster`].
    Cluster,
    /// [`PortPlan::local`].
    Local,
}

/// Whether a balanced connection's source address is replaced by the node's.
///
/// A pod that reaches itself through its own Service is masqueraded whatever stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Masquerade {
    /// Never.
    Never,
    /// When the source is no pod.
    OffCluster,
    /// Always.
    Always,
}

impl PortPlan {
    /// Whether `source` may use `frontend`: source ranges guard the load balancer's addresses only.
    #[must_use]
    pub fn lets_in(&self, frontend: &Frontend, source: IpAddr) -> bool {
        match (&self.sources, frontend.origin) {
            (Some(ranges), Origin::LoadBalancer) => {
                ranges.iter().any(|range| range.contains(&source))
            }
            _ => true,
        }
    }

    /// The endpoints of `pool`.
    #[must_use]
    pub fn pool(&self, pool: Pool) -> &Arc<[Backend]> {
        match pool {
            Pool::Cluster => &self.cluster,
            Pool::Local => &self.local,
        }
    }
}

impl Action {
    /// Whether connections may go to endpoints of `pool`.
    #[must_use]
    pub fn uses(self, pool: Pool) -> bool {
        match self {
            Self::Balance { pool: used, .. } => used == pool,
            Self::PreserveSource => true,
            Self::Reject | Self::Drop => false,
        }
    }
}
