//! Shows the counters of all entrances under CoreDNS's names.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::exchanges::{
    Buckets, Cell, Counters, DURATIONS, FAMILIES, PLUGINS, QTYPE_PLACES, RCODE_PLACES, Recorder,
    SIZES, ZoneLabel,
};
use super::labels::{qtype_label, rcode_label};
use crate::respond::Transport;

/// Nanoseconds in a second, the unit of durations.
const NANOSECONDS: f64 = 1e9;

/// Octets in an octet, the unit of sizes.
const OCTETS: f64 = 1.0;

/// The counters of all entrances, to be read.
#[derive(Debug, Clone)]
pub(super) struct Exchanges(Arc<Mutex<Counted>>);

/// What has been counted, and for which zones.
#[derive(Debug)]
struct Counted {
    /// By number.
    zones: Vec<String>,
    entries: Vec<Entry>,
}

/// The counters of one writer for one zone, and where it sits.
#[derive(Debug)]
struct Entry {
    server: Arc<str>,
    transport: Transport,
    zone: ZoneLabel,
    counters: Arc<Counters>,
}

impl Default for Exchanges {
    /// Knows what is dropped, which is the first zone.
    fn default() -> Self {
        let counted = Counted { zones: vec!["dropped".to_owned()], entries: Vec::new() };
        Self(Arc::new(Mutex::new(counted)))
    }
}

impl Exchanges {
    /// The number of the zone that is called `zone`.
    pub(super) fn zone(&self, zone: &str) -> ZoneLabel {
        let zones = &mut self.lock().zones;
        let place = zones.iter().position(|known| known == zone);
        ZoneLabel(place.unwrap_or_else(|| {
            zones.push(zone.to_owned());
            zones.len() - 1
        }))
    }

    /// Makes a writer at the address that is called `server`.
    pub(super) fn recorder(&self, server: String, transport: Transport) -> Recorder {
        let (exchanges, server) = (self.clone(), server.into());
        Recorder { exchanges, server, transport, zones: Vec::new() }
    }

    /// Makes counters of a writer for one zone.
    pub(super) fn counters(
        &self,
        server: &Arc<str>,
        transport: Transport,
        zone: ZoneLabel,
    ) -> Arc<Counters> {
        let (counters, server) = (Arc::<Counters>::default(), Arc::clone(server));
        let entry = Entry { server, transport, zone, counters: Arc::clone(&counters) };
        self.lock().entries.push(entry);
        counters
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Exchanges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counted = self.lock();
        // By address and zone, and by transport too, as labels tell them apart.
        let (mut servers, mut doors) = (Groups::new(), Groups::new());
        for Entry { server, transport, zone, counters } in &counted.entries {
            let zone = counted.zones.get(zone.0).map_or("", String::as_str);
            servers.entry([server, zone, ""]).or_default().push(counters);
            doors.entry([server, zone, proto(*transport)]).or_default().push(counters);
        }
        let counter = MetricType::Counter;
        let mut family = encoder.encode_descriptor(REQUESTS.0, REQUESTS.1, None, counter)?;
        requests(&mut family, &doors)?;
        let mut family = encoder.encode_descriptor(RESPONSES.0, RESPONSES.1, None, counter)?;
        responses(&mut family, &servers)?;
        let mut family = encoder.encode_descriptor(DNSSEC_OK.0, DNSSEC_OK.1, None, counter)?;
        dnssec_ok(&mut family, &servers)?;
        histograms(&mut encoder, DURATION, &servers, (&DURATIONS, NANOSECONDS), |counters| {
            &counters.durations
        })?;
        histograms(&mut encoder, REQUEST_SIZE, &doors, (&SIZES, OCTETS), |counters| {
            &counters.request_sizes
        })?;
        histograms(&mut encoder, RESPONSE_SIZE, &doors, (&SIZES, OCTETS), |counters| {
            &counters.response_sizes
        })
    }
}

/// Counters by `server`, `zone` and `proto`; the last is empty where it is none of the labels.
type Groups<'e> = BTreeMap<[&'e str; 3], Vec<&'e Arc<Counters>>>;

