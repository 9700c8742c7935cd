//! The cache as several threads use it, with the clock and the counters.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use podway_dns_cache::{CachePolicy, Key, Lookup, Moment, Response, Store};
use tokio::time::Instant;

use super::metrics::CacheMetrics;

/// Stores that the memory is divided among.
///
/// 16: a lock is held for as long as one entry is looked up, on as many threads as a node has cores.
const SHARDS: usize = 16;

/// Answers that are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    shards: Vec<Mutex<Store>>,
    /// Decides where a key belongs; nobody can choose keys that all belong to one.
    hasher: RandomState,
    began: Instant,
    metrics: CacheMetrics,
}

impl Kept {
    /// Keeps nothing yet.
    pub(crate) fn new(policy: CachePolicy, metrics: CacheMetrics) -> Self {
        let shard = CachePolicy { bytes: policy.bytes / SHARDS, ..policy };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Store::new(shard))).collect(),
            hasher: RandomState::new(),
            began: Instant::now(),
            metrics,
        }
    }

    /// Looks `key` up on behalf of a client.
    pub(crate) fn look_up(&self, key: &Key) -> Lookup {
        let lookup = self.with(key, |store, now| store.look_up(key, now));
        match &lookup {
            Lookup::Fresh { response, .. } => self.metrics.hit(response.kind()),
            Lookup::Stale { .. } | Lookup::Miss => self.metrics.missed(),
        }
        lookup
    }

    /// An answer within its time, if there is one.
    pub(crate) fn peek(&self, key: &Key) -> Option<(Arc<Response>, Duration)> {
        self.with(key, |store, now| store.peek(key, now))
    }

    /// Keeps `response` as the answer to `key`, if it may be kept.
    pub(crate) fn insert(&self, key: &Key, response: Arc<Response>) {
        self.with(key, |store, now| {
            let before = store.entries();
            let removed = store.insert(key, response, now);
            self.metrics.changed(before, store.entries(), removed);
        });
    }

    /// What counts it.
    pub(crate) fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    /// Does something with the store that `key` belongs to.
    fn with<T>(&self, key: &Key, act: impl FnOnce(&mut Store, Moment) -> T) -> T {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let shard = self.hasher.hash_one(key) as usize % self.shards.len();
        let now = Moment::new(self.began.elapsed());
        act(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}
