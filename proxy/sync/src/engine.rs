//! Decides what to write and when; writes nothing itself and reads no clock.
//!
//! A family is in step, and then each change is a transaction of its own, or it is behind, and then
//! its whole table is written once that is due. Behind it is at the first snapshot, after a failure,
//! after somebody else touched the table, when pod addresses of the node that rules ask for change,
//! and once an hour.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use podway_cluster_model::snapshot::{Delta, Snapshot};
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_nft::transaction::Transaction;
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::planner::{Changes, Planner};
use podway_proxy_plan::policy::Policy;
use podway_proxy_plan::stale_flows::{self, Permitted};

use crate::per_family::PerFamily;

#[cfg(test)]
mod tests;

/// Wait before the first retry of a failed write; doubled with each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest wait before a retry: kube-proxy's sync period.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// Shortest time between two whole writes that repair a table.
///
/// 500 ms: somebody who deletes the table again and again costs us little, and it is back within a
/// second.
const REPAIR_INTERVAL: Duration = Duration::from_millis(500);

/// How often a table is written whole though nothing happened to it.
///
/// An hour, as with kube-proxy: a net below the monitor, for what nobody thought of.
const FULL_INTERVAL: Duration = Duration::from_secs(3600);

/// What is to be written, and when.
#[derive(Debug)]
pub(crate) struct Engine {
    planner: Planner,
    program: Program,
    /// The newest snapshot; until there is one, what an earlier run left in the kernel stays.
    snapshot: Option<Arc<Snapshot>>,
    families: PerFamily<Standing>,
}

/// How a family's table stands to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing may be written before the first snapshot.
    Unseen,
    /// The table is what the program says; it was last written whole at `written`.
    InStep { written: Instant },
    /// The whole table is to be written at `due`, after so many failures in a row.
    Behind { due: Instant, failures: u32 },
    /// The kernel does not know the family.
    Unsupported,
}

/// What a step changed, and what it asks to be written at once.
#[derive(Debug)]
pub(crate) struct Step {
    /// What changed in the plan.
    pub(crate) changes: Changes,
    /// Which families the change concerns.
    pub(crate) concerned: Vec<Family>,
    /// Changes of tables that are in step.
    pub(crate) transactions: Vec<Transaction>,
    /// Frontends with tracked flows that may have to be forgotten once the change is written.
    pub(crate) suspects: BTreeSet<FrontendKey>,
}

impl Engine {
    /// An engine that has seen nothing.
    pub(crate) fn new(planner: Planner, program: Program) -> Self {
        Self { planner, program, snapshot: None, families: PerFamily::new(|_| Standing::Unseen) }
    }

    /// Follows a snapshot; the first one makes every table due.
    pub(crate) fn follow(&mut self, snapshot: &Arc<Snapshot>, delta: &Delta, now: Instant) -> Step {
        let before = self.snapshot.replace(Arc::clone(snapshot));
        if before.is_none() {
            self.families = PerFamily::new(|_| Standing::Behind { due: now, failures: 0 });
        }
        let changes = self.planner.update(snapshot, delta);
        let suspects = self.suspects(before.as_deref(), delta, &changes);
        let other_rules = self.renew_options(self.program.options().masquerade_bit, now);
        Step { suspects, ..self.step(changes, before.is_none() || other_rules) }
    }

    /// Follows a change of the addresses on the node's interfaces.
    pub(crate) fn set_interfaces(&mut self, interfaces: Vec<IpAddr>) -> Step {
        self.planner.set_interfaces(interfaces);
        let changes = match &self.snapshot {
            Some(snapshot) => self.planner.update(snapshot, &Delta::default()),
            None => Changes::default(),
        };
        let suspects = self.suspects(self.snapshot.as_deref(), &Delta::default(), &changes);
        Step { suspects, ..self.step(changes, false) }
    }

    /// Follows a change of the operator's choices.
    pub(crate) fn set_policy(&mut self, policy: Policy, masquerade_bit: u8, now: Instant) -> Step {
        self.planner.set_policy(policy);
        let changes = match &self.snapshot {
            Some(snapshot) => self.planner.update(snapshot, &Delta::default()),
            None => Changes::default(),
        };
        let suspects = self.suspects(self.snapshot.as_deref(), &Delta::default(), &changes);
        let other_rules = self.renew_options(masquerade_bit, now);
        Step { suspects, ..self.step(changes, other_rules) }
    }

    /// Takes over what of the rules follows this node and the operator's choices; says whether that
    /// is something else now.
    fn renew_options(&mut self, masquerade_bit: u8, now: Instant) -> bool {
        let options = Options::new(self.planner.policy(), masquerade_bit);
        let differ = options != *self.program.options();
        if differ {
            self.program.set_options(options);
            for family in Family::ALL {
                if self.is_in_step(family) {
                    *self.families.of_mut(family) = Standing::Behind { due: now, failures: 0 };
                }
            }
        }
        differ
    }

    /// The frontends that a change made doubtful; none at the start, where nobody knows the change.
    fn suspects(
        &self,
        before: Option<&Snapshot>,
        delta: &Delta,
        changes: &Changes,
    ) -> BTreeSet<FrontendKey> {
        let (Some(before), Some(after)) = (before, self.snapshot.as_deref()) else {
            return BTreeSet::new();
        };
        let planner = &self.planner;
        let change = stale_flows::Change { before, after, delta, changes, planner };
        stale_flows::suspects(change)
    }

