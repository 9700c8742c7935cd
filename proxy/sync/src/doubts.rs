//! The frontends whose tracked flows are still to be looked at, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use podway_cluster_model::port::Protocol;
use podway_proxy_plan::plan::{Family, FrontendKey};

use crate::per_family::PerFamily;

/// How long an endpoint must be gone before its TCP connections are reset.
///
/// 10 s: whoever writes slices may take an endpoint out of one before it puts it into another.
const TCP_GRACE: Duration = Duration::from_secs(10);

/// Wait before flows are looked at again after that failed.
const RETRY: Duration = Duration::from_secs(5);

/// The frontends whose flows are to be looked at, with the time from which on.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    families: PerFamily<BTreeMap<FrontendKey, Instant>>,
}

impl Doubts {
    /// Takes in frontends that a change, seen at `now`, made doubtful.
    pub(crate) fn add(&mut self, frontends: impl IntoIterator<Item = FrontendKey>, now: Instant) {
        for key in frontends {
            let pending = self.families.of_mut(Family::of(key.address)).entry(key);
            match key.protocol {
                // The endpoint that went last counts.
                Protocol::Tcp => *pending.or_insert(now) = now + TCP_GRACE,
                Protocol::Udp | Protocol::Sctp => *pending.or_insert(now) = now,
            }
        }
    }

    /// When flows of `family` are next to be looked at.
    pub(crate) fn next_due(&self, family: Family) -> Option<Instant> {
        self.families.of(family).values().min().copied()
    }

    /// Takes out the frontends of `family` whose time has come.
    pub(crate) fn take_due(&mut self, family: Family, now: Instant) -> Vec<FrontendKey> {
        let pending = self.families.of_mut(family);
        let due: Vec<FrontendKey> =
            pending.iter().filter(|(_, due)| **due <= now).map(|(key, _)| *key).collect();
        pending.retain(|_, due| *due > now);
        due
    }

    /// Puts frontends back that could not be looked at.
    pub(crate) fn put_back(&mut self, frontends: Vec<FrontendKey>, now: Instant) {
        for key in frontends {
            self.families.of_mut(Family::of(key.address)).entry(key).or_insert(now + RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use podway_cluster_model::port::Port;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(address: &str, protocol: Protocol) -> FrontendKey {
        FrontendKey { address: address.parse().unwrap(), protocol, port: Port::new(53).unwrap() }
    }

    #[test]
    fn udp_is_due_at_once_and_tcp_when_its_last_endpoint_is_gone_for_a_while() {
        let (start, mut doubts) = (Instant::now(), Doubts::default());
        let (udp, tcp) = (key("10.96.0.10", Protocol::Udp), key("10.96.0.10", Protocol::Tcp));
        doubts.add([udp, tcp], start);
        assert_eq!(doubts.next_due(Family::Ip), Some(start));
        assert_eq!(doubts.next_due(Family::Ip6), None);
        assert_eq!(doubts.take_due(Family::Ip, start), [udp]);
        doubts.add([tcp], start + 4 * SECOND);
        assert_eq!(doubts.next_due(Family::Ip), Some(start + 14 * SECOND));
        assert_eq!(doubts.take_due(Family::Ip, start + 10 * SECOND), []);
        assert_eq!(doubts.take_due(Family::Ip, start + 14 * SECOND), [tcp]);
        assert_eq!(doubts.next_due(Family::Ip), None);
    }

    #[test]
    fn what_failed_is_due_later_unless_it_is_doubted_anew() {
        let (start, mut doubts) = (Instant::now(), Doubts::default());
        let udp = key("fd00:96::10", Protocol::Udp);
        doubts.put_back(vec![udp], start);
        assert_eq!(doubts.next_due(Family::Ip6), Some(start + RETRY));
        doubts.add([udp], start + SECOND);
        assert_eq!(doubts.take_due(Family::Ip6, start + SECOND), [udp]);
    }
}
