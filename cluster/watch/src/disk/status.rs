//! How keeping the file goes, for metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// How keeping the file goes; clones show the same.
#[derive(Debug, Clone, Default)]
pub struct DiskStatus(Arc<Mutex<Counts>>);

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Views written.
    pub writes: u64,
    /// Views that could not be written.
    pub failures: u64,
    /// Size of the last one in bytes.
    pub bytes: usize,
    /// When the last one was written.
    pub written: Option<SystemTime>,
}

impl DiskStatus {
    /// What was written so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wrote(&self, bytes: usize, now: SystemTime) {
        self.change(|counts| {
            counts.writes += 1;
            counts.bytes = bytes;
            counts.written = Some(now);
        });
    }

    pub(super) fn failed(&self) {
        self.change(|counts| counts.failures += 1);
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
