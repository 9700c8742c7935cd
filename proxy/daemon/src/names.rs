//! Keeps the zone at the newest snapshot.
//!
//! It has a subscription of its own, so that a name is answered as soon as it exists, whatever the
//! kernel is doing, and readers of the old zone never wait.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use podway_cluster_watch::publish::Subscription;
use podway_dns_zone::ZoneIndex;
use tracing::debug;

use crate::readiness::Guard;

/// Swaps in a new zone for each view; `unsynced` is done after the first.
pub(crate) async fn follow(
    mut subscription: Subscription,
    zone: Arc<ArcSwap<ZoneIndex>>,
    unsynced: Guard,
) {
    let mut unsynced = Some(unsynced);
    while let Some(view) = subscription.next().await {
        let next = zone.load().update(&view.snapshot, &view.delta, unix_seconds());
        debug!(
            generation = view.snapshot.generation,
            serial = next.serial(),
            elapsed_us = view.oldest_change.elapsed().as_micros(),
            "zone updated"
        );
        zone.store(Arc::new(next));
        if let Some(unsynced) = unsynced.take() {
            unsynced.done();
        }
    }
}

/// The time that serials follow; 0 before the epoch.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
