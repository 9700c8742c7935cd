//! The loop: waits for whatever comes next, asks the engine, writes, and tells how it went.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use podway_cluster_model::chain::Chain;
use podway_cluster_watch::publish::{Subscription, View};
use podway_proxy_nft::monitor::Alone;
use podway_proxy_nft::transaction::Transaction;
use podway_proxy_plan::plan::{Family, FrontendKey, ServicePlan};
use podway_proxy_plan::planner::Changes;
use podway_proxy_plan::policy::Policy;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use crate::accelerator::{Accelerator, Report};
use crate::dataplane::Dataplane;
use crate::doubts::Doubts;
use crate::engine::{Engine, Step};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::per_family::{PerFamily, label};
use crate::programming::Programming;
use crate::refusals::{Refusals, Refused};
use crate::tally::{Counting, ObjectChanges};

mod counts;
mod plans;
#[cfg(test)]
mod tests;

pub use self::plans::Plans;

/// Something that happened besides a new snapshot.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody else touched a table of ours.
    Touched(Touch),
    /// The addresses on the node's interfaces are these now.
    Interfaces(Vec<IpAddr>),
    /// The operator chose otherwise: the policy, and the bit that asks for masquerading.
    Policy(Box<Policy>, u8),
    /// Somebody asks what is planned.
    Plans(oneshot::Sender<Plans>),
    /// Somebody asks for the plan of the Service that has a frontend.
    PlanAt(FrontendKey, oneshot::Sender<Option<Arc<ServicePlan>>>),
    /// Somebody asks what was refused.
    Refusals(oneshot::Sender<Vec<Refused>>),
    /// Somebody asks what the accelerator has counted.
    Sockets(oneshot::Sender<Report>),
    /// It is this process that writes from now on.
    OurTurn,
    /// Another process writes from the reply on.
    StandBy(oneshot::Sender<()>),
    /// Everything is over.
    Stop,
}

/// Somebody else touched a table of ours.
#[derive(Debug, Clone)]
pub(crate) struct Touch {
    /// Whose tables.
    pub(crate) families: Vec<Family>,
    /// What is known about who did it.
    pub(crate) by: String,
}

/// What the loop works with.
pub(crate) struct Driver<D> {
    pub(crate) subscription: Subscription,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) dataplane: D,
    pub(crate) engine: Engine,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    /// Called once, when every table was written for the first time.
    pub(crate) programmed: Option<Box<dyn FnOnce() + Send>>,
    /// When the oldest change was seen that the kernel does not have.
    pub(crate) unsynced_since: PerFamily<Option<Instant>>,
    pub(crate) counting: Counting,
    pub(crate) doubts: Doubts,
    pub(crate) refusals: Refusals,
    pub(crate) notices: Notices,
    /// Whether another process writes the tables, or may.
    pub(crate) stands_by: bool,
    pub(crate) accelerator: Box<dyn Accelerator>,
    /// Whether the accelerator has every plan, and hears of changes only.
    pub(crate) accelerated: bool,
    pub(crate) programming: Programming,
}

/// What a wait ended with.
enum Woken {
    View(View),
    /// No snapshot will ever come again; what is programmed stays and is kept up.
    SourceGone,
    Event(Event),
    Due,
}

