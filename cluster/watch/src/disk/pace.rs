//! When to write: a pure state machine, the time is an argument.

use std::time::{Duration, Instant};

/// How long changes are gathered.
///
/// 2 s: a rollout is many changes in a row, and a crash that loses two seconds of them loses little:
/// the API server has them.
const GATHER: Duration = Duration::from_secs(2);

/// Shortest time between two writes.
const INTERVAL: Duration = Duration::from_secs(10);

/// How many times what a write took must pass before the next: at most 1 % of a core.
const COST_FACTOR: u32 = 100;

/// How long nothing is to do when nothing changes; a view ends the wait.
const IDLE: Duration = Duration::from_secs(3600);

/// When to write next.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the oldest change is due that was not written.
    due: Option<Instant>,
    /// Before when nothing is written.
    not_before: Option<Instant>,
}

impl Pace {
    /// Something changed.
    pub(super) fn changed(&mut self, now: Instant) {
        let due = now + GATHER;
        let due = self.not_before.map_or(due, |not_before| due.max(not_before));
        self.due.get_or_insert(due);
    }

    /// Everything was written, which took so long.
    pub(super) fn wrote(&mut self, now: Instant, took: Duration) {
        self.due = None;
        self.not_before = Some(now + INTERVAL.max(took * COST_FACTOR));
    }

    /// Whether it is time to write.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// How long nothing is to do unless something changes.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.due.map_or(IDLE, |due| due.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn changes_are_gathered_and_none_waits_longer_for_those_after_it() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!(!pace.is_due(now + IDLE));
        pace.changed(now);
        pace.changed(now + SECOND);
        assert!(!pace.is_due(now + SECOND));
        assert_eq!(pace.wait(now + SECOND), SECOND);
        assert!(pace.is_due(now + GATHER));
    }

    #[test]
    fn writes_are_apart_by_what_they_cost() {
        for (took, apart) in [(Duration::ZERO, INTERVAL), (SECOND, SECOND * COST_FACTOR)] {
            let (mut pace, now) = (Pace::default(), Instant::now());
            pace.changed(now);
            pace.wrote(now, took);
            assert!(!pace.is_due(now + IDLE), "nothing is left");
            pace.changed(now);
            assert!(!pace.is_due(now + apart - Duration::from_millis(1)));
            assert!(pace.is_due(now + apart));
        }
    }
}
