//! Chooses the endpoints that may serve a port on this node.
//!
//! Input is a Service's slices, output are ordered lists. Rules: KEP-1669 (terminating endpoints),
//! KEP-2433 and KEP-3015 (zone and node hints), and what kube-proxy does with them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use podway_cluster_model::endpoint::{Condition, Endpoint};
use podway_cluster_model::name::PortName;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::DEFAULT_WEIGHT;
use podway_cluster_model::snapshot::ServiceEntry;

use crate::node::NodeView;
use crate::plan::{Backend, Family, Place};

/// Which endpoints are asked for: a Service port in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortQuery<'a> {
    /// Family of the endpoints' addresses.
    pub family: Family,
    /// Name of the Service port.
    pub name: &'a PortName,
    /// Its protocol.
    pub protocol: Protocol,
}

/// An endpoint that may serve: ready, or terminating and still serving.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where and on which node it listens.
    pub backend: Backend,
    /// What its slice says of it.
    pub endpoint: &'a Endpoint,
}

/// Every endpoint that a slice of `entry` names for `query`, whatever its condition, and where it
/// listens.
pub(crate) fn named<'a>(
    entry: &'a ServiceEntry,
    query: PortQuery<'_>,
) -> impl Iterator<Item = (SocketAddr, &'a Endpoint)> {
    entry.slices.values().flat_map(move |slice| {
        let ports = slice.ports.iter();
        let asked =
            ports.filter(move |port| port.name == *query.name && port.protocol == query.protocol);
        asked.flat_map(move |port| {
            let endpoints = slice.endpoints.iter();
            endpoints.filter(move |endpoint| Family::of(endpoint.address) == query.family).map(
                move |endpoint| (SocketAddr::new(endpoint.address, port.port.number()), endpoint),
            )
        })
    })
}

/// The endpoints of `entry` that may serve `query`, by address and without duplicates.
///
/// When nothing comes out, no policy could find an endpoint anywhere. Slices may give one address
/// twice after a pod's address was reused: the endpoint that is not on its way out counts, ready or
/// not.
#[must_use]
pub fn candidates<'a>(
    entry: &'a ServiceEntry,
    query: PortQuery<'_>,
    node: &NodeView,
) -> Vec<Candidate<'a>> {
    let weights = entry.service.as_deref().map(|service| &service.spread.weights);
    let mut found: Vec<_> = named(entry, query)
        .map(|(address, endpoint)| Candidate {
            backend: Backend {
                address,
                place: place(endpoint, node),
                weight: weight(endpoint, weights),
            },
            endpoint,
        })
        .collect();
    found.sort_by(|one, other| {
        let address = |candidate: &Candidate<'_>| candidate.backend.address;
        address(one)
            .cmp(&address(other))
            .then_with(|| duplicate_order(one.endpoint, other.endpoint))
            // Two that differ in their Pod alone may have weights of their own.
            .then_with(|| other.backend.weight.cmp(&one.backend.weight))
    });
    found.dedup_by_key(|candidate| candidate.backend.address);
    found.retain(|candidate| candidate.endpoint.condition != Condition::NotReady);
    found
}

/// `candidates` without those of this node where another node has a ready one.
///
/// For what this node answers itself while it can: when packets come to be sent to an endpoint, the
/// one on this node is what does not answer.
#[must_use]
pub fn elsewhere_first<'a>(candidates: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let is_elsewhere = |candidate: &Candidate<'_>| candidate.backend.place == Place::Elsewhere;
    let has_other = candidates
        .iter()
        .any(|candidate| is_elsewhere(candidate) && candidate.endpoint.condition.is_ready());
    let kept = candidates.iter().filter(|candidate| !has_other || is_elsewhere(candidate));
    kept.copied().collect()
}

