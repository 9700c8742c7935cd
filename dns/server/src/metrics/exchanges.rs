//! Counts queries and replies, at the price of a few additions each.
//!
//! Every counter of an entrance is resolved once: a query finds its own by number and not by labels. Each [`Recorder`] writes counters of its own, which needs neither locks
//! nor atomic additions, and whoever reads the metrics adds those of one address up.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::exposition::Exchanges;
use super::labels::{QTYPES, RCODES, qtype_place, rcode_place};
use crate::respond::{Replied, Source, Transport};

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

/// Labels of `plugin` by who made the reply.
pub(super) const PLUGINS: [&str; 4] = ["kubernetes", "forward", "", "other"];

/// The zone of a block, by its place among all that there were; they are few, and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ZoneLabel(pub(super) usize);

impl ZoneLabel {
    /// What asks for no zone that is served, or is no question.
    pub(crate) const DROPPED: Self = Self(0);
}

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
    /// The zone of the block that it came from.
    pub(crate) zone: ZoneLabel,
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

/// The counters of one writer for one zone.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// By family and type.
    pub(super) requests: [[Cell; QTYPE_PLACES]; FAMILIES.len()],
    /// By plugin and response code.
    pub(super) responses: [[Cell; RCODE_PLACES]; PLUGINS.len()],
    /// Queries with the DO bit.
    pub(super) dnssec_ok: Cell,
    pub(super) durations: Buckets<{ DURATIONS.len() }>,
    pub(super) request_sizes: Buckets<{ SIZES.len() }>,
    pub(super) response_sizes: Buckets<{ SIZES.len() }>,
}

/// Writes to counters of its own.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(super) exchanges: Exchanges,
    pub(super) server: Arc<str>,
    pub(super) transport: Transport,
    /// By zone; made when something is to be counted.
    pub(super) zones: Vec<Option<Arc<Counters>>>,
}

impl Recorder {
    /// Records a query and its reply.
    pub(crate) fn record(&mut self, exchange: &Exchange) {
        let Exchange { replied, zone, client, request_octets, response_octets, duration } =
            exchange;
        let (zone, plugin) = match replied.source {
            Source::Zone => (*zone, 0),
            Source::Upstream => (*zone, 1),
            Source::Protocol => (ZoneLabel::DROPPED, 2),
            Source::Plugin => (*zone, 3),
        };
        let counters = self.counters(zone);
        let family = usize::from(!client.to_canonical().is_ipv4());
        counters.requests[family][qtype_place(replied.qtype)].add(1);
        counters.responses[plugin][rcode_place(replied.rcode)].add(1);
        if replied.dnssec_ok {
            counters.dnssec_ok.add(1);
        }
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        counters.durations.observe(&DURATIONS, nanoseconds);
        counters.request_sizes.observe(&SIZES, octets(*request_octets));
        counters.response_sizes.observe(&SIZES, octets(*response_octets));
    }

    /// The counters for a zone.
    fn counters(&mut self, zone: ZoneLabel) -> &Counters {
        if self.zones.len() <= zone.0 {
            self.zones.resize(zone.0 + 1, None);
        }
        let Self { exchanges, server, transport, zones } = self;
        zones[zone.0].get_or_insert_with(|| exchanges.counters(server, *transport, zone))
    }
}

fn octets(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
