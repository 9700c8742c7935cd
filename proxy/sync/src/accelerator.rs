//! What the loop needs of a back end that carries sockets before packets meet the rules.
//!
//! nftables is complete with and without it. It follows the same plans in the same step: what is
//! there already is changed before the rules, what is new comes after them.

use std::sync::Arc;
use std::time::Instant;

use podway_cluster_model::name::ServiceName;
use podway_proxy_plan::plan::{FrontendKey, ServicePlan};
use podway_proxy_plan::policy::{ConntrackBypass, Policy};
use podway_proxy_plan::stale_flows::Permitted;

use crate::dataplane::Dataplane;
use crate::driver::{Driver, now};
use podway_proxy_plan::planner::Changes;

/// A plan that changed; `None` is a Service that is gone.
pub type PlanChange = (ServiceName, Option<Arc<ServicePlan>>);

/// A back end at the socket; what goes wrong in it costs speed, and is its own to tell.
pub trait Accelerator: Send {
    /// Whether sockets are translated at all.
    fn translates(&self) -> bool;

    /// Writes from now on, and has every plan: another process may have written until now.
    fn take_over(&mut self, plans: Vec<PlanChange>, now: Instant);

    /// Leaves everything to another process, until it takes over again.
    fn stand_by(&mut self);

    /// Follows plans that changed, as far as the rules must not come first.
    fn before_rules(&mut self, changed: Vec<PlanChange>, now: Instant);

    /// Does what had to wait for the rules.
    fn after_rules(&mut self, now: Instant);

    /// When [`Self::tend`] is to be called next.
    fn next_due(&self) -> Option<Instant>;

    /// Looks after what it has written.
    fn tend(&mut self, now: Instant);

    /// Takes over what the operator chose instead; says whether it has to hear of every plan again.
    fn set_policy(&mut self, policy: &Policy) -> bool;

    /// Resets the TCP connections that `permitted` forbids.
    fn forget(&mut self, permitted: &Permitted);

    /// What it has counted.
    fn report(&self) -> Report;
}

/// What a back end at the socket has counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Sockets of Services that have had any, ordered by Service.
    pub services: Vec<Carried>,
    /// Writes that the kernel refused.
    pub write_failures: u64,
    /// Differences between what was written and what was found that were repaired.
    pub repairs: u64,
    /// Connected sockets that were destroyed because their endpoint is gone.
    pub destroyed: u64,
    /// Frontends that it carries now.
    pub frontends: usize,
    /// Services that are left to the rules because there is no room for them.
    pub without_room: usize,
}

/// Sockets of one Service that never met the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The Service.
    pub service: ServiceName,
    /// Sockets that were connected to an endpoint.
    pub connects: u64,
    /// Datagrams of unconnected sockets that were sent to an endpoint.
    pub datagrams: u64,
    /// Sockets and datagrams that were refused.
    pub refusals: u64,
}

/// None: every packet meets the rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unaccelerated;

impl Accelerator for Unaccelerated {
    fn translates(&self) -> bool {
        false
    }

    fn take_over(&mut self, _plans: Vec<PlanChange>, _now: Instant) {}

    fn stand_by(&mut self) {}

    fn before_rules(&mut self, _changed: Vec<PlanChange>, _now: Instant) {}

    fn after_rules(&mut self, _now: Instant) {}

    fn next_due(&self) -> Option<Instant> {
        None
    }

    fn tend(&mut self, _now: Instant) {}

    fn set_policy(&mut self, _policy: &Policy) -> bool {
        false
    }

    fn forget(&mut self, _permitted: &Permitted) {}

    fn report(&self) -> Report {
        Report::default()
    }
}

/// `policy`, but for what makes sense only where `accelerator` translates sockets: without, whoever
/// uses a Service has to be tracked.
pub(crate) fn fitting(accelerator: &dyn Accelerator, mut policy: Policy) -> Policy {
    if !accelerator.translates() {
        policy.conntrack_bypass = ConntrackBypass::Off;
    }
    policy
}

impl<D: Dataplane> Driver<D> {
    /// Who may keep flows to `doubtful` frontends; the accelerator resets what it carries of others.
    pub(crate) fn judge(&mut self, doubtful: &[FrontendKey]) -> Permitted {
        let permitted = self.engine.permitted(doubtful);
        self.accelerator.forget(&permitted);
        permitted
    }

    /// Follows a change of the operator's choices.
    pub(crate) fn choose(&mut self, policy: Policy, masquerade_bit: u8) {
        if self.accelerator.set_policy(&policy) {
            self.accelerated = false;
        }
        let policy = fitting(&*self.accelerator, policy);
        let step = self.engine.set_policy(policy, masquerade_bit, now());
        self.take(step, now());
    }

    /// Tells the accelerator what changed, or every plan where it has none yet; before the first
    /// snapshot there is nothing to tell.
    pub(crate) fn accelerate(&mut self, changes: &Changes, now: Instant) {
        if self.engine.snapshot().is_none() {
            return;
        }
        if self.accelerated {
            let changed = changes.plans.iter().map(|(name, plan)| (name.clone(), plan.clone()));
            self.accelerator.before_rules(changed.collect(), now);
        } else {
            let plans = self.engine.planner().plans();
            let all = plans.map(|plan| (plan.name.clone(), Some(Arc::clone(plan))));
            self.accelerator.take_over(all.collect(), now);
            self.accelerated = true;
        }
    }
}