impl<D: Dataplane> Driver<D> {
    /// Runs until it is told to stop; what is in the kernel stays there.
    pub(crate) async fn run(mut self) {
        let mut source_gone = false;
        loop {
            let due = self.next_due();
            let woken = tokio::select! {
                biased;
                event = self.events.recv() => Woken::Event(event.unwrap_or(Event::Stop)),
                view = self.subscription.next(), if !source_gone => {
                    view.map_or(Woken::SourceGone, Woken::View)
                }
                () = sleep_until(due) => Woken::Due,
            };
            match woken {
                Woken::Event(Event::Stop) => return,
                Woken::Event(Event::Touched(touch)) => self.touched(&touch),
                Woken::Event(Event::Interfaces(interfaces)) => {
                    let step = self.engine.set_interfaces(interfaces);
                    self.take(step, now());
                }
                Woken::Event(Event::Policy(policy, bit)) => self.choose(*policy, bit),
                Woken::Event(Event::Plans(reply)) => self.answer(reply),
                Woken::Event(Event::PlanAt(key, reply)) => self.answer_at(key, reply),
                Woken::Event(Event::Refusals(reply)) => self.tell_refusals(reply),
                Woken::Event(Event::Sockets(reply)) => self.tell_sockets(reply),
                Woken::Event(Event::OurTurn) => self.take_over(),
                Woken::Event(Event::StandBy(reply)) => self.stand_by(reply),
                Woken::View(view) => self.follow(&view),
                Woken::SourceGone => {
                    source_gone = true;
                    error!("the source of snapshots is gone; what is programmed stays as it is");
                }
                Woken::Due => {}
            }
            if self.stands_by {
                continue;
            }
            for family in self.engine.due(now()) {
                self.write_whole(family);
            }
            self.accelerator.after_rules(now());
            self.accelerator.tend(now());
            // After the rules: a flow that is forgotten before would be sent by the old ones.
            for family in Family::ALL {
                self.forget_stale(family);
                if self.engine.is_in_step(family) {
                    let took = self.programming.done(family, SystemTime::now());
                    self.metrics.programmed(family, &took);
                }
            }
            if Family::ALL.into_iter().all(|family| self.unsynced_since.of(family).is_none()) {
                self.metrics.nothing_pending();
            }
        }
    }

    /// When there is next something to do that nobody tells of.
    fn next_due(&self) -> Option<Instant> {
        if self.stands_by {
            return None;
        }
        let in_step = Family::ALL.into_iter().filter(|family| self.engine.is_in_step(*family));
        let doubts = in_step.filter_map(|family| self.doubts.next_due(family));
        let tended = self.accelerator.next_due();
        self.engine.next_due().into_iter().chain(doubts).chain(tended).min()
    }

    fn follow(&mut self, view: &View) {
        let View { snapshot, delta, oldest_change, triggers } = view;
        self.programming.add(triggers);
        let before = self.engine.snapshot().map(AsRef::as_ref);
        let objects = ObjectChanges::between(before, snapshot, delta);
        self.metrics.snapshot(snapshot.generation, objects, SystemTime::now());
        let step = self.engine.follow(snapshot, delta, now());
        self.notices.follow(snapshot, delta, self.engine.planner().policy());
        debug!(
            generation = snapshot.generation,
            changed_services = objects.services,
            changed_slices = objects.slices,
            changed_plans = step.changes.plans.len(),
            "snapshot planned"
        );
        self.take(step, *oldest_change);
    }

    /// Writes what a step asks for; its oldest change was seen at `since`.
    pub(crate) fn take(&mut self, step: Step, since: Instant) {
        let Step { changes, concerned, transactions, suspects } = step;
        self.metrics.planned(self.counting.follow(&changes));
        log_conflicts(&changes);
        if self.stands_by {
            self.refusals.follow(&changes);
            return;
        }
        self.doubts.add(suspects, now());
        self.accelerate(&changes, now());
        for family in concerned {
            self.metrics.queued(family, SystemTime::now());
            self.behind(family, since);
        }
        for transaction in transactions {
            self.write(&transaction);
        }
        self.refusals.follow(&changes);
    }

    /// Writes from now on, and everything first: another process may have written.
    fn take_over(&mut self) {
        self.stands_by = false;
        self.engine.taken_over(now());
        self.accelerate(&Changes::default(), now());
    }

    /// Leaves the tables to another process, and says so to whoever waits for that.
    fn stand_by(&mut self, reply: oneshot::Sender<()>) {
        self.stands_by = true;
        self.accelerator.stand_by();
        self.accelerated = false;
        self.doubts = Doubts::default();
        for family in Family::ALL {
            *self.unsynced_since.of_mut(family) = None;
            self.health.in_step(family, SystemTime::now());
        }
        if reply.send(()).is_err() {
            debug!("whoever asked for the turn is gone");
        }
    }

