//! When to read a file that something happened to: a pure state machine, `now` is an argument.
//!
//! What is complete is read at once: a file that was closed after writing, or renamed. A file that
//! is being written is left alone until its writer closes it or has paused.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::FileName;

/// How long a file that was written to but not closed must be quiet.
///
/// 50 ms: longer than a program takes between two writes of one output, and half of the 100 ms in
/// which a change takes effect.
const QUIET_TIME: Duration = Duration::from_millis(50);

/// How long a deleted file may take to come back.
///
/// 10 ms: an editor that deletes and writes anew, or `rm -r` of the whole folder, is done by then,
/// and nothing is taken away that would come back at once.
const RETURN_TIME: Duration = Duration::from_millis(10);

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// It was closed after writing, or got or lost its name by renaming.
    Complete,
    /// It was made or written to, and may still be open.
    Written,
    /// It was deleted.
    Deleted,
}

/// A file whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// When the first of what happened to it was seen.
    pub(super) first_seen: Instant,
    /// Whether its writer is known to be done.
    pub(super) complete: bool,
}

/// The files that something happened to.
#[derive(Debug, Default)]
pub(super) struct Settle {
    waiting: BTreeMap<FileName, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    first_seen: Instant,
    until: Instant,
    complete: bool,
}

impl Settle {
    /// Notes that something happened to a file.
    pub(super) fn note(&mut self, name: FileName, happening: Happening, now: Instant) {
        let wait = match happening {
            Happening::Complete => Duration::ZERO,
            Happening::Written => QUIET_TIME,
            Happening::Deleted => RETURN_TIME,
        };
        let waiting = self.waiting.entry(name).or_insert(Waiting {
            first_seen: now,
            until: now,
            complete: false,
        });
        waiting.until = now + wait;
        waiting.complete = happening != Happening::Written;
    }

    /// When the next file will be due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }

    /// Takes the files that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> BTreeMap<FileName, Due> {
        self.waiting
            .extract_if(.., |_, waiting| waiting.until <= now)
            .map(|(name, Waiting { first_seen, complete, .. })| {
                (name, Due { first_seen, complete })
            })
            .collect()
    }

    /// Forgets all files, since the folder itself is read again.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(settle: &mut Settle, now: Instant) -> Vec<(String, bool)> {
        let due = settle.take_due(now);
        due.into_iter().map(|(name, due)| (name.to_string(), due.complete)).collect()
    }

    #[test]
    fn a_closed_file_is_due_at_once() {
        let (mut settle, now) = (Settle::default(), Instant::now());
        settle.note("a.yaml".into(), Happening::Complete, now);
        assert_eq!(settle.next_due(), Some(now));
        assert_eq!(due(&mut settle, now), [("a.yaml".to_owned(), true)]);
        assert_eq!(settle.next_due(), None);
    }

    #[test]
    fn an_open_file_is_due_after_its_last_write() {
        let (mut settle, start) = (Settle::default(), Instant::now());
        let second = start + QUIET_TIME / 2;
        settle.note("a.yaml".into(), Happening::Written, start);
        settle.note("a.yaml".into(), Happening::Written, second);
        assert_eq!(due(&mut settle, start + QUIET_TIME), []);
        assert_eq!(settle.next_due(), Some(second + QUIET_TIME));
        let taken = settle.take_due(second + QUIET_TIME);
        assert_eq!(taken["a.yaml"], Due { first_seen: start, complete: false });
    }

    #[test]
    fn closing_ends_the_wait() {
        let (mut settle, now) = (Settle::default(), Instant::now());
        settle.note("a.yaml".into(), Happening::Written, now);
        settle.note("a.yaml".into(), Happening::Complete, now);
        assert_eq!(due(&mut settle, now), [("a.yaml".to_owned(), true)]);
    }

    #[test]
    fn a_file_opened_again_after_closing_is_waited_for() {
        let (mut settle, now) = (Settle::default(), Instant::now());
        settle.note("a.yaml".into(), Happening::Complete, now);
        settle.note("a.yaml".into(), Happening::Written, now);
        assert_eq!(due(&mut settle, now), []);
    }

    #[test]
    fn a_deleted_file_gets_a_moment_to_come_back() {
        let (mut settle, now) = (Settle::default(), Instant::now());
        settle.note("a.yaml".into(), Happening::Deleted, now);
        assert_eq!(due(&mut settle, now), []);
        assert_eq!(due(&mut settle, now + RETURN_TIME), [("a.yaml".to_owned(), true)]);
    }

    #[test]
    fn files_do_not_wait_for_each_other() {
        let (mut settle, now) = (Settle::default(), Instant::now());
        settle.note("a.yaml".into(), Happening::Written, now);
        settle.note("b.yaml".into(), Happening::Complete, now);
        assert_eq!(due(&mut settle, now), [("b.yaml".to_owned(), true)]);
        assert_eq!(settle.next_due(), Some(now + QUIET_TIME));
    }
}
