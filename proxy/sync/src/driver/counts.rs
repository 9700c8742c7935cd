//! Reads what the kernel counts: before elements go, and when somebody asks.

use podway_cluster_model::chain::Chain;
use podway_proxy_nft::transaction::{Change, Transaction};
use podway_proxy_plan::plan::{Family, FrontendKey};
use tokio::sync::oneshot;
use tracing::debug;

use crate::accelerator::Report;
use crate::dataplane::Dataplane;
use crate::driver::Driver;
use crate::per_family::label;
use crate::refusals::{Refused, Verdict, counting};

/// Most elements that are asked for one by one before a write; for more, whole sets are read.
const MAX_SINGLE: usize = 64;

/// Counts that begin anew once a transaction is written.
pub(super) enum Reset {
    /// Those of elements that are taken out.
    Elements(Vec<(Verdict, FrontendKey)>),
    /// Those of a whole table.
    Table(Family),
}

impl<D: Dataplane> Driver<D> {
    /// Reads the counts that `transaction` will take away.
    pub(super) fn read_before(&mut self, transaction: &Transaction) -> Reset {
        let family = transaction.family;
        match &transaction.change {
            Change::Replace { .. } => {
                // What an earlier run has counted is told already.
                if self.refusals.knows(family) {
                    self.read_all(family);
                }
                Reset::Table(family)
            }
            Change::Elements { deleted, .. } => {
                let deleted = counting(deleted);
                if deleted.len() > MAX_SINGLE {
                    self.read_all(family);
                } else {
                    for (verdict, key) in &deleted {
                        self.read_one(*verdict, key);
                    }
                }
                Reset::Elements(deleted)
            }
        }
    }

    /// The transaction was written: what it took away begins anew.
    pub(super) fn reset(&mut self, reset: &Reset) {
        match reset {
            Reset::Elements(deleted) => self.refusals.forget(deleted),
            Reset::Table(family) => self.refusals.forget_family(*family),
        }
    }

    /// Tells what was refused so far, and measures what else the kernel counts.
    pub(super) fn tell_refusals(&mut self, reply: oneshot::Sender<Vec<Refused>>) {
        for family in Family::ALL {
            if self.engine.is_in_step(family) {
                self.read_all(family);
                self.count_translated(family);
            }
        }
        if reply.send(self.refusals.all()).is_err() {
            debug!("whoever asked for refusals is gone");
        }
    }

    /// Tells what the accelerator has counted.
    pub(super) fn tell_sockets(&self, reply: oneshot::Sender<Report>) {
        if reply.send(self.accelerator.report()).is_err() {
            debug!("whoever asked for sockets is gone");
        }
    }

    fn read_all(&mut self, family: Family) {
        for verdict in Verdict::ALL {
            match self.dataplane.counted(family, verdict) {
                Ok(counted) => {
                    for (key, packets) in counted {
                        self.refusals.saw(verdict, key, packets);
                    }
                }
                Err(error) => debug!(
                    family = label(family),
                    error = %Chain(&error),
                    "refused packets cannot be counted"
                ),
            }
        }
    }

    fn count_translated(&self, family: Family) {
        match self.dataplane.translated_clients(family) {
            Ok(clients) => self.metrics.translated(family, clients),
            Err(error) => debug!(
                family = label(family),
                error = %Chain(&error),
                "pods that rules translate cannot be counted"
            ),
        }
    }

    fn read_one(&mut self, verdict: Verdict, key: &FrontendKey) {
        match self.dataplane.counted_at(verdict, key) {
            Ok(packets) => self.refusals.saw(verdict, *key, packets.unwrap_or(0)),
            Err(error) => debug!(%key, error = %Chain(&error), "refused packets cannot be counted"),
        }
    }
}
