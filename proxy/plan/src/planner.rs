//! Keeps the plan in step with the snapshot, at the cost of what changed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podway_cluster_model::name::{PortName, ServiceName};
use podway_cluster_model::service::Service;
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};

use crate::claims::{Claim, Claims, Conflict, conflicts_of};
use crate::decide::{self, Site};
use crate::frontends::{self, Wanted};
use crate::node::NodeView;
use crate::plan::{Frontend, FrontendKey, Origin, PortPlan, ServicePlan};
use crate::policy::{PodDetection, Policy};

/// The plan of every Service, kept in step with snapshots.
///
/// The plan depends on the newest snapshot only, never on the way there.
#[derive(Debug)]
pub struct Planner {
    policy: Policy,
    /// The ranges of ClusterIPs that the operator gave; those of `ServiceCIDR`s come on top.
    given_service_cidrs: Vec<IpNet>,
    node: NodeView,
    /// Whether the node or the policy differs from what the plans were made for.
    node_changed: bool,
    services: BTreeMap<ServiceName, Planned>,
    claims: Claims,
    /// ClusterIPs in use, with the number of ports there.
    cluster_ips: HashMap<IpAddr, usize>,
}

/// What is kept of one Service.
#[derive(Debug, Default)]
struct Planned {
    /// The frontends it asks for, as they stand in the claims.
    asks: Option<Asks>,
    /// Its plan; `None` when it has no frontend.
    plan: Option<Arc<ServicePlan>>,
}

/// The frontends that a Service asks for.
#[derive(Debug)]
struct Asks {
    /// The Service as it was then: its age decides who wins.
    service: Arc<Service>,
    wanted: Vec<Wanted>,
}

/// What an update changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New plans of the Services whose plan differs; `None` where there is none any more.
    pub plans: BTreeMap<ServiceName, Option<Arc<ServicePlan>>>,
    /// Plans that those replace, of the Services that had one.
    pub replaced: BTreeMap<ServiceName, Arc<ServicePlan>>,
    /// Conflicts that were not there before.
    pub appeared: Vec<Conflict>,
    /// Conflicts that are there no more.
    pub healed: Vec<Conflict>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // A plan that was replaced has its successor among the plans.
        let Self { plans, replaced: _, appeared, healed } = self;
        plans.is_empty() && appeared.is_empty() && healed.is_empty()
    }

    /// The plan that `service` had before its plan changed, if it had one.
    #[must_use]
    pub fn replaced(&self, service: &ServiceName) -> Option<&ServicePlan> {
        self.replaced.get(service).map(AsRef::as_ref)
    }
}

impl Planner {
    /// A planner for `node` that has seen no snapshot.
    #[must_use]
    pub fn new(mut policy: Policy, node: NodeView) -> Self {
        if policy.pods == PodDetection::NodeCidrs {
            policy.cluster_cidrs.clone_from(&node.pod_cidrs);
        }
        Self {
            given_service_cidrs: policy.service_cidrs.clone(),
            policy,
            node,
            node_changed: false,
            services: BTreeMap::new(),
            claims: Claims::default(),
            cluster_ips: HashMap::new(),
        }
    }

    /// Follows `snapshot`, which differs from the one before by no more than `delta`.
    ///
    /// Visits the Services in `delta` and those that share a frontend with them; all of them when
    /// this node's own Node object or its interfaces changed.
    pub fn update(&mut self, snapshot: &Snapshot, delta: &Delta) -> Changes {
        if delta.nodes.contains(&self.node.name) {
            self.renew_node(snapshot);
        }
        if !delta.service_cidrs.is_empty() {
            self.renew_service_cidrs(snapshot);
        }
        if self.node_changed {
            return self.replan(snapshot);
        }
        self.plan_services(snapshot, delta.services.clone())
    }

    /// Follows `snapshot`, whatever it differs by: for start and repair.
    pub fn replan(&mut self, snapshot: &Snapshot) -> Changes {
        self.renew_node(snapshot);
        self.renew_service_cidrs(snapshot);
        self.node_changed = false;
        let services = self.services.keys().chain(snapshot.services.keys()).cloned().collect();
        self.plan_services(snapshot, services)
    }

