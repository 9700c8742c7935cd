//! Whether the kernel follows the cluster: what `/healthz` and `/livez` tell.
//!
//! Rule, as in kube-proxy: a family is unhealthy when the oldest change that the kernel does not have
//! is older than a minute. It is healthy while nothing is to be done, and before the first snapshot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use podway_proxy_plan::plan::Family;

use crate::per_family::PerFamily;

/// How old a change may be that the kernel does not have.
///
/// 60 s: twice the sync period of kube-proxy, whose health checks existing tools expect.
pub const MAX_UNSYNCED: Duration = Duration::from_secs(60);

/// How the families are doing; clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    families: Arc<Mutex<PerFamily<FamilyHealth>>>,
}

#[derive(Debug, Clone, Copy)]
struct FamilyHealth {
    /// When the oldest change was seen that the kernel does not have.
    unsynced_since: Option<Instant>,
    /// When the kernel was last brought up to date; the start of the daemon before that.
    updated: SystemTime,
}

/// How one family is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyReport {
    /// Whether the kernel follows.
    pub healthy: bool,
    /// When the kernel was last brought up to date.
    pub updated: SystemTime,
}

impl Health {
    /// The health of a daemon that starts at `now`.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        let family = FamilyHealth { unsynced_since: None, updated: now };
        Self { families: Arc::new(Mutex::new(PerFamily::new(|_| family))) }
    }

    /// How each family is doing at `now`.
    #[must_use]
    pub fn report(&self, now: Instant) -> PerFamily<FamilyReport> {
        let families = self.lock();
        PerFamily::new(|family| {
            let FamilyHealth { unsynced_since, updated } = *families.of(family);
            let healthy = unsynced_since
                .is_none_or(|since| now.saturating_duration_since(since) <= MAX_UNSYNCED);
            FamilyReport { healthy, updated }
        })
    }

    /// A change, seen at `since`, is to be written.
    pub fn behind(&self, family: Family, since: Instant) {
        let mut families = self.lock();
        let unsynced = &mut families.of_mut(family).unsynced_since;
        *unsynced = Some(unsynced.map_or(since, |earlier| earlier.min(since)));
    }

    /// The kernel has everything, since `now`.
    pub fn in_step(&self, family: Family, now: SystemTime) {
        *self.lock().of_mut(family) = FamilyHealth { unsynced_since: None, updated: now };
    }

    fn lock(&self) -> MutexGuard<'_, PerFamily<FamilyHealth>> {
        // The value is whole after each assignment, so a poisoned lock holds no half state.
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn family_is_healthy_until_its_oldest_change_is_older_than_a_minute() {
        let start = Instant::now();
        let health = Health::new(SystemTime::UNIX_EPOCH);
        let healthy = |now| {
            let report = health.report(now);
            [Family::Ip, Family::Ip6].map(|family| report.of(family).healthy)
        };
        assert_eq!(healthy(start + 1000 * SECOND), [true, true], "idle is healthy");

        health.behind(Family::Ip6, start + SECOND);
        health.behind(Family::Ip6, start + 50 * SECOND);
        assert_eq!(healthy(start + 61 * SECOND), [true, true]);
        assert_eq!(healthy(start + 62 * SECOND), [true, false]);

        let now = SystemTime::UNIX_EPOCH + 62 * SECOND;
        health.in_step(Family::Ip6, now);
        assert_eq!(healthy(start + 500 * SECOND), [true, true]);
        assert_eq!(health.report(start).of(Family::Ip6).updated, now);
    }
}
