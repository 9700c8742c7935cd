//! How the API server is followed, for health, metrics and logs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::rejection::ObjectKind;

/// Time after which a failure that goes on is logged again.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// How the API server is followed; clones show the same.
#[derive(Debug, Clone, Default)]
pub struct ApiStatus {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    kinds: BTreeMap<ObjectKind, KindStatus>,
    endpoint: Option<Arc<str>>,
    complete: bool,
    logged: Option<(String, Instant)>,
}

/// How one kind is followed.
#[derive(Debug, Clone, Default)]
pub struct KindStatus {
    /// Whether changes are coming in, or would if there were any.
    pub connected: bool,
    /// When the server last said something of the kind: an object, or that there is nothing new.
    pub heard: Option<Instant>,
    /// Lists begun.
    pub lists: u64,
    /// Watches begun.
    pub watches: u64,
    /// Lists and watches that failed.
    pub failures: u64,
    /// Why the last one failed, while that is how it is.
    pub failure: Option<String>,
}

impl ApiStatus {
    /// How each kind is followed.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<ObjectKind, KindStatus> {
        self.lock().kinds.clone()
    }

    /// Address of the server in use, if there is one.
    #[must_use]
    pub fn endpoint(&self) -> Option<Arc<str>> {
        self.lock().endpoint.clone()
    }

    /// Whether the server has told the whole view once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lock().complete
    }

    /// How long ago the server last said something of the kind that it said it of longest ago;
    /// `None` before the view was complete. A server that is well says something every minute.
    #[must_use]
    pub fn view_age(&self, now: Instant) -> Option<Duration> {
        let state = self.lock();
        let heard = state.kinds.values().filter_map(|kind| kind.heard).min()?;
        state.complete.then(|| now.saturating_duration_since(heard))
    }

    pub(super) fn began(&self, kind: ObjectKind, endpoint: &Arc<str>, list: bool) {
        let mut state = self.lock();
        state.endpoint = Some(Arc::clone(endpoint));
        let kind = state.kinds.entry(kind).or_default();
        let count = if list { &mut kind.lists } else { &mut kind.watches };
        *count += 1;
        kind.connected = true;
    }

    pub(super) fn heard(&self, kind: ObjectKind) {
        let mut state = self.lock();
        let kind = state.kinds.entry(kind).or_default();
        kind.heard = Some(Instant::now());
        kind.failure = None;
    }

    /// Takes note of a failure; says whether it is one to log now.
    pub(super) fn failed(&self, kind: ObjectKind, failure: &str) -> bool {
        let mut state = self.lock();
        let status = state.kinds.entry(kind).or_default();
        status.connected = false;
        status.failures += 1;
        status.failure = Some(failure.to_owned());
        let now = Instant::now();
        let known = state.logged.as_ref().is_some_and(|(logged, at)| {
            logged == failure && now.saturating_duration_since(*at) < LOG_AGAIN
        });
        if !known {
            state.logged = Some((failure.to_owned(), now));
        }
        !known
    }

    pub(super) fn ended(&self, kind: ObjectKind) {
        self.lock().kinds.entry(kind).or_default().connected = false;
    }

    /// The kind is done without: it has no age.
    pub(super) fn without(&self, kind: ObjectKind) {
        let mut state = self.lock();
        let kind = state.kinds.entry(kind).or_default();
        kind.connected = false;
        kind.heard = None;
    }

    /// The view is complete; says whether that is new.
    pub(super) fn complete(&self) -> bool {
        !std::mem::replace(&mut self.lock().complete, true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each field is whole after each assignment, so a poisoned lock holds no half state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
