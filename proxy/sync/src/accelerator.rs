//! What the loop needs of a back end that carries sockets before packets meet the rules.
//!
//! nftables is complete with and without it. It follows the same plans in the same step: what is
//! there already is changed before the rules, what is new comes after them.

use std::sync::Arc;
use std::time::Instant;

use podway_cluster_model::name::ServiceName;
use podway_proxy_plan::plan::ServicePlan;

use crate::dataplane::Dataplane;
use crate::driver::Driver;
use podway_proxy_plan::planner::Changes;

/// A plan that changed; `None` is a Service that is gone.
pub type PlanChange = (ServiceName, Option<Arc<ServicePlan>>);

/// A back end at the socket; what goes wrong in it costs speed, and is its own to tell.
pub trait Accelerator: Send {
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
}

/// None: every packet meets the rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unaccelerated;

impl Accelerator for Unaccelerated {
    fn take_over(&mut self, _plans: Vec<PlanChange>, _now: Instant) {}

    fn stand_by(&mut self) {}

    fn before_rules(&mut self, _changed: Vec<PlanChange>, _now: Instant) {}

    fn after_rules(&mut self, _now: Instant) {}

    fn next_due(&self) -> Option<Instant> {
        None
    }

    fn tend(&mut self, _now: Instant) {}
}

impl<D: Dataplane> Driver<D> {
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
