//! Keeps one client from taking the server from all others.
//!
//! Every client address has a bucket of queries that fills at a steady rate. Buckets are kept as the
//! one time at which each will be full again (the generic cell rate algorithm, ITU-T I.371), so a
//! bucket that is full need not be kept: the table has a fixed size, and what it forgets first is
//! what says nothing. The clock is passed in.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::allowed::Allowed;
use crate::config::ClientLimits;

/// Places that one client may be kept in.
const PLACES: usize = 4;

/// Sets of places: 4,096 clients in 64 KiB, many times the pods of a node.
const SETS: usize = 1024;

/// Time between two log lines about clients that ask too much.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The clients that asked lately.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Who is a client at all.
    allowed: ArcSwap<Allowed>,
    rate: Option<Rate>,
    ipv6_mask: u128,
    /// Keyed by chance, so that no client can choose to share a place with another.
    hasher: RandomState,
    sets: Box<[[Bucket; PLACES]]>,
    epoch: Instant,
    /// Nanoseconds from `epoch` at which the next log line is due.
    next_log: AtomicU64,
}

/// A rate in terms of time.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Nanoseconds that one query takes to be given back.
    interval: u64,
    /// Nanoseconds that an empty bucket takes to be full.
    full: u64,
}

/// The bucket of one client; times are in nanoseconds from the epoch.
#[derive(Debug, Default)]
struct Bucket {
    /// Stands for the client's address.
    key: AtomicU64,
    /// When the bucket will be full again.
    full_at: AtomicU64,
}

/// Whether a query is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is.
    Granted,
    /// It is not.
    Denied,
    /// It is not, and it is time to say so in the log.
    DeniedAloud,
}

impl Clients {
    /// Keeps clients to `limits`, from the time `epoch` on.
    pub(crate) fn new(limits: ClientLimits, epoch: Instant) -> Self {
        let rate = limits.queries_per_second.map(|per_second| {
            let interval = (1_000_000_000 / u64::from(per_second.get())).max(1);
            Rate { interval, full: interval * u64::from(limits.burst.get()) }
        });
        let free = 128 - u32::from(limits.ipv6_prefix.min(128));
        Self {
            allowed: ArcSwap::from_pointee(Allowed::everybody()),
            rate,
            ipv6_mask: u128::MAX.checked_shl(free).unwrap_or(0),
            hasher: RandomState::new(),
            sets: match rate {
                Some(_) => std::iter::repeat_with(Default::default).take(SETS).collect(),
                None => Box::default(),
            },
            epoch,
            next_log: AtomicU64::new(0),
        }
    }

    /// Answers only clients that are in `allowed` from now on.
    pub(crate) fn allow(&self, allowed: Allowed) {
        self.allowed.store(Arc::new(allowed));
    }

    /// Whether `client` is in a network that is served.
    pub(crate) fn serves(&self, client: IpAddr) -> bool {
        self.allowed.load().contains(client)
    }

