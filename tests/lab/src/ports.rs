//! Ports that clients ask from, one after the other.
//!
//! The kernel's own choice is random, and a datagram from a port that was used a moment ago belongs
//! to a flow that is still tracked: it goes where that went, whatever has changed since.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// First of the ports that Linux gives to clients (`net.ipv4.ip_local_port_range`).
const FIRST: u16 = 32_768;

/// How many of them there are.
const COUNT: u16 = 28_232;

/// Ports in ascending order, and the first again after the last.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    /// Counted from the first one.
    next: u16,
}

impl Ports {
    /// The next `count` ports of this process; another one begins elsewhere.
    pub(crate) fn reserve(count: usize) -> Self {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let taken = TAKEN.fetch_add(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
        let place = std::process::id().wrapping_mul(977).wrapping_add(taken) % u32::from(COUNT);
        Self { next: u16::try_from(place).unwrap_or_default() }
    }

    /// `first` and those that follow.
    pub(crate) fn from(first: u16) -> Self {
        Self { next: first.saturating_sub(FIRST) % COUNT }
    }

    /// The port that comes next.
    pub(crate) fn first(&self) -> u16 {
        FIRST + self.next
    }
}

impl Iterator for Ports {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let port = self.first();
        self.next = (self.next + 1) % COUNT;
        Some(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_comes_once_before_any_comes_again() {
        let mut ports = Ports::from(60_998);
        assert_eq!(ports.by_ref().take(3).collect::<Vec<_>>(), [60_998, 60_999, 32_768]);
        let mut all: Vec<_> = ports.take(COUNT.into()).collect();
        all.sort_unstable();
        assert_eq!(all, (FIRST..=60_999).collect::<Vec<_>>());
    }

    #[test]
    fn reservations_do_not_meet() {
        let first: Vec<_> = Ports::reserve(3).take(3).collect();
        assert!(Ports::reserve(3).take(3).all(|port| !first.contains(&port)));
    }
}
