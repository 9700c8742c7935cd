//! Which tracked flows are stale: on their way to an endpoint that may not have them any more.
//!
//! Rules see the first packet of a flow only; what the kernel tracks keeps its endpoint for as long
//! as packets come. A UDP client that keeps its source port would so be tied to a pod that is gone,
//! or to a Service address that nobody answered when it began. For UDP and SCTP every endpoint that
//! serves may keep its flows, whatever the policies say. TCP is left to end by itself, unless the
//! operator wants connections to vanished endpoints to be reset.
//!
//! In two steps: [`suspects`] says what a change makes doubtful, from the change alone; [`Permitted`]
//! judges flows by the newest state, after the rules were written.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use podway_cluster_model::name::ServiceName;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};

use crate::node::NodeView;
use crate::plan::{Action, FrontendKey, PortPlan, ServicePlan};
use crate::planner::{Changes, Planner};
use crate::policy::DeadTcp;
use crate::select::{self, PortQuery};

/// A flow as connection tracking sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Where its client sends.
    pub destination: FrontendKey,
    /// Who answers: an endpoint, or the destination itself where nothing was translated.
    pub answerer: SocketAddr,
}

/// A change of the cluster and of the plan.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The cluster before.
    pub before: &'a Snapshot,
    /// The cluster now.
    pub after: &'a Snapshot,
    /// What of it differs.
    pub delta: &'a Delta,
    /// What differs in the plan.
    pub changes: &'a Changes,
    /// The plan now.
    pub planner: &'a Planner,
}

/// The frontends whose flows `change` makes doubtful; none for most changes.
///
/// A UDP or SCTP frontend is when its port lost an endpoint, when it went, or when it began to be
/// translated; a TCP frontend, with [`DeadTcp::Reset`] as the policy, when its port lost an endpoint for good.
#[must_use]
pub fn suspects(change: Change<'_>) -> BTreeSet<FrontendKey> {
    let Change { before, after, delta, changes, planner } = change;
    let names: BTreeSet<&ServiceName> = delta.services.iter().chain(changes.plans.keys()).collect();
    let mut suspects = BTreeSet::new();
    for name in names {
        let now = planner.plan(name).map(AsRef::as_ref);
        let then = if changes.plans.contains_key(name) { changes.replaced(name) } else { now };
        let entry = |snapshot: &Snapshot| snapshot.services.get(name).cloned();
        let (old, new) = (entry(before), entry(after));
        let moved = Moved { then, now, planner };
        moved.collect(old.as_deref(), new.as_deref(), &mut suspects);
    }
    suspects
}

/// One Service before and after.
struct Moved<'a> {
    then: Option<&'a ServicePlan>,
    now: Option<&'a ServicePlan>,
    planner: &'a Planner,
}

impl Moved<'_> {
    fn collect(
        &self,
        old: Option<&ServiceEntry>,
        new: Option<&ServiceEntry>,
        suspects: &mut BTreeSet<FrontendKey>,
    ) {
        let (then, now) = (translated(self.then), translated(self.now));
        let is_tcp = |key: &FrontendKey| key.protocol == Protocol::Tcp;
        suspects.extend(then.symmetric_difference(&now).filter(|key| !is_tcp(key)));
        for port in ports(self.then).chain(ports(self.now)) {
            let keep = match (port.protocol, self.planner.policy().dead_tcp) {
                (Protocol::Tcp, DeadTcp::Keep) => continue,
                (Protocol::Tcp, DeadTcp::Reset) => Keep::Known,
                (Protocol::Udp | Protocol::Sctp, _) => Keep::Serving,
            };
            let keepers = |entry| keepers(entry, query(port), keep, self.planner.node());
            if !keepers(old).is_subset(&keepers(new)) {
                suspects.extend(port.frontends.iter().map(|frontend| frontend.key));
            }
        }
    }
}

fn ports(plan: Option<&ServicePlan>) -> impl Iterator<Item = &PortPlan> {
    plan.into_iter().flat_map(|plan| &plan.ports)
}

fn query(port: &PortPlan) -> PortQuery<'_> {
    PortQuery { family: port.family, name: &port.name, protocol: port.protocol }
}

/// The frontends of `plan` at which connections get an endpoint.
fn translated(plan: Option<&ServicePlan>) -> BTreeSet<FrontendKey> {
    ports(plan)
        .flat_map(|port| &port.frontends)
        .filter(|frontend| match frontend.action {
            Action::Balance { .. } | Action::PreserveSource => true,
            Action::Reject | Action::Drop => false,
        })
        .map(|frontend| frontend.key)
        .collect()
}

/// Which endpoints may keep their flows.
#[derive(Debug, Clone, Copy)]
enum Keep {
    /// Those that serve, on their way out or not.
    Serving,
    /// All that a slice names, whatever their condition.
    Known,
}

/// The endpoints of a port that may keep their flows.
fn keepers(
    entry: Option<&ServiceEntry>,
    query: PortQuery<'_>,
    keep: Keep,
    node: &NodeView,
) -> BTreeSet<SocketAddr> {
    let Some(entry) = entry else { return BTreeSet::new() };
    match keep {
        Keep::Serving => select::candidates(entry, query, node)
            .iter()
            .map(|candidate| candidate.backend.address)
            .collect(),
        Keep::Known => select::named(entry, query).map(|(address, _)| address).collect(),
    }
}

/// Who may keep flows to some frontends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permitted {
    frontends: HashMap<FrontendKey, Answerers>,
}

/// Who may answer at a frontend.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answerers {
    /// No Service has it: nobody but whoever has the address.
    Itself,
    /// The endpoints of its Service.
    Endpoints(BTreeSet<SocketAddr>),
}

impl Permitted {
    /// Who may keep flows to `frontends` in the newest state.
    #[must_use]
    pub fn at(
        frontends: impl IntoIterator<Item = FrontendKey>,
        planner: &Planner,
        snapshot: &Snapshot,
    ) -> Self {
        let answerers = |key: FrontendKey| {
            let Some((port, _)) = planner.frontend(key) else { return Answerers::Itself };
            let owner = planner.owner(key).and_then(|name| snapshot.services.get(name));
            let keep = match key.protocol {
                Protocol::Tcp => Keep::Known,
                Protocol::Udp | Protocol::Sctp => Keep::Serving,
            };
            let owner = owner.map(AsRef::as_ref);
            Answerers::Endpoints(keepers(owner, query(port), keep, planner.node()))
        };
        Self { frontends: frontends.into_iter().map(|key| (key, answerers(key))).collect() }
    }

    /// The frontends that are spoken of.
    pub fn frontends(&self) -> impl Iterator<Item = &FrontendKey> {
        self.frontends.keys()
    }

    /// Whether `flow` goes where it may not, so that it should be forgotten.
    #[must_use]
    pub fn forbids(&self, flow: &Flow) -> bool {
        let Flow { destination, answerer } = flow;
        let itself = SocketAddr::new(destination.address, destination.port.number()) == *answerer;
        match (self.frontends.get(destination), destination.protocol) {
            (None, _) => false,
            // A frontend that went says nothing of its endpoints.
            (Some(Answerers::Itself), Protocol::Tcp) => false,
            (Some(Answerers::Itself), Protocol::Udp | Protocol::Sctp) => !itself,
            // Whoever has the address itself got the connection before the Service came.
            (Some(Answerers::Endpoints(known)), Protocol::Tcp) => {
                !itself && !known.contains(answerer)
            }
            (Some(Answerers::Endpoints(serving)), Protocol::Udp | Protocol::Sctp) => {
                !serving.contains(answerer)
            }
        }
    }
}
