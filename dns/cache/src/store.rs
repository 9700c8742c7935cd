//! What is kept, what goes first, what is stale or due for renewal.
//!
//! Two lists, each in the order of last use and each with a bound in octets: data has three quarters
//! of the memory, denials and failures the rest, so that a flood of names that do not exist pushes
//! out no data. The bound is kept by giving up the entry unused for longest until the new one fits,
//! which `lru` does exactly; concurrent caches keep such bounds approximately and read the clock.

use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use crate::key::Key;
use crate::policy::{CachePolicy, Preference, Prefetch, ServeStale};
use crate::response::{Kind, Response};

/// A point in time, as the time since one that the caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(Duration);

/// Memory of an entry beside key and reply: links, place in the table, counters of the `Arc`.
const ENTRY_OCTETS: usize = 160 + size_of::<Entry>();

/// Shortest time between two renewals of one entry.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

impl Moment {
    /// The point `since` after the caller's beginning.
    #[must_use]
    pub const fn new(since: Duration) -> Self {
        Self(since)
    }

    /// Time from `earlier` until this; none if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What is known of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// An answer within its time.
    Fresh {
        /// The answer.
        response: Arc<Response>,
        /// How long it was kept.
        age: Duration,
        /// Whether it should be fetched anew, beside answering.
        renew: bool,
    },
    /// An answer past its time that may be given.
    Stale {
        /// The answer.
        response: Arc<Response>,
        /// How long the upstreams are given to better it; `None`: it is given at once.
        wait: Option<Duration>,
        /// Whether it should be fetched anew, beside answering at once.
        renew: bool,
    },
    /// Nothing.
    Miss,
}

/// What was given up for want of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Entries with data.
    pub success: usize,
    /// Denials and failures.
    pub denial: usize,
}

/// An answer that is kept.
#[derive(Debug)]
struct Entry {
    response: Arc<Response>,
    stored: Moment,
    /// Times it was asked for without a long pause.
    hits: u32,
    last_hit: Moment,
    /// When it was last handed out for renewal.
    renewed: Option<Moment>,
    /// When a renewal failed.
    failed: Option<Moment>,
}

/// Entries in the order of last use, within a bound.
#[derive(Debug)]
struct Shelf {
    entries: LruCache<Key, Entry>,
    bytes: usize,
    limit: usize,
}

/// Answers, within a bound of memory.
#[derive(Debug)]
pub struct Store {
    policy: CachePolicy,
    success: Shelf,
    denial: Shelf,
}

impl Store {
    /// Makes an empty store.
    #[must_use]
    pub fn new(policy: CachePolicy) -> Self {
        let denial = policy.bytes / 4;
        Self { policy, success: Shelf::new(policy.bytes - denial), denial: Shelf::new(denial) }
    }

    /// Looks `key` up on behalf of a client.
    pub fn look_up(&mut self, key: &Key, now: Moment) -> Lookup {
        let policy = self.policy;
        // Both have one only where data is preferred.
        let shelves = [&mut self.success, &mut self.denial];
        let found = shelves.into_iter().filter_map(|shelf| shelf.entries.get_mut(key));
        let mut found = found.map(|entry| entry.look_up(now, &policy));
        found.find(|lookup| *lookup != Lookup::Miss).unwrap_or(Lookup::Miss)
    }

    /// An answer within its time, if there is one; does not count as use.
    #[must_use]
    pub fn peek(&self, key: &Key, now: Moment) -> Option<(Arc<Response>, Duration)> {
        let fresh = |shelf: &Shelf| {
            let entry = shelf.entries.peek(key)?;
            let age = now.since(entry.stored);
            (age < entry.response.lifetime()).then(|| (Arc::clone(&entry.response), age))
        };
        fresh(&self.success).or_else(|| fresh(&self.denial))
    }

    /// Keeps `response` as the answer to `key`, if it may be kept.
    ///
    /// A failure takes the place of nothing that can still be given: that is only marked, so that it
    /// is given without waiting for the upstreams.
    pub fn insert(&mut self, key: &Key, response: Arc<Response>, now: Moment) -> Removed {
        if response.kind() == Kind::Failure {
            let known = self.success.entries.peek_mut(key);
            let known = known.or_else(|| self.denial.entries.peek_mut(key));
            if let Some(known) = known.filter(|known| known.is_usable(now, &self.policy)) {
                known.failed = Some(now);
                return Removed::default();
            }
        }
        let kept = self.prefers_what_is_there(key, &response, now);
        // Also an answer that may not be kept tells that the one before is out of date.
        if !kept {
            self.success.remove(key);
        }
        self.denial.remove(key);
        if response.lifetime().is_zero() {
            return Removed::default();
        }
        let kind = response.kind();
        let entry = Entry::new(response, now);
        match kind {
            Kind::Success => Removed { success: self.success.insert(key, entry), denial: 0 },
            Kind::Denial | Kind::Failure => {
                Removed { success: 0, denial: self.denial.insert(key, entry) }
            }
        }
    }