    fn touched(&mut self, touch: &Touch) {
        if self.stands_by {
            return;
        }
        for family in touch.families.iter().copied() {
            let now = now();
            if self.engine.touched(family, now) {
                self.metrics.repaired(family);
                self.behind(family, now);
                warn!(
                    family = label(family),
                    by = touch.by,
                    "table podway was changed by another process; it is being put back"
                );
            }
        }
    }

    /// Writes the whole table of `family`.
    fn write_whole(&mut self, family: Family) {
        let transaction = self.engine.full(family);
        if self.write(&transaction) {
            self.engine.written_whole(family, now());
        }
        if self.engine.is_programmed()
            && let Some(programmed) = self.programmed.take()
        {
            programmed();
        }
    }

    /// Writes `transaction` and tells everybody how it went; says whether it was written.
    fn write(&mut self, transaction: &Transaction) -> bool {
        let family = transaction.family;
        let reset = self.read_before(transaction);
        let started = now();
        let result = self.dataplane.commit(transaction);
        let took = started.elapsed();
        match result {
            Ok(alone) => {
                self.reset(&reset);
                self.in_step(transaction, took);
                if alone == Alone::No {
                    self.disturbed(family);
                }
                true
            }
            Err(error) if D::lacks_family(&error) => {
                self.engine.unsupported(family);
                self.health.in_step(family, SystemTime::now());
                warn!(family = label(family), error = %Chain(&error), "the kernel lacks a family");
                false
            }
            Err(error) => {
                self.metrics.failed(family);
                let wait = self.engine.failed(family, now());
                self.behind(family, started);
                error!(
                    family = label(family),
                    elements = transaction.elements(),
                    error = %Chain(&error),
                    retry_seconds = wait.as_secs(),
                    "write failed; the whole table will be written"
                );
                false
            }
        }
    }

    /// Somebody else wrote while nobody listened, since the table of `written` was put in place: what
    /// that was to the other family's, writing it whole undoes.
    fn disturbed(&mut self, written: Family) {
        let families = Family::ALL.into_iter().filter(|family| *family != written).collect();
        self.touched(&Touch {
            families,
            by: "unknown, while another table was written".to_owned(),
        });
    }

    /// Has the kernel forget flows of `family` that go where they may not any more.
    fn forget_stale(&mut self, family: Family) {
        if !self.engine.is_in_step(family) {
            return;
        }
        let doubtful = self.doubts.take_due(family, now());
        if doubtful.is_empty() {
            return;
        }
        let started = now();
        let permitted = self.judge(&doubtful);
        match self.dataplane.forget(family, &permitted) {
            Ok(forgotten) => {
                self.metrics.forgot(family, forgotten, started.elapsed());
                debug!(
                    family = label(family),
                    frontends = doubtful.len(),
                    forgotten,
                    "tracked flows looked at"
                );
            }
            Err(error) => {
                self.metrics.forgetting_failed(family);
                self.doubts.put_back(doubtful, now());
                warn!(
                    family = label(family),
                    %error,
                    "tracked flows cannot be looked at; clients of endpoints that are gone may hang"
                );
            }
        }
    }

    fn behind(&mut self, family: Family, since: Instant) {
        self.health.behind(family, since);
        let unsynced = self.unsynced_since.of_mut(family);
        *unsynced = Some(unsynced.map_or(since, |earlier| earlier.min(since)));
    }

    fn in_step(&mut self, transaction: &Transaction, took: Duration) {
        let family = transaction.family;
        let since = self.unsynced_since.of_mut(family).take();
        self.metrics.written(transaction, took);
        self.metrics.in_step(family, since, SystemTime::now());
        self.health.in_step(family, SystemTime::now());
        info!(
            family = label(family),
            generation = self.engine.snapshot().map_or(0, |snapshot| snapshot.generation),
            elements = transaction.elements(),
            elapsed_us = took.as_micros(),
            "sync applied"
        );
    }
}

/// Says which Services do not get what they ask for, and which do again.
fn log_conflicts(changes: &Changes) {
    for conflict in &changes.appeared {
        warn!(%conflict, "two Services want the same frontend");
    }
    for conflict in &changes.healed {
        info!(%conflict, "two Services no longer want the same frontend");
    }
}

/// The time, by the clock of the runtime, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
