//! Counts what is planned and what changed, at the cost of what changed.

use std::collections::HashMap;
use std::sync::Arc;

use podway_cluster_model::name::ServiceName;
use podway_cluster_model::snapshot::{Delta, ServiceEntry, Snapshot};
use podway_proxy_plan::plan::{Action, Family, Frontend, Pool, PortPlan, ServicePlan};
use podway_proxy_plan::planner::Changes;

use crate::per_family::PerFamily;

/// How much there is in the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) services: usize,
    pub(crate) frontends: usize,
    pub(crate) endpoints: usize,
    pub(crate) conflicts: usize,
    pub(crate) no_local_endpoints: PerFamily<NoLocalEndpoints>,
}

/// Service ports whose policy keeps traffic on the node, and whose endpoints are all elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NoLocalEndpoints {
    /// By `internalTrafficPolicy`.
    pub(crate) internal: usize,
    /// By `externalTrafficPolicy`.
    pub(crate) external: usize,
}

impl NoLocalEndpoints {
    fn of(port: &PortPlan) -> Self {
        let lacks = |frontend: &Frontend| match frontend.action {
            Action::Drop => true,
            Action::PreserveSource => port.pool(Pool::Local).is_empty(),
            Action::Balance { .. } | Action::Reject => false,
        };
        let some = |external: bool| {
            let mut frontends = port.frontends.iter();
            usize::from(frontends.any(|one| one.origin.is_external() == external && lacks(one)))
        };
        Self { internal: some(false), external: some(true) }
    }

    /// With `after` in the place of `before`, which it contains.
    const fn with(self, after: Self, before: Self) -> Self {
        Self {
            internal: self.internal + after.internal - before.internal,
            external: self.external + after.external - before.external,
        }
    }
}

/// Keeps the tally in step with changes of the plan.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    tally: Tally,
    /// What each Service contributes.
    services: HashMap<ServiceName, Share>,
}

/// What one Service contributes.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    frontends: usize,
    endpoints: usize,
    no_local_endpoints: PerFamily<NoLocalEndpoints>,
}

impl Share {
    /// Endpoints are those of the cluster pool where it is filled, else those of the local one.
    fn of(plan: &ServicePlan) -> Self {
        let endpoints = plan
            .ports
            .iter()
            .map(|port| port.pool(Pool::Cluster).len().max(port.pool(Pool::Local).len()))
            .sum();
        let frontends = plan.ports.iter().map(|port| port.frontends.len()).sum();
        let mut no_local_endpoints = PerFamily::<NoLocalEndpoints>::default();
        for port in &plan.ports {
            let sum = no_local_endpoints.of_mut(port.family);
            *sum = sum.with(NoLocalEndpoints::of(port), NoLocalEndpoints::default());
        }
        Self { frontends, endpoints, no_local_endpoints }
    }
}

impl Counting {
    /// Takes over `changes` and returns what there is now.
    pub(crate) fn follow(&mut self, changes: &Changes) -> Tally {
        for (name, plan) in &changes.plans {
            let after = plan.as_deref().map(Share::of);
            let before = match after {
                Some(share) => self.services.insert(name.clone(), share),
                None => self.services.remove(name),
            };
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            // Added first: every count contains what is taken from it.
            self.tally.frontends = self.tally.frontends + after.frontends - before.frontends;
            self.tally.endpoints = self.tally.endpoints + after.endpoints - before.endpoints;
            for family in Family::ALL {
                let sum = self.tally.no_local_endpoints.of_mut(family);
                let (after, before) = (after.no_local_endpoints, before.no_local_endpoints);
                *sum = sum.with(*after.of(family), *before.of(family));
            }
        }
        let conflicts = self.tally.conflicts + changes.appeared.len();
        self.tally.conflicts = conflicts.saturating_sub(changes.healed.len());
        self.tally.services = self.services.len();
        self.tally
    }
}

/// How many objects differ between two snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ObjectChanges {
    /// Services.
    pub(crate) services: u64,
    /// EndpointSlices.
    pub(crate) slices: u64,
}

impl ObjectChanges {
    /// Compares the Services in `delta`, and their slices.
    pub(crate) fn between(before: Option<&Snapshot>, after: &Snapshot, delta: &Delta) -> Self {
        let empty = ServiceEntry::default();
        let mut changes = Self::default();
        for name in &delta.services {
            let entry = |snapshot: Option<&Snapshot>| {
                snapshot.and_then(|snapshot| snapshot.services.get(name)).cloned()
            };
            let (before, after) = (entry(before), entry(Some(after)));
            changes.add(before.as_deref().unwrap_or(&empty), after.as_deref().unwrap_or(&empty));
        }
        changes
    }

    fn add(&mut self, before: &ServiceEntry, after: &ServiceEntry) {
        if !same(before.service.as_ref(), after.service.as_ref()) {
            self.services += 1;
        }
        for (name, slice) in &after.slices {
            if !same(before.slices.get(name), Some(slice)) {
                self.slices += 1;
            }
        }
        for name in before.slices.keys() {
            if !after.slices.contains_key(name) {
                self.slices += 1;
            }
        }
    }
}

/// Whether it is the same object: snapshots share what did not change.
fn same<T>(before: Option<&Arc<T>>, after: Option<&Arc<T>>) -> bool {
    match (before, after) {
        (None, None) => true,
        (Some(before), Some(after)) => Arc::ptr_eq(before, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}
