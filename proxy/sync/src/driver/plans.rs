//! Tells what is planned, when somebody asks.

use std::sync::Arc;

use podway_proxy_plan::plan::{FrontendKey, ServicePlan};
use tokio::sync::oneshot;
use tracing::debug;

use crate::dataplane::Dataplane;
use crate::driver::Driver;

/// What is planned.
#[derive(Debug, Clone, Default)]
pub struct Plans {
    /// The plan of every Service that has one, ordered by name.
    pub services: Vec<Arc<ServicePlan>>,
    /// One line for each frontend that a Service port wants and does not get.
    pub conflicts: Vec<String>,
}

impl<D: Dataplane> Driver<D> {
    /// Tells everything.
    pub(super) fn answer(&self, reply: oneshot::Sender<Plans>) {
        let planner = self.engine.planner();
        let plans = Plans {
            services: planner.plans().map(Arc::clone).collect(),
            conflicts: planner.conflicts().map(|conflict| conflict.to_string()).collect(),
        };
        if reply.send(plans).is_err() {
            debug!("whoever asked for the plan is gone");
        }
    }

    /// Tells the plan of whoever has the frontend `key`.
    pub(super) fn answer_at(
        &self,
        key: FrontendKey,
        reply: oneshot::Sender<Option<Arc<ServicePlan>>>,
    ) {
        let planner = self.engine.planner();
        let plan = planner.owner(key).and_then(|service| planner.plan(service)).map(Arc::clone);
        if reply.send(plan).is_err() {
            debug!("whoever asked for the plan is gone");
        }
    }
}
