//! This node, as far as decisions depend on it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podway_cluster_model::name::NodeName;
use podway_cluster_model::node::Node;

use crate::plan::Family;
use crate::policy::NodePortAddresses;

/// This node, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// Its name, the one that local endpoints carry.
    pub name: NodeName,
    /// Its zone, which zone hints speak of.
    pub zone: Option<Arc<str>>,
    /// Addresses of its Node object; the first of each family is the primary one.
    pub addresses: Vec<IpAddr>,
    /// Ranges that its pods get their addresses from.
    pub pod_cidrs: Vec<IpNet>,
    /// Addresses found on its interfaces, which the Node object may not know.
    pub interfaces: Vec<IpAddr>,
}

impl NodeView {
    /// A node of which only the name is known.
    #[must_use]
    pub fn bare(name: NodeName) -> Self {
        Self {
            name,
            zone: None,
            addresses: Vec::new(),
            pod_cidrs: Vec::new(),
            interfaces: Vec::new(),
        }
    }

    /// The same node with the addresses found on its interfaces.
    #[must_use]
    pub fn with_interfaces(self, interfaces: Vec<IpAddr>) -> Self {
        Self { interfaces, ..self }
    }

    /// The same node with what its Node object says now; `None` where there is no such object.
    #[must_use]
    pub fn with_object(self, node: Option<&Node>) -> Self {
        let Self { name, interfaces, .. } = self;
        match node {
            Some(node) => Self {
                name,
                zone: node.zone.clone(),
                addresses: node.addresses.clone(),
                pod_cidrs: node.pod_cidrs.clone(),
                interfaces,
            },
            None => Self::bare(name).with_interfaces(interfaces),
        }
    }

    /// Whether `address` is one of the node's own.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        self.all_addresses().any(|own| own == address)
    }

    /// The node's address in `family`: the first of its Node object that is not loopback.
    ///
    /// The addresses of interfaces stand in only while there is no Node object: the first of them
    /// may be a bridge's as well as the node's.
    #[must_use]
    pub fn primary(&self, family: Family) -> Option<IpAddr> {
        let known = if self.addresses.is_empty() { &self.interfaces } else { &self.addresses };
        known
            .iter()
            .copied()
            .find(|address| Family::of(*address) == family && !address.is_loopback())
    }

    /// The addresses of `family` that accept node ports.
    #[must_use]
    pub fn node_port_addresses(
        &self,
        family: Family,
        chosen: &NodePortAddresses,
    ) -> BTreeSet<IpAddr> {
        match chosen {
            NodePortAddresses::Primary => self.primary(family).into_iter().collect(),
            NodePortAddresses::Cidrs(cidrs) => self.inside(family, cidrs).collect(),
            NodePortAddresses::PrimaryAnd(cidrs) => {
                self.primary(family).into_iter().chain(self.inside(family, cidrs)).collect()
            }
        }
    }

    /// Addresses of `family` inside one of `cidrs`, without those of loopback.
    fn inside(&self, family: Family, cidrs: &[IpNet]) -> impl Iterator<Item = IpAddr> {
        self.all_addresses()
            .filter(move |address| Family::of(*address) == family && !address.is_loopback())
            .filter(|address| cidrs.iter().any(|cidr| cidr.contains(address)))
    }

    /// Addresses of the Node object, then those of interfaces; one may come twice.
    fn all_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().chain(&self.interfaces).copied()
    }
}

impl From<&Node> for NodeView {
    fn from(node: &Node) -> Self {
        Self::bare(node.name.clone()).with_object(Some(node))
    }
}
