//! Where clients reach a Service: its addresses and ports, and the field each comes from.
//!
//! Endpoints play no part here. A Service without a ClusterIP of a family has no frontend at all in
//! that family, whatever its other addresses are, as with kube-proxy.

use std::net::IpAddr;

use podway_cluster_model::name::PortName;
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{LoadBalancerMode, ProxyOwner, Service, ServicePort};

use crate::node::NodeView;
use crate::plan::{Family, FrontendKey, Origin};
use crate::policy::Policy;

/// One frontend that a Service port asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the Service port.
    pub port: PortName,
    /// Address, protocol and port.
    pub key: FrontendKey,
    /// Which field of the Service it comes from.
    pub origin: Origin,
}

impl Wanted {
    /// Family of its address.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.key.address)
    }

    /// Whether both belong to one port of a Service in one family.
    #[must_use]
    pub fn same_port(&self, other: &Self) -> bool {
        self.port_order() == other.port_order()
    }

    /// What a [`PortPlan`](crate::plan::PortPlan) stands for, in the order of port plans.
    fn port_order(&self) -> (Family, &PortName, Protocol) {
        (self.family(), &self.port, self.key.protocol)
    }
}

/// The frontends that `service` asks for, by family, port name and protocol, then by address.
///
/// An address that two fields of a port name comes once; a Service that another proxy programs asks
/// for nothing.
#[must_use]
pub fn wanted(service: &Service, node: &NodeView, policy: &Policy) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    if service.proxy == ProxyOwner::Other {
        return wanted;
    }
    for family in Family::ALL {
        let addresses = service_addresses(service, family, policy);
        if addresses.is_empty() {
            continue;
        }
        for port in &service.ports {
            wanted.extend(
                addresses.iter().map(|&(address, origin)| want(port, address, port.port, origin)),
            );
        }
        wanted.extend(node_ports(service, family, node, policy));
    }
    wanted.sort_by(|one, other| {
        let order = |wanted: &Wanted| (wanted.key, precedence(wanted.origin));
        one.port_order().cmp(&other.port_order()).then_with(|| order(one).cmp(&order(other)))
    });
    wanted.dedup_by(|later, first| later.key == first.key && later.same_port(first));
    // Kept for as long as the Service.
    wanted.shrink_to_fit();
    wanted
}

/// The addresses of `family` at which `service` takes its own port numbers; none without a
/// ClusterIP.
fn service_addresses(service: &Service, family: Family, policy: &Policy) -> Vec<(IpAddr, Origin)> {
    let ours = |address: &IpAddr| Family::of(*address) == family;
    let Some(cluster_ip) = service.cluster_ips().iter().copied().find(ours) else {
        return Vec::new();
    };
    let external = service
        .external
        .addresses
        .iter()
        .copied()
        .filter(|address| policy.allows_external_ip(*address))
        .map(|address| (address, Origin::ExternalIp));
    let load_balancer = service
        .external
        .load_balancer
        .iter()
        .filter(|ingress| ingress.mode == LoadBalancerMode::Vip)
        .map(|ingress| (ingress.address, Origin::LoadBalancer));
    std::iter::once((cluster_ip, Origin::ClusterIp))
        .chain(external.chain(load_balancer).filter(|(address, _)| ours(address)))
        .collect()
}

/// The node ports of `service` at each address of the node that accepts them.
fn node_ports(service: &Service, family: Family, node: &NodeView, policy: &Policy) -> Vec<Wanted> {
    if service.ports.iter().all(|port| port.node_port.is_none()) {
        return Vec::new();
    }
    let addresses = node.node_port_addresses(family, &policy.node_ports);
    service
        .ports
        .iter()
        .filter_map(|port| port.node_port.map(|number| (port, number)))
        .flat_map(|(port, number)| {
            addresses.iter().map(move |&address| want(port, address, number, Origin::NodePort))
        })
        .collect()
}

fn want(port: &ServicePort, address: IpAddr, number: Port, origin: Origin) -> Wanted {
    let key = FrontendKey { address, protocol: port.protocol, port: number };
    Wanted { port: port.name.clone(), key, origin }
}

/// Which field counts when several name one address: the least.
///
/// A load balancer's address comes before the other external ones, since source ranges guard it.
const fn precedence(origin: Origin) -> u8 {
    match origin {
        Origin::ClusterIp => 0,
        Origin::LoadBalancer => 1,
        Origin::NodePort => 2,
        Origin::ExternalIp => 3,
    }
}
