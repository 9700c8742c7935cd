//! How long the cluster's changes take to reach the kernel: from what a slice was written for, by
//! the clock of its controller, to the write that took it over.
//!
//! As kube-proxy counts it: one value for each slice that changed, none for what happened before we
//! were there to follow it.

use std::mem;
use std::time::{Duration, SystemTime};

use podway_cluster_watch::publish::{SliceFamily, Trigger};
use podway_proxy_plan::plan::Family;

use crate::per_family::PerFamily;

/// What slices were written for that the kernel does not have yet.
#[derive(Debug)]
pub(crate) struct Programming {
    /// Before when nothing counts.
    started: SystemTime,
    waiting: PerFamily<Vec<SystemTime>>,
}

impl Programming {
    /// Nothing waits, and nothing counts that happened before `started`.
    pub(crate) fn new(started: SystemTime) -> Self {
        Self { started, waiting: PerFamily::default() }
    }

    /// Takes note of what a view was written for.
    pub(crate) fn add(&mut self, triggers: &[Trigger]) {
        for trigger in triggers.iter().filter(|trigger| trigger.at >= self.started) {
            let family = match trigger.family {
                SliceFamily::Ipv4 => Family::Ip,
                SliceFamily::Ipv6 => Family::Ip6,
            };
            self.waiting.of_mut(family).push(trigger.at);
        }
    }

    /// The kernel has everything of `family` at `now`: how long each change took.
    pub(crate) fn done(&mut self, family: Family, now: SystemTime) -> Vec<Duration> {
        let waiting = mem::take(self.waiting.of_mut(family));
        // The controller's clock may be ahead of ours.
        waiting.into_iter().map(|at| now.duration_since(at).unwrap_or_default()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_since_the_start_count_once_in_their_family() {
        let start = SystemTime::now();
        let at = |family, seconds: i64| {
            let offset = Duration::from_secs(seconds.unsigned_abs());
            let at = if seconds < 0 { start - offset } else { start + offset };
            Trigger { family, at }
        };
        let mut programming = Programming::new(start);
        programming.add(&[
            at(SliceFamily::Ipv4, -1),
            at(SliceFamily::Ipv4, 1),
            at(SliceFamily::Ipv4, 9),
            at(SliceFamily::Ipv6, 2),
        ]);
        let now = start + Duration::from_secs(3);
        let seconds = |durations: Vec<Duration>| -> Vec<_> {
            durations.iter().map(Duration::as_secs).collect()
        };
        assert_eq!(seconds(programming.done(Family::Ip, now)), [2, 0]);
        assert_eq!(seconds(programming.done(Family::Ip, now)), [0_u64; 0]);
        assert_eq!(seconds(programming.done(Family::Ip6, now)), [1]);
    }
}
