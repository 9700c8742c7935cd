//! Nodes and Pods, as far as this node needs them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::label::Labels;
use crate::name::{NodeName, ObjectName};

/// One Node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name, the one that endpoints carry.
    pub name: NodeName,
    /// `status.addresses` of type InternalIP, then ExternalIP, in the order of the object.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`, at most one of each family.
    pub pod_cidrs: Vec<IpNet>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// Whether new traffic from load balancers may come here.
    pub eligibility: Eligibility,
}

/// Whether a node should get new traffic from load balancers (KEP-3836).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Eligibility {
    /// It should.
    #[default]
    Eligible,
    /// It is being deleted or has the taint `ToBeDeletedByClusterAutoscaler`.
    Leaving,
}

/// One Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Namespace and name.
    pub name: ObjectName,
    /// Node it is bound to, when it is.
    pub node: Option<NodeName>,
    /// `status.podIPs`, primary first; empty until the pod has one and after it has ended.
    pub addresses: Vec<IpAddr>,
    /// Whether it uses the node's own network namespace.
    pub host_network: bool,
    /// Whether its sockets may be given an endpoint when they are connected.
    pub sockets: Sockets,
    /// Those of its labels that are kept.
    pub labels: Labels,
}

/// Whether the sockets of a pod may be translated before any packet is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Sockets {
    /// They may.
    #[default]
    Translated,
    /// They are left alone, so that packets have the Service's address: the pod asks for that, or a
    /// service mesh has put a proxy into it that looks at the address.
    Untranslated,
}