    /// Who may keep flows to `frontends` by now.
    pub(crate) fn permitted(&self, frontends: &[FrontendKey]) -> Permitted {
        match &self.snapshot {
            Some(snapshot) => Permitted::at(frontends.iter().copied(), &self.planner, snapshot),
            None => Permitted::default(),
        }
    }

    /// Takes over `changes`; `all` families are concerned where the kernel may hold anything.
    fn step(&mut self, changes: Changes, all: bool) -> Step {
        let plans = changes.plans.iter().map(|(name, plan)| (name.clone(), plan.clone()));
        if all && !Family::ALL.into_iter().any(|family| self.is_in_step(family)) {
            // Every table is written whole, so nobody needs to know what differs.
            self.program.take(plans);
            let supported = |family: &Family| *self.families.of(*family) != Standing::Unsupported;
            let concerned = Family::ALL.into_iter().filter(supported).collect();
            let (transactions, suspects) = (Vec::new(), BTreeSet::new());
            return Step { changes, concerned, transactions, suspects };
        }
        let transactions = self.program.update(plans);
        let concerned = transactions
            .iter()
            .filter(|transaction| all || !transaction.is_empty())
            .map(|transaction| transaction.family)
            .filter(|family| *self.families.of(*family) != Standing::Unsupported)
            .collect();
        let in_step = |transaction: &Transaction| {
            matches!(self.families.of(transaction.family), Standing::InStep { .. })
        };
        let transactions = transactions
            .into_iter()
            .filter(|transaction| in_step(transaction) && !transaction.is_empty())
            .collect();
        Step { changes, concerned, transactions, suspects: BTreeSet::new() }
    }

    /// Somebody else touched the table of `family`; says whether it will be repaired.
    pub(crate) fn touched(&mut self, family: Family, now: Instant) -> bool {
        let standing = self.families.of_mut(family);
        match *standing {
            Standing::InStep { written } => {
                let due = now.max(written + REPAIR_INTERVAL);
                *standing = Standing::Behind { due, failures: 0 };
                true
            }
            Standing::Unseen | Standing::Behind { .. } | Standing::Unsupported => false,
        }
    }

    /// Another process may have written every table.
    pub(crate) fn taken_over(&mut self, now: Instant) {
        for family in Family::ALL {
            let standing = self.families.of_mut(family);
            match *standing {
                Standing::InStep { .. } | Standing::Behind { .. } => {
                    *standing = Standing::Behind { due: now, failures: 0 };
                }
                Standing::Unseen | Standing::Unsupported => {}
            }
        }
    }

    /// The families whose table is to be written whole by now.
    pub(crate) fn due(&self, now: Instant) -> Vec<Family> {
        self.families
            .iter()
            .filter(|(_, standing)| standing.due().is_some_and(|due| due <= now))
            .map(|(family, _)| family)
            .collect()
    }

    /// When a table is next to be written whole.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.families.iter().filter_map(|(_, standing)| standing.due()).min()
    }

    /// The whole table of `family`.
    pub(crate) fn full(&mut self, family: Family) -> Transaction {
        self.program.full(family)
    }

    /// The whole table of `family` was written.
    pub(crate) fn written_whole(&mut self, family: Family, now: Instant) {
        *self.families.of_mut(family) = Standing::InStep { written: now };
    }

    /// A write to the table of `family` failed; returns the wait before the next try.
    pub(crate) fn failed(&mut self, family: Family, now: Instant) -> Duration {
        let standing = self.families.of_mut(family);
        let failures = match *standing {
            Standing::Behind { failures, .. } => failures.saturating_add(1),
            Standing::Unseen | Standing::InStep { .. } | Standing::Unsupported => 1,
        };
        let wait = retry_delay(failures);
        *standing = Standing::Behind { due: now + wait, failures };
        wait
    }

    /// The kernel does not know `family`: it is left alone from now on.
    pub(crate) fn unsupported(&mut self, family: Family) {
        *self.families.of_mut(family) = Standing::Unsupported;
    }

    /// Whether the table of `family` is what the program says.
    pub(crate) fn is_in_step(&self, family: Family) -> bool {
        matches!(self.families.of(family), Standing::InStep { .. })
    }

    /// Whether every table that can be written was, and there is one.
    pub(crate) fn is_programmed(&self) -> bool {
        let standings = || self.families.iter().map(|(_, standing)| *standing);
        let in_step = |standing| matches!(standing, Standing::InStep { .. });
        standings().any(in_step)
            && standings().all(|standing| in_step(standing) || standing == Standing::Unsupported)
    }

    /// What was decided.
    pub(crate) const fn planner(&self) -> &Planner {
        &self.planner
    }

    /// The newest snapshot.
    pub(crate) const fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }
}

impl Standing {
    /// When the table is to be written whole.
    fn due(self) -> Option<Instant> {
        match self {
            Self::InStep { written } => Some(written + FULL_INTERVAL),
            Self::Behind { due, .. } => Some(due),
            Self::Unseen | Self::Unsupported => None,
        }
    }
}

/// The wait after so many failures in a row, counted from 1.
fn retry_delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1);
    1_u32.checked_shl(doublings).map_or(MAX_RETRY, |factor| (FIRST_RETRY * factor).min(MAX_RETRY))
}
