//! Keeps the zones at the newest snapshot.
//!
//! They have a subscription of their own, so that a name is answered as soon as it exists, whatever
//! the kernel is doing, and readers of an old zone never wait. Which zones there are is up to the
//! Corefile; those that nobody reads any more are forgotten.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use podway_cluster_model::snapshot::Snapshot;
use podway_cluster_watch::publish::{Subscription, View};
use podway_cluster_watch::wanted::{Extras, Wanted};
use podway_dns_zone::{ZoneConfig, ZoneIndex};
use tokio::sync::Notify;
use tracing::debug;

use crate::readiness::Guard;

/// The zones that are answered.
#[derive(Debug, Default)]
pub(crate) struct Names {
    state: Mutex<State>,
    /// What the zones are made of besides what everybody needs.
    wanted: Wanted,
    /// Tells of each new view.
    updated: Notify,
}

#[derive(Debug, Default)]
struct State {
    latest: Option<Arc<Snapshot>>,
    zones: Vec<Arc<ArcSwap<ZoneIndex>>>,
}

impl Names {
    /// The zone with this configuration, which follows the cluster as long as somebody holds it.
    pub(crate) fn zone(&self, config: ZoneConfig) -> Arc<ArcSwap<ZoneIndex>> {
        self.wanted.add(&Extras { labels: config.label_keys(), imports: config.has_imports() });
        let mut state = self.lock();
        if let Some(zone) = state.zones.iter().find(|zone| *zone.load().config() == config) {
            return Arc::clone(zone);
        }
        let mut index = ZoneIndex::new(config);
        if let Some(snapshot) = &state.latest {
            index = index.rebuild(snapshot, unix_seconds());
        }
        let zone = Arc::new(ArcSwap::from_pointee(index));
        state.zones.push(Arc::clone(&zone));
        zone
    }

    /// What the zones are made of besides what everybody needs.
    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted.clone()
    }

    /// Waits until every zone knows its names; before the first view that is no zone's fault.
    pub(crate) async fn known(&self) {
        loop {
            let updated = self.updated.notified();
            if self.latest().is_none() || self.are_synced() {
                return;
            }
            updated.await;
        }
    }

    /// Whether every zone knows its names.
    fn are_synced(&self) -> bool {
        self.lock().zones.iter().all(|zone| zone.load().is_synced())
    }

    /// The domain of one of the zones, if there is any.
    pub(crate) fn domain(&self) -> Option<String> {
        self.lock().zones.first().map(|zone| zone.load().config().domain().to_ascii())
    }

    /// The newest view of the cluster, once there is one.
    pub(crate) fn latest(&self) -> Option<Arc<Snapshot>> {
        self.lock().latest.clone()
    }

    /// All zones as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for zone in &self.lock().zones {
            // Writing to a string cannot fail.
            write!(text, "{}", zone.load()).unwrap_or_default();
        }
        text
    }

    /// Swaps in new zones for each view; `unsynced` is done once all of them know their names.
    pub(crate) async fn follow(self: Arc<Self>, mut subscription: Subscription, unsynced: Guard) {
        let mut unsynced = Some(unsynced);
        while let Some(view) = subscription.next().await {
            self.update(&view);
            self.updated.notify_waiters();
            if self.are_synced()
                && let Some(unsynced) = unsynced.take()
            {
                unsynced.done();
            }
        }
    }

    fn update(&self, view: &View) {
        let mut state = self.lock();
        state.latest = Some(Arc::clone(&view.snapshot));
        // One holder is the list itself.
        state.zones.retain(|zone| Arc::strong_count(zone) > 1);
        for zone in &state.zones {
            let next = zone.load().update(&view.snapshot, &view.delta, unix_seconds());
            debug!(
                zone = %next.config().domain(),
                generation = view.snapshot.generation,
                serial = next.serial(),
                elapsed_us = view.oldest_change.elapsed().as_micros(),
                "zone updated"
            );
            zone.store(Arc::new(next));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is inside is whole after each step, so a poisoned lock holds no half state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time that serials follow; 0 before the epoch.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use podway_cluster_model::snapshot::Delta;

    use super::*;

    fn view() -> View {
        let snapshot = Arc::new(Snapshot::default());
        let delta = Delta::everything(&snapshot);
        View { snapshot, delta, oldest_change: Instant::now(), triggers: Vec::new() }
    }

    fn config(domain: &str) -> ZoneConfig {
        ZoneConfig::new(domain).unwrap()
    }

    #[test]
    fn zones_are_shared_follow_the_cluster_and_are_forgotten() {
        let names = Names::default();
        let first = names.zone(config("one.example"));
        assert!(!first.load().is_synced());
        names.update(&view());
        assert!(first.load().is_synced());
        let late = names.zone(config("two.example"));
        assert!(late.load().is_synced(), "what comes later knows the cluster at once");
        assert!(Arc::ptr_eq(&first, &names.zone(config("one.example"))));
        drop(late);
        names.update(&view());
        assert_eq!(names.lock().zones.len(), 1);
    }
}
