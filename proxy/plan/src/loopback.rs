//! Node ports on this node's loopback addresses, which a forwarder in user space serves.
//!
//! The kernel cannot: a packet from 127.0.0.1 may not leave the node, and translating it after all
//! (`route_localnet`) opens what listens on loopback to neighbors (CVE-2020-8558); for `::1` there is
//! not even that. Which endpoints serve is what `externalTrafficPolicy` says, without the exceptions
//! for local clients. All of a loopback address is one client, so `sessionAffinity` gives each port one
//! endpoint at a time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use podway_cluster_model::name::ServiceName;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::{Affinity, ProxyOwner, Service, ServicePort, TrafficPolicy};
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};

use crate::claims::Age;
use crate::node::NodeView;
use crate::plan::{Backend, Family, FrontendKey};
use crate::select::{self, PortQuery};

/// Every node port on loopback, kept in step with snapshots.
#[derive(Debug)]
pub struct LoopbackPorts {
    node: NodeView,
    /// Who wants a port, the winner first, with its endpoints.
    ports: BTreeMap<FrontendKey, BTreeMap<Claimant, Served>>,
    /// What each Service wants.
    services: BTreeMap<ServiceName, (Claimant, BTreeSet<FrontendKey>)>,
}

/// What serves a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// The endpoints; none where the port is not to be served.
    pub backends: Arc<[Backend]>,
    /// Whether they are all used at a time.
    pub affinity: Affinity,
}

/// A Service that wants a port: the oldest gets it.
type Claimant = (Age, ServiceName);

/// What a Service wants on loopback.
struct Wanted {
    claimant: Claimant,
    /// Endpoints by port.
    ports: BTreeMap<FrontendKey, Served>,
}

/// The loopback address of `family` that node ports are served at.
#[must_use]
pub const fn address(family: Family) -> IpAddr {
    match family {
        Family::Ip => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::Ip6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

impl LoopbackPorts {
    /// The ports of `node`, which has seen no snapshot.
    #[must_use]
    pub const fn new(node: NodeView) -> Self {
        Self { node, ports: BTreeMap::new(), services: BTreeMap::new() }
    }

    /// Follows `snapshot`, which differs from the one before by no more than `delta`; gives the
    /// endpoints of each port that has others now, none where it is not to be served.
    pub fn update(&mut self, snapshot: &Snapshot, delta: &Delta) -> BTreeMap<FrontendKey, Served> {
        let mut services = delta.services.clone();
        if delta.nodes.contains(&self.node.name) {
            let object = snapshot.nodes.get(&self.node.name).map(AsRef::as_ref);
            let node = self.node.clone().with_object(object);
            if node != self.node {
                self.node = node;
                services = self.services.keys().chain(snapshot.services.keys()).cloned().collect();
            }
        }
        let mut before: BTreeMap<FrontendKey, Served> = BTreeMap::new();
        for name in services {
            let entry = snapshot.services.get(&name).map(AsRef::as_ref);
            let wanted = entry.and_then(|entry| wanted(entry, &self.node));
            let old = self.services.get(&name).into_iter().flat_map(|(_, keys)| keys);
            let new = wanted.iter().flat_map(|wanted| wanted.ports.keys());
            for key in old.chain(new).copied().collect::<BTreeSet<_>>() {
                before.entry(key).or_insert_with(|| self.at(key));
            }
            self.replace(&name, wanted);
        }
        before
            .into_iter()
            .map(|(key, before)| (key, before, self.at(key)))
            .filter(|(_, before, after)| before != after)
            .map(|(key, _, after)| (key, after))
            .collect()
    }

    /// The endpoints that serve `key`; none where nobody does.
    #[must_use]
    pub fn at(&self, key: FrontendKey) -> Served {
        let winner = self.ports.get(&key).and_then(BTreeMap::first_key_value);
        winner.map(|(_, served)| served.clone()).unwrap_or_default()
    }

    fn replace(&mut self, name: &ServiceName, wanted: Option<Wanted>) {
        if let Some((claimant, keys)) = self.services.remove(name) {
            for key in keys {
                if let Entry::Occupied(mut claimants) = self.ports.entry(key) {
                    claimants.get_mut().remove(&claimant);
                    if claimants.get().is_empty() {
                        claimants.remove();
                    }
                }
            }
        }
        let Some(Wanted { claimant, ports }) = wanted else { return };
        let keys = ports.keys().copied().collect();
        for (key, backends) in ports {
            self.ports.entry(key).or_default().insert(claimant.clone(), backends);
        }
        self.services.insert(name.clone(), (claimant, keys));
    }
}

/// What the Service of `entry` wants; `None` when that is nothing.
fn wanted(entry: &ServiceEntry, node: &NodeView) -> Option<Wanted> {
    let service = entry.service.as_deref().filter(|service| service.proxy == ProxyOwner::Podway)?;
    let mut ports = BTreeMap::new();
    for family in service.cluster_ips().iter().map(|address| Family::of(*address)) {
        for port in &service.ports {
            if let Some(key) = key(port, family) {
                ports.insert(key, served(entry, service, port, family, node));
            }
        }
    }
    let claimant = (Age::of(service), service.name.clone());
    (!ports.is_empty()).then_some(Wanted { claimant, ports })
}

/// Where `port` is served; `None` without a node port, and for SCTP, which is not forwarded.
fn key(port: &ServicePort, family: Family) -> Option<FrontendKey> {
    match port.protocol {
        Protocol::Tcp | Protocol::Udp => Some(FrontendKey {
            address: address(family),
            protocol: port.protocol,
            port: port.node_port?,
        }),
        Protocol::Sctp => None,
    }
}

fn served(
    entry: &ServiceEntry,
    service: &Service,
    port: &ServicePort,
    family: Family,
    node: &NodeView,
) -> Served {
    let query = PortQuery { family, name: &port.name, protocol: port.protocol };
    let candidates = select::candidates(entry, query, node);
    let backends = match service.external.policy {
        TrafficPolicy::Cluster => select::cluster_pool(&candidates, node),
        TrafficPolicy::Local => select::local_pool(&candidates, node),
    };
    Served { backends, affinity: service.affinity }
}