/// Name and help text of a metric.
type Described = (&'static str, &'static str);

const REQUESTS: Described = ("coredns_dns_requests", "Queries received.");
const RESPONSES: Described = ("coredns_dns_responses", "Replies sent.");
const DNSSEC_OK: Described = ("coredns_dns_do_requests", "Queries with the DO bit received.");
const DURATION: Described =
    ("coredns_dns_request_duration_seconds", "Time from a query to its reply.");
const REQUEST_SIZE: Described = ("coredns_dns_request_size_bytes", "Size of queries.");
const RESPONSE_SIZE: Described = ("coredns_dns_response_size_bytes", "Size of replies.");

fn proto(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}

/// The sum of one counter over all writers.
fn total(writers: &[&Arc<Counters>], cell: impl Fn(&Counters) -> &Cell) -> u64 {
    writers.iter().map(|counters| cell(counters).read()).sum()
}

/// Shows a counter that has counted something.
fn counter<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: [(&str, &str); N],
    count: u64,
) -> fmt::Result {
    if count == 0 {
        return Ok(());
    }
    family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn requests(family: &mut MetricEncoder<'_>, doors: &Groups<'_>) -> fmt::Result {
    for ([server, zone, proto], writers) in doors {
        for (family_at, ip_family) in FAMILIES.iter().enumerate() {
            for qtype_at in 0..QTYPE_PLACES {
                let count = total(writers, |one| &one.requests[family_at][qtype_at]);
                let labels = [
                    ("server", *server),
                    ("zone", *zone),
                    ("view", ""),
                    ("proto", *proto),
                    ("family", ip_family),
                    ("type", qtype_label(qtype_at)),
                ];
                counter(family, labels, count)?;
            }
        }
    }
    Ok(())
}

fn responses(family: &mut MetricEncoder<'_>, servers: &Groups<'_>) -> fmt::Result {
    for ([server, zone, _], writers) in servers {
        for (plugin_at, plugin) in PLUGINS.iter().enumerate() {
            for rcode_at in 0..RCODE_PLACES {
                let count = total(writers, |one| &one.responses[plugin_at][rcode_at]);
                let labels = [
                    ("server", *server),
                    ("zone", *zone),
                    ("view", ""),
                    ("rcode", rcode_label(rcode_at)),
                    ("plugin", plugin),
                ];
                counter(family, labels, count)?;
            }
        }
    }
    Ok(())
}

fn dnssec_ok(family: &mut MetricEncoder<'_>, servers: &Groups<'_>) -> fmt::Result {
    for ([server, zone, _], writers) in servers {
        let labels = [("server", *server), ("zone", *zone), ("view", "")];
        counter(family, labels, total(writers, |one| &one.dnssec_ok))?;
    }
    Ok(())
}

/// Shows one histogram for each group, its samples divided by the unit.
fn histograms<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): Described,
    groups: &Groups<'_>,
    (limits, unit): (&[u64; N], f64),
    buckets: impl Fn(&Counters) -> &Buckets<N>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for ([server, zone, proto], writers) in groups {
        let sum = |cell: &dyn Fn(&Buckets<N>) -> u64| -> u64 {
            writers.iter().map(|one| cell(buckets(one))).sum()
        };
        let limits = limits.iter().map(|limit| exact(*limit) / unit).chain([f64::INFINITY]);
        let counts: Vec<(f64, u64)> = limits
            .enumerate()
            .map(|(place, limit)| (limit, sum(&|bucket| bucket.count(place))))
            .collect();
        let count = counts.iter().map(|(_, count)| count).sum();
        if count == 0 {
            continue;
        }
        let total = exact(sum(&|bucket| bucket.sum.read())) / unit;
        let labels = [("server", *server), ("zone", *zone), ("view", ""), ("proto", *proto)];
        // A group without a transport has no such label.
        let labels = if proto.is_empty() { &labels[..3] } else { &labels[..] };
        family
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(total, count, &counts, None)?;
    }
    Ok(())
}

/// A count as a number of a metric; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "metrics are of this type")]
fn exact(count: u64) -> f64 {
    count as f64
}
