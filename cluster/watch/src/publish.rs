//! Hands each new snapshot to every subscriber.
//!
//! A subscriber that is slower than the changes misses no change: what it has not taken yet is
//! merged into one view with the newest snapshot. Nothing is delivered before the first complete
//! snapshot, and the first view of a subscriber names everything in it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use podway_cluster_model::snapshot::{Delta, Snapshot};
use thiserror::Error;
use tokio::sync::Notify;

#[cfg(test)]
mod tests;

/// What a subscriber gets: the newest snapshot, and what differs from the one it got before.
#[derive(Debug, Clone)]
pub struct View {
    /// The newest snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Everything that may differ from the subscriber's last view; never empty, unless the
    /// subscriber's first snapshot has nothing in it.
    pub delta: Delta,
    /// When the oldest of the merged changes was seen: the start of their latency.
    pub oldest_change: Instant,
    /// What made the cluster write the slices that changed, as far as they say it.
    ///
    /// Those of the subscriber's first view are left out: they happened before it looked.
    pub triggers: Vec<Trigger>,
}

/// A change of a Pod or a Service that led to a changed slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// Family of the slice.
    pub family: SliceFamily,
    /// When it happened, by the clock of the controller.
    pub at: SystemTime,
}

/// Family of the addresses in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SliceFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Most triggers that wait for one subscriber; more say nothing new of the latency.
const MAX_TRIGGERS: usize = 4096;

/// Why a bounded wait gave no view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoView {
    /// Nothing changed in time.
    #[error("nothing changed in time")]
    TimedOut,
    /// The publisher is gone and everything it published was taken.
    #[error("the publisher is gone")]
    PublisherGone,
}

/// The one writer: gives snapshots to the subscriptions of its [`Feed`].
///
/// When it is dropped, subscribers get what they have not taken yet and then the end.
#[derive(Debug, Default)]
pub struct Publisher {
    feed: Feed,
}

/// Where subscriptions are made and the newest snapshot is found.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    shared: Arc<Mutex<Shared>>,
}

/// One reader's place in the feed.
#[derive(Debug)]
pub struct Subscription {
    mailbox: Arc<Mailbox>,
}

#[derive(Debug, Default)]
struct Shared {
    latest: Option<Published>,
    closed: bool,
    mailboxes: Vec<Weak<Mailbox>>,
}

/// A snapshot and when the change that made it was seen.
#[derive(Debug, Clone)]
struct Published {
    snapshot: Arc<Snapshot>,
    changed_at: Instant,
    triggers: Vec<Trigger>,
}

/// What waits for one subscriber, and how it is woken.
#[derive(Debug)]
struct Mailbox {
    slot: Mutex<Slot>,
    /// Wakes a task.
    task: Notify,
    /// Wakes a thread.
    thread: Condvar,
}

#[derive(Debug)]
struct Slot {
    pending: Option<Pending>,
    /// Whether the subscriber was given a view before; if not, the next one names everything.
    started: bool,
    closed: bool,
}

#[derive(Debug)]
struct Pending {
    snapshot: Arc<Snapshot>,
    /// Merged deltas; not gathered before the first view, which names everything anyway.
    delta: Delta,
    oldest_change: Instant,
    triggers: Vec<Trigger>,
}

impl Publisher {
    /// A publisher that has published nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A subscription that starts with the newest snapshot, or with the first once it is there.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.feed.subscribe()
    }

    /// The readers' side, for those who subscribe later.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Gives `snapshot` to every subscriber, with `delta` to the snapshot published before and the
    /// time at which its oldest change was seen.
    ///
    /// The first call says that the snapshot is complete. Later calls with an empty delta do nothing.
    pub fn publish(&self, snapshot: &Arc<Snapshot>, delta: &Delta, changed_at: Instant) {
        self.publish_triggered(snapshot, delta, changed_at, Vec::new());
    }

    /// As [`Self::publish`], with what made the cluster write the changed slices.
    pub fn publish_triggered(
        &self,
        snapshot: &Arc<Snapshot>,
        delta: &Delta,
        changed_at: Instant,
        triggers: Vec<Trigger>,
    ) {
        let mut shared = lock(&self.feed.shared);
        if shared.latest.is_some() && delta.is_empty() {
            return;
        }
        let mut published = Published { snapshot: Arc::clone(snapshot), changed_at, triggers };
        shared.mailboxes.retain(|mailbox| {
            let Some(mailbox) = mailbox.upgrade() else { return false };
            mailbox.put(&published, delta);
            true
        });
        published.triggers = Vec::new();
        shared.latest = Some(published);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut shared = lock(&self.feed.shared);
        shared.closed = true;
        for mailbox in shared.mailboxes.iter().filter_map(Weak::upgrade) {
            mailbox.close();
        }
    }
}

