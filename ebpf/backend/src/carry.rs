//! Which back end carries a frontend: eBPF what it can do as well as nftables, nftables the rest.
//!
//! nftables has rules for every frontend whatever is said here; what eBPF does not carry is absent
//! from its maps, and its packets meet those rules.

use std::fmt;

use podway_cluster_model::name::ServiceName;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::Choice;
use podway_proxy_plan::plan::{
    Action, Family, Frontend, FrontendKey, Masquerade, Origin, Pool, PortPlan,
};
use podway_proxy_plan::policy::{NodeLocalDns, PodDetection, Policy};

/// Who carries a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// eBPF, with endpoints of this pool.
    Ebpf(Pool),
    /// nftables alone.
    Nftables(Reason),
}

/// Why eBPF does not carry a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Sockets of the protocol have no hook.
    Protocol,
    /// The client's address is chosen after the endpoint, so ranges cannot be compared with it.
    SourceRanges,
    /// The endpoint follows from the client's address, which is chosen after it.
    ClientHash,
    /// The operator wants the node's address as source (`--masquerade-all`).
    Masquerade,
    /// Local clients and others are treated differently, and pods cannot be told.
    PodsUnknown,
    /// Packets are dropped; a connect could only be refused.
    Dropped,
    /// The node's own DNS server answers there while it lives, which only rules find out in time.
    AnsweredOnTheNode,
}

/// What the choice depends on besides the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Whether pods are told from other clients, IPv4 first.
    pods_told: [bool; 2],
    /// What is answered on the node itself.
    node_local_dns: NodeLocalDns,
}

impl Site {
    /// The site of an operator who chose `policy`.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let told = |family| match policy.pods {
            PodDetection::ClusterCidrs => policy.pod_cidr(family).is_some(),
            PodDetection::Interface(_) => true,
            // Until the Node object is there pods cannot be told, and that may change at any time.
            PodDetection::NodeCidrs => false,
        };
        let node_local_dns = policy.node_local_dns.clone();
        Self { pods_told: Family::ALL.map(told), node_local_dns }
    }

    fn tells_pods(&self, family: Family) -> bool {
        let [v4, v6] = self.pods_told;
        match family {
            Family::Ip => v4,
            Family::Ip6 => v6,
        }
    }

    /// Whether the node's own DNS server answers at `frontend` of `service` while it lives.
    fn answers(&self, service: &ServiceName, frontend: &Frontend) -> bool {
        let FrontendKey { address, port, .. } = frontend.key;
        let of_service =
            frontend.origin == Origin::ClusterIp && self.node_local_dns.answers_for(service, port);
        of_service || self.node_local_dns.answers_at(address, port)
    }
}

/// Who carries `frontend` of `service`'s `port`.
#[must_use]
pub fn carrier(
    service: &ServiceName,
    port: &PortPlan,
    frontend: &Frontend,
    site: &Site,
) -> Carrier {
    match port.protocol {
        Protocol::Tcp | Protocol::Udp => {}
        Protocol::Sctp => return Carrier::Nftables(Reason::Protocol),
    }
    if site.answers(service, frontend) {
        return Carrier::Nftables(Reason::AnsweredOnTheNode);
    }
    if port.sources.is_some() && frontend.origin == Origin::LoadBalancer {
        return Carrier::Nftables(Reason::SourceRanges);
    }
    match port.choice {
        Choice::Random => {}
        Choice::ClientHash => return Carrier::Nftables(Reason::ClientHash),
    }
    match frontend.action {
        // Only the lack of any endpoint refuses, so the pool of the whole cluster is empty.
        Action::Reject => Carrier::Ebpf(Pool::Cluster),
        Action::Drop => Carrier::Nftables(Reason::Dropped),
        // Every client here is a pod or the node, and both go to the cluster's pool.
        Action::PreserveSource if site.tells_pods(port.family) => Carrier::Ebpf(Pool::Cluster),
        Action::PreserveSource => Carrier::Nftables(Reason::PodsUnknown),
        Action::Balance { pool, masquerade } => match (masquerade, frontend.origin) {
            (Masquerade::Always, Origin::ClusterIp) => Carrier::Nftables(Reason::Masquerade),
            // Masquerading brings replies of clients from outside back to this node; a client
            // here gets them anyway.
            (Masquerade::Always | Masquerade::OffCluster | Masquerade::Never, _) => {
                Carrier::Ebpf(pool)
            }
        },
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ebpf(_) => formatter.write_str("ebpf"),
            Self::Nftables(reason) => write!(formatter, "nftables: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Protocol => "no hook for SCTP",
            Self::SourceRanges => "source ranges",
            Self::ClientHash => "hash of the client's address",
            Self::Masquerade => "masquerading is asked for",
            Self::PodsUnknown => "pods cannot be told",
            Self::Dropped => "dropped",
            Self::AnsweredOnTheNode => "answered on the node",
        })
    }
}
