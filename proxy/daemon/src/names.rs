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

/// A zone that follows the cluster.
pub(crate) type Zone = Arc<ArcSwap<ZoneIndex>>;

#[derive(Debug, Default)]
struct State {
    latest: Option<Arc<Snapshot>>,
    zones: Vec<Zone>,
}

impl Names {
    /// The zone with this configuration, which follows the cluster as long as somebody holds it.
    pub(crate) fn zone(&self, config: ZoneConfig) -> Zone {
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

    /// Waits until all of `zones` know their names; before the first view that is no zone's fault.
    pub(crate) async fn known(&self, zones: &[Zone]) {
        loop {
            let updated = self.updated.notified();
            if self.latest().is_none() || are_synced(zones) {
                return;
            }
            updated.await;
        }
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
            if are_synced(&self.lock().zones)
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

/// Whether all of `zones` know their names.
fn are_synced(zones: &[Zone]) -> bool {
    zones.iter().all(|zone| zone.load().is_synced())
}

/// The time that serials follow; 0 before the epoch.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use podway_cluster_model::builder::Builder;
    use podway_cluster_model::label::{LabelKeys, Selector};
    use podway_cluster_model::snapshot::Delta;

    use super::*;

    #[tokio::test]
    async fn zones_wait_for_their_own_labels_and_for_no_others() {
        let names = Names::default();
        let selecting = |text| config("one.example").with_labels(Selector::parse(text).ok());
        let (first, second) = (names.zone(selecting("team")), names.zone(config("two.example")));
        let are_known = async |zones: &[Zone]| {
            tokio::select! {
                biased;
                () = names.known(zones) => true,
                () = std::future::ready(()) => false,
            }
        };
        assert!(are_known(&[Arc::clone(&first)]).await, "nothing is known of the cluster yet");
        names.update(&view());
        assert!(are_known(&[second]).await, "it needs no labels");
        assert!(!are_known(&[Arc::clone(&first)]).await);
        assert_eq!(names.wanted().extras().labels, ["team".into()].into_iter().collect());
        let mut builder = Builder::new();
        builder.keep_labels(LabelKeys::All);
        let (snapshot, delta) = builder.apply([]);
        names.update(&View { snapshot, delta, ..view() });
        assert!(are_known(&[first]).await);
    }

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