impl Feed {
    /// A subscription that starts with the newest snapshot, or with the first once it is there.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let mut shared = lock(&self.shared);
        let pending = shared.latest.as_ref().map(|published| Pending {
            snapshot: Arc::clone(&published.snapshot),
            delta: Delta::default(),
            oldest_change: published.changed_at,
            triggers: Vec::new(),
        });
        let slot = Slot { pending, started: false, closed: shared.closed };
        let mailbox = Arc::new(Mailbox {
            slot: Mutex::new(slot),
            task: Notify::new(),
            thread: Condvar::new(),
        });
        shared.mailboxes.push(Arc::downgrade(&mailbox));
        Subscription { mailbox }
    }

    /// The newest snapshot; `None` before the first complete one.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        lock(&self.shared).latest.as_ref().map(|published| Arc::clone(&published.snapshot))
    }
}

impl Subscription {
    /// Waits for the next view; `None` when the publisher is gone and all was taken.
    ///
    /// Cancel safe: a view is taken only when it is returned.
    pub async fn next(&mut self) -> Option<View> {
        loop {
            match self.try_next() {
                Ok(view) => return Some(view),
                Err(NoView::PublisherGone) => return None,
                Err(NoView::TimedOut) => self.mailbox.task.notified().await,
            }
        }
    }

    /// Waits at most `timeout` for the next view, from a plain thread.
    ///
    /// # Errors
    /// [`NoView`] says whether to call again.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<View, NoView> {
        let slot = lock(&self.mailbox.slot);
        let idle = |slot: &mut Slot| slot.pending.is_none() && !slot.closed;
        let (slot, _) = self
            .mailbox
            .thread
            .wait_timeout_while(slot, timeout, idle)
            .unwrap_or_else(PoisonError::into_inner);
        take(slot)
    }

    /// The next view if there is one now.
    ///
    /// # Errors
    /// [`NoView`] says whether there may be one later.
    pub fn try_next(&mut self) -> Result<View, NoView> {
        take(lock(&self.mailbox.slot))
    }
}

impl Mailbox {
    fn put(&self, published: &Published, delta: &Delta) {
        let mut slot = lock(&self.slot);
        let started = slot.started;
        let pending = slot.pending.get_or_insert_with(|| Pending {
            snapshot: Arc::clone(&published.snapshot),
            delta: Delta::default(),
            oldest_change: published.changed_at,
            triggers: Vec::new(),
        });
        pending.snapshot = Arc::clone(&published.snapshot);
        pending.oldest_change = pending.oldest_change.min(published.changed_at);
        if started {
            pending.delta.merge(delta.clone());
            let room = MAX_TRIGGERS.saturating_sub(pending.triggers.len());
            pending.triggers.extend(published.triggers.iter().take(room));
        }
        drop(slot);
        self.wake();
    }

    fn close(&self) {
        lock(&self.slot).closed = true;
        self.wake();
    }

    fn wake(&self) {
        // There is one subscriber, so the permit that `notify_one` leaves cannot go to another.
        self.task.notify_one();
        self.thread.notify_one();
    }
}

/// Takes what is pending and lets the lock go before anything of size is done.
fn take(mut slot: MutexGuard<'_, Slot>) -> Result<View, NoView> {
    let Some(pending) = slot.pending.take() else {
        return Err(if slot.closed { NoView::PublisherGone } else { NoView::TimedOut });
    };
    let first = !std::mem::replace(&mut slot.started, true);
    drop(slot);
    let Pending { snapshot, delta, oldest_change, triggers } = pending;
    let delta = if first { Delta::everything(&snapshot) } else { delta };
    Ok(View { snapshot, delta, oldest_change, triggers })
}

/// Locks; no code that holds one of our locks can leave its data half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
