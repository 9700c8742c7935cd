//! Counts queries and replies, at the price of a few additions each.
//!
//! Every counter of an entrance is resolved when the entrance is made: a query finds its own by
//! number and not by labels. Each [`Recorder`] writes counters of its own, which needs neither locks
//! nor atomic additions, and whoever reads the metrics adds those of one address up.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::labels::{QTYPES, RCODES, qtype_place, rcode_place};
use crate::respond::{Replied, Source};

/// Upper limits of durations in nanoseconds: 0.25 ms times powers of two, as in CoreDNS.
pub(super) const DURATIONS: [u64; 16] = {
    let mut limits = [250_000; 16];
    let mut index = 1;
    while index < limits.len() {
        limits[index] = 2 * limits[index - 1];
        index += 1;
    }
    limits
};

/// Upper limits of sizes in octets, as in CoreDNS.
pub(super) const SIZES: [u64; 14] =
    [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];

/// Labels of `zone`: all names are served by one block, the root, but for what asks for none.
pub(super) const ZONES: [&str; 2] = [".", "dropped"];

/// Labels of `zone` and `plugin` by who made the reply.
pub(super) const PLUGINS: [(&str, &str); 4] =
    [(ZONES[0], "kubernetes"), (ZONES[0], "forward"), (ZONES[1], ""), (ZONES[0], "other")];

/// Types that are told apart, and one place for all others.
pub(super) const QTYPE_PLACES: usize = QTYPES.len() + 1;

/// Response codes that are told apart, and one place for all others.
pub(super) const RCODE_PLACES: usize = RCODES.len() + 1;

/// Labels of `family`: IPv4 and IPv6.
pub(super) const FAMILIES: [&str; 2] = ["1", "2"];

/// One exchange with a client, for the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    /// What the reply was.
    pub(crate) replied: Replied,
    /// The client.
    pub(crate) client: IpAddr,
    /// Octets of the query.
    pub(crate) request_octets: usize,
    /// Octets of the reply.
    pub(crate) response_octets: usize,
    /// From reception to the reply.
    pub(crate) duration: Duration,
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    /// Adds to it; only the one writer may.
    fn add(&self, more: u64) {
        self.0.store(self.read().wrapping_add(more), Ordering::Relaxed);
    }

    /// What it has counted.
    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram with `N` limits.
#[derive(Debug)]
pub(super) struct Buckets<const N: usize> {
    /// Samples up to each limit and above the one before.
    counts: [Cell; N],
    /// Samples above the last limit.
    above: Cell,
    /// Sum of all samples.
    pub(super) sum: Cell,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| Cell::default()),
            above: Cell::default(),
            sum: Cell::default(),
        }
    }
}

impl<const N: usize> Buckets<N> {
    fn observe(&self, limits: &[u64; N], value: u64) {
        let place = limits.iter().position(|limit| value <= *limit);
        place.map_or(&self.above, |place| &self.counts[place]).add(1);
        self.sum.add(value);
    }

    /// Samples at a place: up to that limit and above the one before.
    pub(super) fn count(&self, place: usize) -> u64 {
        self.counts.get(place).unwrap_or(&self.above).read()
    }
}

/// The counters of one writer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// By zone, family and type.
    pub(super) requests: [[[Cell; QTYPE_PLACES]; FAMILIES.len()]; ZONES.len()],
    /// By plugin and response code.
    pub(super) responses: [[Cell; RCODE_PLACES]; PLUGINS.len()],
    /// Queries with the DO bit by zone, as the further ones.
    pub(super) dnssec_ok: [Cell; ZONES.len()],
    pub(super) durations: [Buckets<{ DURATIONS.len() }>; ZONES.len()],
    pub(super) request_sizes: [Buckets<{ SIZES.len() }>; ZONES.len()],
    pub(super) response_sizes: [Buckets<{ SIZES.len() }>; ZONES.len()],
}

/// Writes to counters of its own.
#[derive(Debug)]
pub(crate) struct Recorder(pub(super) Arc<Counters>);

impl Recorder {
    /// Records a query and its reply.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "counters have one writer")]
    pub(crate) fn record(&mut self, exchange: &Exchange) {
        let Exchange { replied, client, request_octets, response_octets, duration } = exchange;
        let counters = &*self.0;
        let (zone, plugin) = match replied.source {
            Source::Zone => (0, 0),
            Source::Upstream => (0, 1),
            Source::Protocol => (1, 2),
            Source::Plugin => (0, 3),
        };
        let family = usize::from(!client.to_canonical().is_ipv4());
        counters.requests[zone][family][qtype_place(replied.qtype)].add(1);
        counters.responses[plugin][rcode_place(replied.rcode)].add(1);
        if replied.dnssec_ok {
            counters.dnssec_ok[zone].add(1);
        }
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        counters.durations[zone].observe(&DURATIONS, nanoseconds);
        counters.request_sizes[zone].observe(&SIZES, octets(*request_octets));
        counters.response_sizes[zone].observe(&SIZES, octets(*response_octets));
    }
}

fn octets(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