    /// Takes note of the addresses found on the node's interfaces; counts from the next update on.
    pub fn set_interfaces(&mut self, interfaces: Vec<IpAddr>) {
        self.set_node(self.node.clone().with_interfaces(interfaces));
    }

    /// Takes over other choices of the operator; they count from the next update on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.given_service_cidrs.clone_from(&policy.service_cidrs);
        self.policy = policy;
        if self.policy.pods == PodDetection::NodeCidrs {
            self.policy.cluster_cidrs.clone_from(&self.node.pod_cidrs);
        }
        self.node_changed = true;
    }

    /// The current plans, ordered by name.
    pub fn plans(&self) -> impl Iterator<Item = &Arc<ServicePlan>> {
        self.services.values().filter_map(|planned| planned.plan.as_ref())
    }

    /// The current plan of `service`.
    #[must_use]
    pub fn plan(&self, service: &ServiceName) -> Option<&Arc<ServicePlan>> {
        self.services.get(service)?.plan.as_ref()
    }

    /// What is planned at `key`.
    #[must_use]
    pub fn frontend(&self, key: FrontendKey) -> Option<(&PortPlan, &Frontend)> {
        let plan = self.plan(&self.claims.winner(key)?.service)?;
        plan.ports.iter().find_map(|port| {
            let place = port.frontends.binary_search_by_key(&key, |frontend| frontend.key).ok()?;
            Some((port, port.frontends.get(place)?))
        })
    }

    /// The Service that has `key`.
    #[must_use]
    pub fn owner(&self, key: FrontendKey) -> Option<&ServiceName> {
        self.claims.winner(key).map(|claim| &claim.service)
    }

    /// Whether `address` is the ClusterIP of a Service that has a plan.
    #[must_use]
    pub fn is_cluster_ip(&self, address: IpAddr) -> bool {
        self.cluster_ips.contains_key(&address)
    }

    /// The frontends that more than one Service port wants, in order.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        self.claims.conflicts()
    }

    /// The operator's choices, with what of them follows this node.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// This node.
    #[must_use]
    pub const fn node(&self) -> &NodeView {
        &self.node
    }

    fn renew_node(&mut self, snapshot: &Snapshot) {
        let object = snapshot.nodes.get(&self.node.name).map(AsRef::as_ref);
        self.set_node(self.node.clone().with_object(object));
    }

    /// Takes over the ranges of ClusterIPs; no plan of a Service depends on them.
    fn renew_service_cidrs(&mut self, snapshot: &Snapshot) {
        let of_objects = snapshot.service_cidrs.values().flat_map(|range| &range.cidrs);
        let all: Vec<IpNet> = self.given_service_cidrs.iter().chain(of_objects).copied().collect();
        // The kernel refuses one range inside another.
        self.policy.service_cidrs = IpNet::aggregate(&all);
    }

    fn set_node(&mut self, node: NodeView) {
        if node != self.node {
            self.node = node;
            self.node_changed = true;
            if self.policy.pods == PodDetection::NodeCidrs {
                self.policy.cluster_cidrs.clone_from(&self.node.pod_cidrs);
            }
        }
    }

    /// Plans `names` anew, and every Service that wins or loses a frontend by that.
    fn plan_services(&mut self, snapshot: &Snapshot, names: BTreeSet<ServiceName>) -> Changes {
        let mut touched = Touched::default();
        for name in &names {
            self.renew_claims(name, snapshot.services.get(name).map(AsRef::as_ref), &mut touched);
        }
        let mut changes = Changes::default();
        let mut affected = names;
        touched.settle(&self.claims, &mut affected, &mut changes);
        for name in affected {
            let entry = snapshot.services.get(&name).map(AsRef::as_ref);
            self.renew_plan(name, entry, &mut changes);
        }
        changes
    }

    /// Replaces the claims of the Service `name` by those of `entry`.
    fn renew_claims(
        &mut self,
        name: &ServiceName,
        entry: Option<&ServiceEntry>,
        touched: &mut Touched,
    ) {
        let asks = entry.and_then(|entry| entry.service.clone()).map(|service| {
            let wanted = frontends::wanted(&service, &self.node, &self.policy);
            Asks { service, wanted }
        });
        let before = self.services.get_mut(name).and_then(|planned| planned.asks.take());
        let old = before.as_ref().map(Asks::claims).unwrap_or_default();
        let new = asks.as_ref().map(Asks::claims).unwrap_or_default();
        for (key, claim) in old.difference(&new) {
            touched.note(*key, &self.claims);
            self.claims.remove(*key, claim);
        }
        for (key, claim) in new.difference(&old) {
            touched.note(*key, &self.claims);
            self.claims.add(*key, claim.clone());
        }
        if asks.is_some() || before.is_some() {
            self.services.entry(name.clone()).or_default().asks = asks;
        }
    }

    /// Replaces the plan of the Service `name` by what `entry` makes of its claims.
    fn renew_plan(
        &mut self,
        name: ServiceName,
        entry: Option<&ServiceEntry>,
        changes: &mut Changes,
    ) {
        let Some(planned) = self.services.get_mut(&name) else { return };
        let site = Site { policy: &self.policy, node: &self.node, claims: &self.claims };
        let plan = entry.zip(planned.asks.as_ref()).and_then(|(entry, asks)| {
            decide::service_plan(entry, &asks.wanted, site).map(Arc::new)
        });
        if plan != planned.plan {
            for address in cluster_ips(plan.as_deref()) {
                *self.cluster_ips.entry(address).or_default() += 1;
            }
            for address in cluster_ips(planned.plan.as_deref()) {
                if let Entry::Occupied(mut ports) = self.cluster_ips.entry(address) {
                    *ports.get_mut() -= 1;
                    if *ports.get() == 0 {
                        ports.remove();
                    }
                }
            }
            let replaced = std::mem::replace(&mut planned.plan, plan.clone());
            changes.replaced.extend(replaced.map(|replaced| (name.clone(), replaced)));
            changes.plans.insert(name.clone(), plan);
        }
        if planned.asks.is_none() {
            self.services.remove(&name);
        }
    }
}

