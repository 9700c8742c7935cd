//! What a plan means for one packet: the semantics that every back end must agree with.
//!
//! Answers with all endpoints that a new connection may go to, since which one it is, is left to
//! chance.

use std::net::{IpAddr, SocketAddr};

use podway_cluster_model::port::{Port, Protocol};

use crate::interface::InterfaceName;
use crate::plan::{Action, Backend, Frontend, FrontendKey, Masquerade, Place, Pool, PortPlan};
use crate::planner::Planner;
use crate::policy::UnknownPorts;

/// The first packet of a connection, as it reaches this node's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its destination port.
    pub port: Port,
    /// The interface it came in by; `None` where that does not matter, or it was made on this node.
    pub interface: Option<InterfaceName>,
}

/// Where a packet comes from, as far as rules tell sources apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourcePlace {
    /// A pod, as the operator has pods told.
    Pod,
    /// This node itself.
    Node,
    /// Anywhere else.
    Outside,
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is not for a frontend.
    Untouched,
    /// It is refused with an ICMP port unreachable.
    Reject,
    /// It is dropped.
    Drop,
    /// It goes to one of these, each as likely as its weight; there is at least one.
    Dnat(Vec<Target>),
}

/// An endpoint that a packet may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The endpoint.
    pub backend: Backend,
    /// Whether the endpoint sees the node's address in place of the client's.
    pub masquerade: bool,
}

/// What the plan of `planner` does with `packet`.
#[must_use]
pub fn route(planner: &Planner, packet: &Packet) -> Verdict {
    let key =
        FrontendKey { address: packet.destination, protocol: packet.protocol, port: packet.port };
    match planner.frontend(key) {
        Some((port, frontend)) => {
            let place = source_place(planner, packet.source, packet.interface);
            let mut verdict = arrive(port, frontend, packet.source, place);
            if let Verdict::Dnat(targets) = &mut verdict {
                for target in targets.iter_mut().filter(|target| !target.masquerade) {
                    let address = target.backend.address;
                    target.masquerade = address.ip() == packet.source
                        && is_on_this_node(planner, address, packet.protocol);
                }
            }
            verdict
        }
        None => nowhere(planner, packet.destination),
    }
}

/// Whether any Service has the endpoint `address` on this node.
///
/// Two Services may disagree (a slice that is late still has a pod's address that another pod got).
/// Rules know endpoints by address only, so to them it is on this node when one Service says so.
fn is_on_this_node(planner: &Planner, address: SocketAddr, protocol: Protocol) -> bool {
    let ports = planner.plans().flat_map(|plan| &plan.ports);
    ports
        .filter(|port| port.protocol == protocol)
        .flat_map(|port| [&port.cluster, &port.local])
        .flat_map(|pool| pool.iter())
        .any(|backend| backend.place == Place::Here && backend.address == address)
}

/// What happens at an address that may be a Service's, at a port that is none.
fn nowhere(planner: &Planner, destination: IpAddr) -> Verdict {
    let policy = planner.policy();
    let in_service_range = || policy.service_cidrs.iter().any(|range| range.contains(&destination));
    match (planner.is_cluster_ip(destination), policy.unknown_ports) {
        (true, UnknownPorts::Reject) => Verdict::Reject,
        (true, UnknownPorts::Ignore) => Verdict::Untouched,
        (false, _) if in_service_range() => Verdict::Drop,
        (false, _) => Verdict::Untouched,
    }
}

/// Where a packet from `source` comes from that came in by `interface`, if at all.
///
/// Pods come first: an address of the node inside the cluster CIDR (a bridge's) counts as a pod's.
#[must_use]
pub fn source_place(
    planner: &Planner,
    source: IpAddr,
    interface: Option<InterfaceName>,
) -> SourcePlace {
    if planner.policy().is_pod(source, interface) {
        SourcePlace::Pod
    } else if source.is_loopback() || planner.node().owns(source) {
        SourcePlace::Node
    } else {
        SourcePlace::Outside
    }
}

/// What happens at `frontend` of `port` to a new connection of `source`.
#[must_use]
pub fn arrive(port: &PortPlan, frontend: &Frontend, source: IpAddr, place: SourcePlace) -> Verdict {
    if !port.lets_in(frontend, source) {
        return Verdict::Drop;
    }
    let (pool, masquerade) = match frontend.action {
        Action::Reject => return Verdict::Reject,
        Action::Drop => return Verdict::Drop,
        Action::Balance { pool, masquerade } => {
            let masquerade = match masquerade {
                Masquerade::Never => false,
                Masquerade::OffCluster => place != SourcePlace::Pod,
                Masquerade::Always => true,
            };
            (pool, masquerade)
        }
        Action::PreserveSource => match place {
            SourcePlace::Pod => (Pool::Cluster, false),
            SourcePlace::Node => (Pool::Cluster, true),
            SourcePlace::Outside => (Pool::Local, false),
        },
    };
    let targets: Vec<Target> = port
        .pool(pool)
        .iter()
        .map(|&backend| Target { backend, masquerade: masquerade || hairpin(backend, source) })
        .collect();
    if targets.is_empty() { Verdict::Drop } else { Verdict::Dnat(targets) }
}

/// Whether `backend` would talk to itself: it must see another address to answer through the node.
fn hairpin(backend: Backend, source: IpAddr) -> bool {
    backend.place == Place::Here && backend.address.ip() == source
}