    /// Whether data that is there stays beside `response`, to be preferred to it.
    fn prefers_what_is_there(&self, key: &Key, response: &Response, now: Moment) -> bool {
        match (self.policy.preference, response.kind()) {
            (Preference::Newest, _) | (Preference::Data, Kind::Success) => false,
            (Preference::Data, Kind::Denial | Kind::Failure) => self
                .success
                .entries
                .peek(key)
                .is_some_and(|entry| entry.is_usable(now, &self.policy)),
        }
    }

    /// How many entries there are: with data, and denials with failures.
    #[must_use]
    pub fn entries(&self) -> (usize, usize) {
        (self.success.entries.len(), self.denial.entries.len())
    }

    /// Octets of memory that the entries take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.success.bytes + self.denial.bytes
    }
}

impl Shelf {
    fn new(limit: usize) -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, limit }
    }

    /// Inserts an entry for a key that has none; returns how many others were given up for it.
    ///
    /// One that is larger than the whole shelf is not kept.
    fn insert(&mut self, key: &Key, entry: Entry) -> usize {
        let octets = weight(key, &entry);
        if octets > self.limit {
            return 0;
        }
        let mut given_up = 0;
        while self.bytes + octets > self.limit
            && let Some((key, entry)) = self.entries.pop_lru()
        {
            self.bytes -= weight(&key, &entry);
            given_up += 1;
        }
        self.bytes += octets;
        self.entries.put(key.clone(), entry);
        given_up
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= weight(key, &entry);
        }
    }
}

/// Octets of memory that an entry takes.
fn weight(key: &Key, entry: &Entry) -> usize {
    let key_octets = size_of::<Key>() + key.question().len() + key.options().len();
    ENTRY_OCTETS + key_octets + entry.response.weight()
}

impl Entry {
    fn new(response: Arc<Response>, now: Moment) -> Self {
        Self { response, stored: now, hits: 0, last_hit: now, renewed: None, failed: None }
    }

    /// Whether it may be given now, within its time or past it.
    fn is_usable(&self, now: Moment, policy: &CachePolicy) -> bool {
        let (age, lifetime) = (now.since(self.stored), self.response.lifetime());
        let may_be_stale =
            policy.serve_stale != ServeStale::Never && self.response.kind() != Kind::Failure;
        age < lifetime + if may_be_stale { policy.stale_for } else { Duration::ZERO }
    }

    /// What a client gets.
    fn look_up(&mut self, now: Moment, policy: &CachePolicy) -> Lookup {
        if !self.is_usable(now, policy) {
            return Lookup::Miss;
        }
        let response = Arc::clone(&self.response);
        let (age, lifetime) = (now.since(self.stored), response.lifetime());
        if age < lifetime {
            let renew = response.kind() != Kind::Failure
                && self.is_popular(now, policy.prefetch)
                && is_nearly_over(age, lifetime, policy.prefetch)
                && self.may_renew(now);
            return Lookup::Fresh { response, age, renew };
        }
        let failed_lately = self.failed.is_some_and(|at| now.since(at) < policy.recheck);
        let wait = match policy.serve_stale {
            ServeStale::AfterFailure { patience } if !failed_lately => Some(patience),
            ServeStale::Never | ServeStale::AtOnce | ServeStale::AfterFailure { .. } => None,
        };
        let renew = wait.is_none() && self.may_renew(now);
        Lookup::Stale { response, wait, renew }
    }

    /// Counts a hit; whether there were enough of them without a pause.
    fn is_popular(&mut self, now: Moment, prefetch: Option<Prefetch>) -> bool {
        let Some(prefetch) = prefetch else { return false };
        if now.since(self.last_hit) > prefetch.pause {
            self.hits = 0;
        }
        self.hits = self.hits.saturating_add(1);
        self.last_hit = now;
        self.hits >= prefetch.hits
    }

    /// Whether a renewal may be started; one that is, counts as started.
    fn may_renew(&mut self, now: Moment) -> bool {
        let due = self.renewed.is_none_or(|at| now.since(at) >= RENEWAL_PAUSE);
        if due {
            self.renewed = Some(now);
        }
        due
    }
}

/// Whether what is left of `lifetime` calls for renewal.
fn is_nearly_over(age: Duration, lifetime: Duration, prefetch: Option<Prefetch>) -> bool {
    let left = lifetime.saturating_sub(age).as_millis() * 100;
    prefetch.is_some_and(|prefetch| left <= lifetime.as_millis() * u128::from(prefetch.percent))
}
