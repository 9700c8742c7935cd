//! What the operator chose for the whole node: flags, not objects.

use std::net::IpAddr;

use ipnet::IpNet;
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::port::Port;

use crate::interface::InterfaceName;
use crate::plan::{Family, Masquerade};

/// What the operator chose for the whole node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// How pods are told from other clients (`--detect-local-mode`).
    pub pods: PodDetection,
    /// Pod addresses of the whole cluster (`--cluster-cidr`); the first of each family counts.
    ///
    /// A source inside is a pod. A family without one has no pods, as far as rules go: nothing
    /// sent to its ClusterIPs is masqueraded, and its pods count as clients from outside. With
    /// [`PodDetection::NodeCidrs`] the planner keeps this at the pod addresses of its node.
    pub cluster_cidrs: Vec<IpNet>,
    /// Whether all traffic to ClusterIPs is masqueraded (`--masquerade-all`).
    pub masquerade_all: bool,
    /// Where node ports are open (`--nodeport-addresses`).
    pub node_ports: NodePortAddresses,
    /// Which `spec.externalIPs` are honored (`--allow-external-ips`); none by default.
    ///
    /// The field lets anybody who may write a Service take over any address (CVE-2020-8554).
    pub allow_external_ips: Vec<IpNet>,
    /// Ranges that ClusterIPs are given out of; what no Service has of them is dropped.
    ///
    /// The planner adds those of the cluster's `ServiceCIDR` objects.
    pub service_cidrs: Vec<IpNet>,
    /// What happens at a ClusterIP's ports that its Service does not have.
    pub unknown_ports: UnknownPorts,
    /// What becomes of TCP connections to endpoints that are gone (`--reset-dead-tcp`).
    pub dead_tcp: DeadTcp,
    /// Whether this node answers DNS queries to the cluster's DNS addresses itself
    /// (`--dns-node-local`).
    pub node_local_dns: NodeLocalDns,
    /// Whether what pods send each other is kept out of connection tracking (`--conntrack-bypass`).
    pub conntrack_bypass: ConntrackBypass,
}

/// Whether what pods send each other is kept out of connection tracking, where nothing of it can need
/// translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConntrackBypass {
    /// Everything is tracked, and there is no rule for it.
    #[default]
    Off,
    /// It is kept out. For nodes whose pods reach Services by translated sockets, since who is seen to
    /// be translated by rules is tracked.
    On,
}

/// Port of DNS, the only one that resolvers of pods ask at.
pub const DNS_PORT: u16 = 53;

/// Whether a node answers DNS queries to the cluster's DNS addresses itself.
///
/// While it does, packets are kept from translation; rules for that exist only where it may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NodeLocalDns {
    /// The endpoints of a Service answer, wherever they are.
    #[default]
    Off,
    /// It does, while its server lives; then the endpoints of the Service, on other nodes first.
    On {
        /// The Service that clients ask; `None` where they ask addresses that no Service has.
        service: Option<ServiceName>,
        /// Addresses that are answered besides those of the Service.
        addresses: Vec<IpAddr>,
    },
}

impl NodeLocalDns {
    /// Whether this node itself answers at `port` of `service` as long as it can.
    #[must_use]
    pub fn answers_for(&self, service: &ServiceName, port: Port) -> bool {
        match self {
            Self::Off => false,
            Self::On { service: own, .. } => {
                own.as_ref() == Some(service) && port.number() == DNS_PORT
            }
        }
    }

    /// Whether this node itself answers at `address` and `port`, whatever Service has them.
    #[must_use]
    pub fn answers_at(&self, address: IpAddr, port: Port) -> bool {
        match self {
            Self::Off => false,
            Self::On { addresses, .. } => addresses.contains(&address) && port.number() == DNS_PORT,
        }
    }
}

/// How pods are told from other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PodDetection {
    /// By the pod addresses of the cluster.
    #[default]
    ClusterCidrs,
    /// By the pod addresses of this node (`spec.podCIDRs`), as the Node object has them at the time.
    NodeCidrs,
    /// By the interface that their packets come in by, which is the same for both families.
    Interface(InterfaceName),
}

/// What becomes of TCP connections to endpoints that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeadTcp {
    /// They are left alone: the client finds out by itself.
    #[default]
    Keep,
    /// They are reset when the endpoint is in no slice any more.
    Reset,
}

/// What happens at a ClusterIP's ports that its Service does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownPorts {
    /// Refused at once, as with kube-proxy's nftables mode.
    #[default]
    Reject,
    /// Left to routing.
    Ignore,
}

/// Which addresses of the node accept node ports. Loopback addresses never do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NodePortAddresses {
    /// The node's first address of each family.
    #[default]
    Primary,
    /// Every address of the node inside one of these; a family that none of them names has no node
    /// ports.
    Cidrs(Vec<IpNet>),
    /// Both: the first of each family, and every address inside one of these.
    PrimaryAnd(Vec<IpNet>),
}

impl Policy {
    /// The range that tells pods from other sources in `family`.
    #[must_use]
    pub fn pod_cidr(&self, family: Family) -> Option<IpNet> {
        self.cluster_cidrs.iter().copied().find(|cidr| Family::of(cidr.addr()) == family)
    }

    /// Whether a client is a pod: `address` is its own, `interface` the one that it comes in by, if
    /// it comes in at all.
    #[must_use]
    pub fn is_pod(&self, address: IpAddr, interface: Option<InterfaceName>) -> bool {
        match self.pods {
            PodDetection::ClusterCidrs | PodDetection::NodeCidrs => {
                self.pod_cidr(Family::of(address)).is_some_and(|cidr| cidr.contains(&address))
            }
            PodDetection::Interface(pods) => interface.is_some_and(|found| pods.covers(found)),
        }
    }

    /// Whether pods of `family` can be told from other clients.
    #[must_use]
    pub fn tells_pods(&self, family: Family) -> bool {
        match self.pods {
            PodDetection::ClusterCidrs | PodDetection::NodeCidrs => self.pod_cidr(family).is_some(),
            PodDetection::Interface(_) => true,
        }
    }

    /// Whether a Service may claim `address` as one of its `externalIPs`.
    #[must_use]
    pub fn allows_external_ip(&self, address: IpAddr) -> bool {
        self.allow_external_ips.iter().any(|cidr| cidr.contains(&address))
    }

    /// Whether this node itself answers at `port` of `service` as long as it can, so that the
    /// Service's endpoints are asked only when its own server cannot be.
    #[must_use]
    pub fn answers_on_the_node(&self, service: &ServiceName, port: Port) -> bool {
        self.node_local_dns.answers_for(service, port)
    }

    /// Whose source address is replaced on the way to a ClusterIP of `family`.
    #[must_use]
    pub fn cluster_ip_masquerade(&self, family: Family) -> Masquerade {
        match (self.masquerade_all, self.tells_pods(family)) {
            (true, _) => Masquerade::Always,
            (false, true) => Masquerade::OffCluster,
            (false, false) => Masquerade::Never,
        }
    }
}