/// The ClusterIPs in a plan, once for each port there.
fn cluster_ips(plan: Option<&ServicePlan>) -> impl Iterator<Item = IpAddr> {
    let frontends = plan.into_iter().flat_map(|plan| &plan.ports).flat_map(|port| &port.frontends);
    frontends
        .filter(|frontend| frontend.origin == Origin::ClusterIp)
        .map(|frontend| frontend.key.address)
}

impl Asks {
    /// What it claims, as elements of the claims' table.
    fn claims(&self) -> BTreeSet<(FrontendKey, Claim)> {
        let claim = |port: &PortName| Claim::new(&self.service, port);
        self.wanted.iter().map(|wanted| (wanted.key, claim(&wanted.port))).collect()
    }
}

/// Frontends whose claims an update changed, with the claims as they were before.
#[derive(Debug, Default)]
struct Touched {
    before: BTreeMap<FrontendKey, Vec<Claim>>,
}

impl Touched {
    /// Remembers the claims to `key`, unless that was done already.
    fn note(&mut self, key: FrontendKey, claims: &Claims) {
        self.before.entry(key).or_insert_with(|| claims.of(key).to_vec());
    }

    /// Adds the Services that won or lost a frontend to `affected`, and what became of conflicts to
    /// `changes`.
    fn settle(self, claims: &Claims, affected: &mut BTreeSet<ServiceName>, changes: &mut Changes) {
        for (key, before) in self.before {
            let after = claims.of(key);
            let winners = before.first().into_iter().chain(after.first());
            affected.extend(winners.map(|claim| claim.service.clone()));

            let old: BTreeSet<Conflict> = conflicts_of(key, &before).collect();
            let new: BTreeSet<Conflict> = conflicts_of(key, after).collect();
            changes.healed.extend(old.difference(&new).cloned());
            changes.appeared.extend(new.difference(&old).cloned());
        }
    }
}
