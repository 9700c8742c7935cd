//! Counts what forwarding does, under the names of CoreDNS's plugins `forward` and `cache`.

use std::time::Duration;

use podway_dns_cache::{Kind, Removed};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::metrics::{LabelText, rcode_label, rcode_place};

/// The name that CoreDNS's `forward` gives to its proxies.
const PROXY_NAME: &str = "forward";

/// Bucket limits of durations: 0.25 ms times powers of two, as in CoreDNS.
#[derive(Debug, Clone, Copy)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
    }
}

/// The metrics of all forwarders; clones share their values.
#[derive(Debug, Clone)]
pub(crate) struct ForwardMetrics {
    duration: Family<ReplyLabels, Histogram, Seconds>,
    failures: Family<FailureLabels, Counter>,
    probe_failures: Family<UpstreamLabels, Counter>,
    spellings: Family<ToLabels, Counter>,
    connections_reused: Family<ConnectionLabels, Counter>,
    connections_opened: Family<ConnectionLabels, Counter>,
    all_unhealthy: Counter,
    loops: Family<ToLabels, Counter>,
    rejects: Counter,
    cache_requests: Family<CacheLabels, Counter>,
    cache_hits: Family<CacheKindLabels, Counter>,
    cache_misses: Family<CacheLabels, Counter>,
    cache_prefetches: Family<CacheLabels, Counter>,
    cache_served_stale: Family<CacheLabels, Counter>,
    cache_evictions: Family<CacheKindLabels, Counter>,
    cache_entries: Family<CacheKindLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplyLabels {
    proxy_name: &'static str,
    to: LabelText,
    rcode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    proxy_name: &'static str,
    to: LabelText,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    proxy_name: &'static str,
    to: LabelText,
    proto: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    to: LabelText,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToLabels {
    to: LabelText,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    server: LabelText,
    zones: LabelText,
    view: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheKindLabels {
    server: LabelText,
    zones: LabelText,
    view: &'static str,
    r#type: &'static str,
}

/// Why a try with an upstream gave no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TryFailure {
    /// Nothing came in time.
    Timeout,
    /// The upstream or the way to it refused.
    Io,
    /// The reply could not be read.
    Malformed,
}

impl Default for ForwardMetrics {
    fn default() -> Self {
        Self {
            duration: Family::new_with_constructor(Seconds),
            failures: Family::default(),
            probe_failures: Family::default(),
            spellings: Family::default(),
            connections_reused: Family::default(),
            connections_opened: Family::default(),
            all_unhealthy: Counter::default(),
            loops: Family::default(),
            rejects: Counter::default(),
            cache_requests: Family::default(),
            cache_hits: Family::default(),
            cache_misses: Family::default(),
            cache_prefetches: Family::default(),
            cache_served_stale: Family::default(),
            cache_evictions: Family::default(),
            cache_entries: Family::default(),
        }
    }
}

impl ForwardMetrics {
    /// Makes the metrics visible in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "coredns_proxy_request_duration_seconds",
            "Time that an upstream took to reply",
            self.duration.clone(),
        );
        registry.register(
            "coredns_proxy_healthcheck_failures",
            "Probes that an upstream did not reply to",
            self.probe_failures.clone(),
        );
        registry.register(
            "coredns_proxy_conn_cache_hits",
            "Queries sent on a connection that was open",
            self.connections_reused.clone(),
        );
        registry.register(
            "coredns_proxy_conn_cache_misses",
            "Connections opened",
            self.connections_opened.clone(),
        );
        registry.register(
            "coredns_forward_healthcheck_broken",
            "Queries that found no upstream well",
            self.all_unhealthy.clone(),
        );
        registry.register(
            "coredns_forward_max_concurrent_rejects",
            "Queries not forwarded because too many were under way",
            self.rejects.clone(),
        );
        registry.register(
            "podway_dns_upstream_loops",
            "Times that an upstream was found to lead back here",
            self.loops.clone(),
        );
        registry.register(
            "podway_dns_upstream_failures",
            "Tries with an upstream that gave no reply",
            self.failures.clone(),
        );
        registry.register(
            "podway_dns_upstream_spellings",
            "Datagrams that spelled the name otherwise than the query: forged, or folded on the way",
            self.spellings.clone(),
        );
        self.register_cache(registry);
    }

    fn register_cache(&self, registry: &mut Registry) {
        registry.register(
            "coredns_cache_requests",
            "Queries looked up in the cache",
            self.cache_requests.clone(),
        );
        registry.register(
            "coredns_cache_hits",
            "Queries answered from the cache",
            self.cache_hits.clone(),
        );
        registry.register(
            "coredns_cache_misses",
            "Queries that the cache had nothing fresh for",
            self.cache_misses.clone(),
        );
        registry.register(
            "coredns_cache_prefetch",
            "Answers fetched anew before their time was over",
            self.cache_prefetches.clone(),
        );
        registry.register(
            "coredns_cache_served_stale",
            "Queries answered with what was past its time",
            self.cache_served_stale.clone(),
        );
        registry.register(
            "coredns_cache_evictions",
            "Answers given up for want of memory",
            self.cache_evictions.clone(),
        );
        registry.register(
            "coredns_cache_entries",
            "Answers in the cache",
            self.cache_entries.clone(),
        );
    }

    /// Records a query that was not forwarded because too many were under way.
    pub(crate) fn rejected(&self) {
        self.rejects.inc();
    }

