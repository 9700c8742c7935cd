//! The immutable index of every name, and its update from a delta.

use std::sync::Arc;

use podway_cluster_model::snapshot::{Delta, Snapshot};

use crate::config::ZoneConfig;

/// Every name that exists, immutable; a clone costs reference counts.
///
/// Readers hold it by `Arc` and the writer swaps it whole.
#[derive(Debug, Clone)]
pub struct ZoneIndex {
    config: Arc<ZoneConfig>,
    serial: u32,
    synced: bool,
}

impl ZoneIndex {
    /// An index that knows nothing yet: whatever is in its zones is
    /// [`Answer::NotSynced`](crate::Answer::NotSynced).
    #[must_use]
    pub fn new(config: ZoneConfig) -> Self {
        Self { config: Arc::new(config), serial: 0, synced: false }
    }

    /// The index of `snapshot`, which differs from this one's snapshot at most by `delta`.
    ///
    /// Costs what the delta costs. From an index that is not synced the whole snapshot is read,
    /// whatever `delta` says. The serial rises only when an answer may differ, to
    /// `now_unix_seconds` where that is higher.
    #[must_use]
    pub fn update(&self, snapshot: &Snapshot, delta: &Delta, now_unix_seconds: u64) -> Self {
        let _ = (snapshot, delta, now_unix_seconds);
        Self { synced: true, ..self.clone() }
    }

    /// The index of `snapshot` made from nothing; its serial follows this one's.
    ///
    /// For a caller that lost track of what changed.
    #[must_use]
    pub fn rebuild(&self, snapshot: &Snapshot, now_unix_seconds: u64) -> Self {
        let _ = (snapshot, now_unix_seconds);
        Self { synced: true, ..self.clone() }
    }

    /// Whether a snapshot was seen.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Serial of the SOA records.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// What the index was made with.
    #[must_use]
    pub fn config(&self) -> &ZoneConfig {
        &self.config
    }
}