    /// Takes a query out of the bucket of `client`, if there is one left.
    pub(crate) fn admit(&self, client: IpAddr, now: Instant) -> Admission {
        let Some(rate) = self.rate else { return Admission::Granted };
        let now = now.saturating_duration_since(self.epoch).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let bucket = self.bucket(client);
        let taken = bucket.full_at.try_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let after = full_at.max(now).saturating_add(rate.interval);
            (after - now <= rate.full).then_some(after)
        });
        match taken {
            Ok(_) => Admission::Granted,
            Err(_) if self.may_log(now) => Admission::DeniedAloud,
            Err(_) => Admission::Denied,
        }
    }

    /// Whether a log line about a client is due at `now`, which it then is not for a while.
    pub(crate) fn may_log_at(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.epoch).as_nanos();
        self.may_log(u64::try_from(now).unwrap_or(u64::MAX))
    }

    /// The bucket of `client`; that of another client is given to it where it has none.
    ///
    /// Two workers that do so at once may give one bucket to two clients for a moment, which costs
    /// neither more than a query.
    fn bucket(&self, client: IpAddr) -> &Bucket {
        let hash = self.hasher.hash_one(self.counted_as(client));
        // 0 stands for nobody.
        let key = hash | 1;
        let place = usize::try_from(hash >> 32).unwrap_or(0) % self.sets.len();
        let set = &self.sets[place];
        if let Some(own) = set.iter().find(|bucket| bucket.key.load(Ordering::Relaxed) == key) {
            return own;
        }
        let full_at = |bucket: &&Bucket| bucket.full_at.load(Ordering::Relaxed);
        let spare = set.iter().min_by_key(full_at).unwrap_or(&set[0]);
        spare.key.store(key, Ordering::Relaxed);
        spare.full_at.store(0, Ordering::Relaxed);
        spare
    }

    /// The address that `client` is counted under.
    fn counted_as(&self, client: IpAddr) -> IpAddr {
        match client.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & self.ipv6_mask).into(),
            address @ IpAddr::V4(_) => address,
        }
    }

    /// Whether a log line is due, which it then is not for a while.
    fn may_log(&self, now: u64) -> bool {
        let interval = u64::try_from(LOG_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        let after = |due: u64| (due <= now).then(|| now.saturating_add(interval));
        self.next_log.try_update(Ordering::Relaxed, Ordering::Relaxed, after).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU32;

    use super::*;

    fn limits(queries_per_second: u32, burst: u32) -> ClientLimits {
        ClientLimits {
            queries_per_second: NonZeroU32::new(queries_per_second),
            burst: NonZeroU32::new(burst).unwrap(),
            ..ClientLimits::default()
        }
    }

    fn address(index: u32) -> IpAddr {
        Ipv4Addr::from(0x0AF4_0000 + index).into()
    }

    /// How many of `queries` at one time are granted.
    fn granted(clients: &Clients, client: IpAddr, now: Instant, queries: usize) -> usize {
        let grant = |_: &usize| clients.admit(client, now) == Admission::Granted;
        (0..queries).filter(grant).count()
    }

    #[test]
    fn client_has_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let clients = Clients::new(limits(100, 20), start);
        assert_eq!(granted(&clients, address(1), start, 50), 20);
        assert_eq!(granted(&clients, address(1), start + Duration::from_millis(50), 50), 5);
        assert_eq!(granted(&clients, address(1), start + Duration::from_secs(60), 50), 20);
    }

    #[test]
    fn clients_do_not_take_from_each_other() {
        let start = Instant::now();
        let clients = Clients::new(limits(100, 20), start);
        assert_eq!(granted(&clients, address(1), start, 1000), 20);
        for client in 2..300 {
            assert_eq!(granted(&clients, address(client), start, 30), 20, "client {client}");
        }
    }

    #[test]
    fn ten_times_more_clients_than_places_are_served() {
        let start = Instant::now();
        let clients = Clients::new(limits(100, 20), start);
        for round in 0..3 {
            let now = start + Duration::from_secs(round);
            for client in 0..10 * u32::try_from(SETS * PLACES).unwrap() {
                assert_eq!(granted(&clients, address(client), now, 1), 1, "client {client}");
            }
        }
    }

    #[test]
    fn ipv6_clients_are_told_apart_by_their_prefix() {
        let start = Instant::now();
        let limits = ClientLimits { ipv6_prefix: 64, ..limits(100, 20) };
        let clients = Clients::new(limits, start);
        let near = ["fd00::1", "fd00::2"].map(|text| text.parse().unwrap());
        assert_eq!(near.map(|client| granted(&clients, client, start, 15)), [15, 5]);
        assert_eq!(granted(&clients, "fd00:0:0:1::1".parse().unwrap(), start, 15), 15);
        let mapped = ["10.0.0.1", "::ffff:10.0.0.1"].map(|text| text.parse().unwrap());
        assert_eq!(mapped.map(|client| granted(&clients, client, start, 15)), [15, 5]);
    }

    #[test]
    fn without_a_limit_everything_is_granted() {
        let start = Instant::now();
        let clients = Clients::new(limits(0, 1), start);
        assert_eq!(granted(&clients, address(1), start, 100_000), 100_000);
    }

    #[test]
    fn log_lines_about_denials_are_far_apart() {
        let start = Instant::now();
        let clients = Clients::new(limits(1, 1), start);
        let mut aloud = 0;
        for millisecond in 0..30_000 {
            let now = start + Duration::from_millis(millisecond);
            let client = address(u32::try_from(millisecond % 3).unwrap());
            aloud += usize::from(clients.admit(client, now) == Admission::DeniedAloud);
        }
        assert_eq!(aloud, 3);
    }
}