    /// Records a query that found no upstream well.
    pub(crate) fn found_all_unhealthy(&self) {
        self.all_unhealthy.inc();
    }

    /// The metrics of one upstream, called `to`.
    pub(crate) fn upstream(&self, to: &str, proto: &'static str) -> UpstreamMetrics {
        let to = LabelText::from(to);
        let connection = ConnectionLabels { proxy_name: PROXY_NAME, to: to.clone(), proto };
        UpstreamMetrics {
            reused: self.connections_reused.get_or_create_owned(&connection),
            opened: self.connections_opened.get_or_create_owned(&connection),
            all: self.clone(),
            to,
        }
    }

    /// The metrics of the cache for `zone`, told apart by the address `server`.
    pub(crate) fn cache(&self, server: &str, zone: &str) -> CacheMetrics {
        let labels =
            CacheLabels { server: LabelText::from(server), zones: LabelText::from(zone), view: "" };
        let of_kind = |r#type| CacheKindLabels {
            server: labels.server.clone(),
            zones: labels.zones.clone(),
            view: "",
            r#type,
        };
        let (success, denial) = (of_kind("success"), of_kind("denial"));
        CacheMetrics {
            requests: self.cache_requests.get_or_create_owned(&labels),
            misses: self.cache_misses.get_or_create_owned(&labels),
            prefetches: self.cache_prefetches.get_or_create_owned(&labels),
            served_stale: self.cache_served_stale.get_or_create_owned(&labels),
            hits: [&success, &denial].map(|labels| self.cache_hits.get_or_create_owned(labels)),
            evictions: [&success, &denial]
                .map(|labels| self.cache_evictions.get_or_create_owned(labels)),
            entries: [&success, &denial]
                .map(|labels| self.cache_entries.get_or_create_owned(labels)),
        }
    }
}

/// The metrics of one upstream.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamMetrics {
    all: ForwardMetrics,
    to: LabelText,
    reused: Counter,
    opened: Counter,
}

impl UpstreamMetrics {
    /// Records that the upstream was found to lead back here.
    pub(crate) fn led_back(&self) {
        let labels = ToLabels { to: self.to.clone() };
        self.all.loops.get_or_create(&labels).inc();
    }

    /// Records a reply.
    pub(crate) fn replied(&self, rcode: u16, took: Duration) {
        let (to, rcode) = (self.to.clone(), rcode_label(rcode_place(rcode.into())));
        let labels = ReplyLabels { proxy_name: PROXY_NAME, to, rcode };
        self.all.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Records a try that gave no reply.
    pub(crate) fn failed(&self, failure: TryFailure) {
        let reason = match failure {
            TryFailure::Timeout => "timeout",
            TryFailure::Io => "io",
            TryFailure::Malformed => "malformed",
        };
        self.all.failures.get_or_create(&FailureLabels { to: self.to.clone(), reason }).inc();
    }

    /// Records a probe that gave no reply.
    pub(crate) fn probe_failed(&self) {
        let labels = UpstreamLabels { proxy_name: PROXY_NAME, to: self.to.clone() };
        self.all.probe_failures.get_or_create(&labels).inc();
    }

    /// Records a reply in which the letters had another case than in the query.
    pub(crate) fn spelled_otherwise(&self) {
        self.all.spellings.get_or_create(&ToLabels { to: self.to.clone() }).inc();
    }

    /// Records a query on a connection that was open.
    pub(crate) fn connection_reused(&self) {
        self.reused.inc();
    }

    /// Records a connection that is being opened.
    pub(crate) fn connection_opened(&self) {
        self.opened.inc();
    }
}

/// The metrics of one cache. Arrays have data first, then denials and failures.
#[derive(Debug, Clone)]
pub(crate) struct CacheMetrics {
    requests: Counter,
    misses: Counter,
    prefetches: Counter,
    served_stale: Counter,
    hits: [Counter; 2],
    evictions: [Counter; 2],
    entries: [Gauge; 2],
}

impl CacheMetrics {
    /// Records a look-up that found an answer of `kind` within its time.
    pub(crate) fn hit(&self, kind: Kind) {
        self.requests.inc();
        self.hits[place(kind)].inc();
    }

    /// Records a look-up that found nothing within its time.
    pub(crate) fn missed(&self) {
        self.requests.inc();
        self.misses.inc();
    }

    /// Records an answer fetched anew before its time was over.
    pub(crate) fn prefetched(&self) {
        self.prefetches.inc();
    }

    /// Records an answer given past its time.
    pub(crate) fn served_stale(&self) {
        self.served_stale.inc();
    }

    /// Records how an insertion changed the number of entries, and what was given up for it.
    pub(crate) fn changed(&self, before: (usize, usize), after: (usize, usize), removed: Removed) {
        for (gauge, before, after) in
            [(&self.entries[0], before.0, after.0), (&self.entries[1], before.1, after.1)]
        {
            gauge.inc_by(count(after) - count(before));
        }
        self.evictions[0].inc_by(removed.success as u64);
        self.evictions[1].inc_by(removed.denial as u64);
    }
}

/// Where a kind stands in the arrays.
fn place(kind: Kind) -> usize {
    match kind {
        Kind::Success => 0,
        Kind::Denial | Kind::Failure => 1,
    }
}

/// A number of entries; there is memory for far fewer than the type holds.
fn count(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}