/// The endpoints that serve clients of the whole cluster; empty only when `candidates` is.
#[must_use]
pub fn cluster_pool(candidates: &[Candidate<'_>], node: &NodeView) -> Arc<[Backend]> {
    let topology = topology(candidates, node);
    let close = |endpoint: &Endpoint| match topology {
        Topology::Node => endpoint.hints.nodes.contains(&node.name),
        Topology::Zone(zone) => endpoint.hints.zones.contains(zone),
        Topology::Anywhere => true,
    };
    // Without a ready endpoint there is no topology, so the fallback is not filtered.
    ready_or_terminating(candidates, close)
}

/// The endpoints of this node that serve under a `Local` policy.
///
/// Hints do not count here, and the fallback to terminating endpoints is this node's own.
#[must_use]
pub fn local_pool(candidates: &[Candidate<'_>], node: &NodeView) -> Arc<[Backend]> {
    ready_or_terminating(candidates, |endpoint| place(endpoint, node) == Place::Here)
}

/// The ready ones among those that `suits` names; where none is ready, the terminating ones.
///
/// One of weight 0 gets nothing while another has more; when all have 0, they are alike.
fn ready_or_terminating(
    candidates: &[Candidate<'_>],
    suits: impl Fn(&Endpoint) -> bool,
) -> Arc<[Backend]> {
    let pool = |ready: bool| -> Arc<[Backend]> {
        let suitable = || {
            candidates
                .iter()
                .filter(|candidate| candidate.endpoint.condition.is_ready() == ready)
                .filter(|candidate| suits(candidate.endpoint))
                .map(|candidate| candidate.backend)
        };
        if suitable().all(|backend| backend.weight == 0) {
            suitable().map(|backend| Backend { weight: DEFAULT_WEIGHT, ..backend }).collect()
        } else {
            suitable().filter(|backend| backend.weight > 0).collect()
        }
    };
    let ready = pool(true);
    if ready.is_empty() { pool(false) } else { ready }
}

/// Which hints count.
#[derive(Debug, Clone, Copy)]
enum Topology<'a> {
    /// Endpoints hinted for this node.
    Node,
    /// Endpoints hinted for this zone, the node's.
    Zone(&'a Arc<str>),
    /// None: every endpoint.
    Anywhere,
}

/// Which hints count for `candidates`.
///
/// A kind of hint counts when every ready endpoint has one of the kind and one of them is meant for
/// this node. One endpoint without a hint therefore switches the kind off: its hints are being
/// written or removed, and half of them would overload few endpoints.
fn topology<'a>(candidates: &[Candidate<'_>], node: &'a NodeView) -> Topology<'a> {
    let ready = || {
        candidates
            .iter()
            .filter(|candidate| candidate.endpoint.condition.is_ready())
            .map(|candidate| &candidate.endpoint.hints)
    };
    if ready().all(|hints| !hints.nodes.is_empty())
        && ready().any(|hints| hints.nodes.contains(&node.name))
    {
        return Topology::Node;
    }
    match &node.zone {
        Some(zone)
            if ready().all(|hints| !hints.zones.is_empty())
                && ready().any(|hints| hints.zones.contains(zone)) =>
        {
            Topology::Zone(zone)
        }
        _ => Topology::Anywhere,
    }
}

/// What the Service gives `endpoint`, by its address or else its Pod.
fn weight(endpoint: &Endpoint, weights: Option<&BTreeMap<Arc<str>, u8>>) -> u8 {
    let Some(weights) = weights.filter(|weights| !weights.is_empty()) else {
        return DEFAULT_WEIGHT;
    };
    let by_address = weights.get(endpoint.address.to_string().as_str());
    let by_pod = || weights.get(endpoint.pod.as_ref()?.as_str());
    by_address.or_else(by_pod).copied().unwrap_or(DEFAULT_WEIGHT)
}

/// Where `endpoint` runs.
fn place(endpoint: &Endpoint, node: &NodeView) -> Place {
    if endpoint.node.as_ref() == Some(&node.name) { Place::Here } else { Place::Elsewhere }
}

/// Orders endpoints of one address: the one that counts comes first.
///
/// Beyond the condition the order has no meaning but to be the same whatever the slices are called.
fn duplicate_order(one: &Endpoint, other: &Endpoint) -> Ordering {
    let order = |endpoint: &Endpoint| {
        let condition = endpoint.condition;
        (condition.is_terminating(), !condition.is_ready())
    };
    order(one)
        .cmp(&order(other))
        .then_with(|| one.node.cmp(&other.node))
        .then_with(|| one.hints.nodes.cmp(&other.hints.nodes))
        .then_with(|| one.hints.zones.cmp(&other.hints.zones))
}
