//! What the daemon still waits for before it is ready.
//!
//! Whoever must be done first holds a named [`Guard`] and gives it up when it is. The idea is that
//! of ztunnel's readiness module; but there a guard that is lost counts as done, and here it keeps
//! the daemon from ever being ready, as a part that failed should.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::info;

/// The set of names that are still awaited.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness {
    awaited: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Readiness {
    /// Makes readiness wait for `name` until the guard says that it is done.
    pub(crate) fn guard(&self, name: &'static str) -> Guard {
        self.lock().insert(name);
        Guard { name, readiness: self.clone() }
    }

    /// The names that are still awaited, in order; ready when there is none.
    pub(crate) fn awaited(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        // A set is whole after each operation, so a poisoned lock holds no half state.
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the daemon from being ready until it is done.
#[must_use = "a guard that is lost keeps the daemon from being ready"]
#[derive(Debug)]
pub(crate) struct Guard {
    name: &'static str,
    readiness: Readiness,
}

impl Guard {
    /// Says that what it stands for is ready.
    pub(crate) fn done(self) {
        let awaited = {
            let mut awaited = self.readiness.lock();
            awaited.remove(self.name);
            awaited.iter().copied().collect::<Vec<_>>()
        };
        if awaited.is_empty() {
            info!(done = self.name, "ready");
        } else {
            info!(done = self.name, awaited = awaited.join(","), "not ready yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_awaited_is_ready() {
        assert!(Readiness::default().awaited().is_empty());
    }

    #[test]
    fn each_guard_takes_its_name_away_when_it_is_done() {
        let readiness = Readiness::default();
        let (second, first) = (readiness.guard("second"), readiness.guard("first"));
        assert_eq!(readiness.awaited(), ["first", "second"]);
        second.done();
        assert_eq!(readiness.awaited(), ["first"]);
        first.done();
        assert!(readiness.awaited().is_empty());
    }

    #[test]
    fn guard_that_is_lost_in_a_panic_is_awaited_for_ever() {
        let readiness = Readiness::default();
        let guard = readiness.guard("lost");
        let panicked = std::thread::spawn(move || {
            let _guard = guard;
            panic!("on purpose");
        })
        .join();
        assert!(panicked.is_err());
        assert_eq!(readiness.awaited(), ["lost"]);
    }
}
