//! What load balancers are told at `healthCheckNodePort`: whether this node has endpoints.
//!
//! Only Services of type LoadBalancer with `externalTrafficPolicy: Local` have such a port, which
//! `cluster/watch` sees to. Counted are the addresses of this node's ready endpoints; an endpoint on
//! its way out still gets traffic, but the load balancer is to look elsewhere (KEP-1669).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podway_cluster_model::name::{NodeName, ServiceName};
use podway_cluster_model::port::Port;
use podway_cluster_model::service::{ProxyOwner, Service};
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};

use crate::claims::Age;
use crate::plan::Family;

/// What one health check port tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The Service that is asked about.
    pub service: ServiceName,
    /// How many ready endpoints it has on this node.
    pub local_endpoints: usize,
}

/// Every health check port, kept in step with snapshots.
#[derive(Debug)]
pub struct HealthChecks {
    node: NodeName,
    /// Who wants a port, the winner first, with its endpoints here.
    ports: BTreeMap<Port, BTreeMap<Claimant, usize>>,
    /// What each Service wants.
    services: BTreeMap<ServiceName, (Port, Claimant)>,
}

/// A Service that wants a port: the oldest gets it.
type Claimant = (Age, ServiceName);

impl HealthChecks {
    /// The health checks of `node`, which has seen no snapshot.
    #[must_use]
    pub const fn new(node: NodeName) -> Self {
        Self { node, ports: BTreeMap::new(), services: BTreeMap::new() }
    }

    /// Follows `snapshot`, which differs from the one before by no more than `delta`; gives the ports
    /// that tell something else now, `None` where nobody asks any more.
    pub fn update(
        &mut self,
        snapshot: &Snapshot,
        delta: &Delta,
    ) -> BTreeMap<Port, Option<HealthCheck>> {
        let mut before: BTreeMap<Port, Option<HealthCheck>> = BTreeMap::new();
        for name in &delta.services {
            let entry = snapshot.services.get(name).map(AsRef::as_ref);
            let wanted = entry.and_then(|entry| self.wanted(entry));
            let old = self.services.get(name).map(|(port, _)| *port);
            for port in old.into_iter().chain(wanted.as_ref().map(|(port, ..)| *port)) {
                before.entry(port).or_insert_with(|| self.at(port));
            }
            self.replace(name, wanted);
        }
        before
            .into_iter()
            .map(|(port, before)| (port, before, self.at(port)))
            .filter(|(_, before, after)| before != after)
            .map(|(port, _, after)| (port, after))
            .collect()
    }

    /// What `port` tells; `None` where nobody asks.
    #[must_use]
    pub fn at(&self, port: Port) -> Option<HealthCheck> {
        let ((_, service), local_endpoints) = self.ports.get(&port)?.first_key_value()?;
        Some(HealthCheck { service: service.clone(), local_endpoints: *local_endpoints })
    }

    /// What the Service of `entry` wants, with its endpoints here.
    fn wanted(&self, entry: &ServiceEntry) -> Option<(Port, Claimant, usize)> {
        let service = entry.service.as_deref().filter(|service| is_ours(service))?;
        let port = service.external.health_check_node_port?;
        let claimant = (Age::of(service), service.name.clone());
        Some((port, claimant, local_endpoints(entry, &self.node)))
    }

    fn replace(&mut self, name: &ServiceName, wanted: Option<(Port, Claimant, usize)>) {
        if let Some((port, claimant)) = self.services.remove(name)
            && let Entry::Occupied(mut claimants) = self.ports.entry(port)
        {
            claimants.get_mut().remove(&claimant);
            if claimants.get().is_empty() {
                claimants.remove();
            }
        }
        if let Some((port, claimant, count)) = wanted {
            self.ports.entry(port).or_default().insert(claimant.clone(), count);
            self.services.insert(name.clone(), (port, claimant));
        }
    }
}

fn is_ours(service: &Service) -> bool {
    service.proxy == ProxyOwner::Podway && !service.cluster_ips().is_empty()
}

/// How many ready endpoints of `entry` are on `node`.
///
/// Addresses are counted, each once whatever its ports; a pod with an address of each family counts
/// once, so it is the family with the most that tells.
fn local_endpoints(entry: &ServiceEntry, node: &NodeName) -> usize {
    let addresses: BTreeSet<IpAddr> = entry
        .slices
        .values()
        .filter(|slice| !slice.ports.is_empty())
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.node.as_ref() == Some(node) && endpoint.condition.is_ready())
        .map(|endpoint| endpoint.address)
        .collect();
    let of = |family| addresses.iter().filter(|address| Family::of(**address) == family).count();
    Family::ALL.into_iter().map(of).max().unwrap_or(0)
}
