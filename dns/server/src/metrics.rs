//! Counts what the server does, under the names of CoreDNS where the meaning is the same.
//!
//! Existing dashboards read these. As in CoreDNS's default configuration all names are served by
//! one block, the root, so the label `zone` is `.`, or `dropped` for what no zone was asked for; the
//! label `plugin` tells answers of the zone (`kubernetes`) from those of upstreams (`forward`).

mod exchanges;
mod exposition;
mod labels;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub(crate) use self::exchanges::{Exchange, Recorder};
use self::exposition::Exchanges;
use self::labels::{rcode_label, rcode_place};
use crate::respond::Transport;

/// All metrics of a server; clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    exchanges: Exchanges,
    upstream_duration: Family<UpstreamLabels, Histogram, Seconds>,
    forward_rejects: Counter,
    upstream_failures: Family<UpstreamFailureLabels, Counter>,
    panics: Counter,
    clients_limited: Counter,
    receive_errors: Counter,
    send_errors: Counter,
}

/// Bucket limits of durations: 0.25 ms times powers of two, as in CoreDNS.
#[derive(Debug, Clone, Copy)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
    }
}

/// An address as a label: `dns://10.96.0.10:53`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ServerName(Arc<str>);

impl EncodeLabelValue for ServerName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    proxy_name: &'static str,
    to: ServerName,
    rcode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamFailureLabels {
    to: ServerName,
    reason: &'static str,
}

/// Why a try with an upstream gave no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TryFailure {
    /// Nothing came in time.
    Timeout,
    /// The upstream or the way to it refused.
    Io,
}

/// The address that messages are received at, and by what means; for replies that several tasks
/// make.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// The means.
    pub(crate) transport: Transport,
    recorder: Mutex<Recorder>,
}

impl Entrance {
    /// Makes the entrance at `address`.
    pub(crate) fn new(metrics: &Metrics, address: SocketAddr, transport: Transport) -> Self {
        Self { transport, recorder: Mutex::new(metrics.recorder(address, transport)) }
    }

    /// Records a query and its reply.
    pub(crate) fn record(&self, exchange: &Exchange) {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner).record(exchange);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            exchanges: Exchanges::default(),
            upstream_duration: Family::new_with_constructor(Seconds),
            forward_rejects: Counter::default(),
            upstream_failures: Family::default(),
            panics: Counter::default(),
            clients_limited: Counter::default(),
            receive_errors: Counter::default(),
            send_errors: Counter::default(),
        }
    }
}

impl Metrics {
    /// Makes the metrics visible in `registry`, under names without a further prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.exchanges.clone()));
        registry.register(
            "coredns_proxy_request_duration_seconds",
            "Time that an upstream took to reply",
            self.upstream_duration.clone(),
        );
        registry.register(
            "coredns_forward_max_concurrent_rejects",
            "Queries not forwarded because too many were under way",
            self.forward_rejects.clone(),
        );
        registry.register(
            "podway_dns_upstream_failures",
            "Tries with an upstream that gave no reply",
            self.upstream_failures.clone(),
        );
        registry.register("coredns_panics", "Panics while answering", self.panics.clone());
        registry.register(
            "podway_dns_client_limited",
            "Queries and connections dropped because their client has too many",
            self.clients_limited.clone(),
        );
        registry.register(
            "podway_dns_receive_errors",
            "Failures to receive from a client",
            self.receive_errors.clone(),
        );
        registry.register(
            "podway_dns_send_errors",
            "Replies that could not be sent",
            self.send_errors.clone(),
        );
    }

    /// Makes counters for one writer at `address`, resolved once and for all.
    pub(crate) fn recorder(&self, address: SocketAddr, transport: Transport) -> Recorder {
        self.exchanges.recorder(address, transport)
    }

    /// Records a reply of an upstream.
    pub(crate) fn upstream_replied(&self, to: SocketAddr, rcode: ResponseCode, took: Duration) {
        let labels = UpstreamLabels {
            proxy_name: "forward",
            to: ServerName(Arc::from(to.to_string())),
            rcode: rcode_label(rcode_place(rcode)),
        };
        self.upstream_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Records a try with an upstream that gave no reply.
    pub(crate) fn upstream_failed(&self, to: SocketAddr, failure: TryFailure) {
        let reason = match failure {
            TryFailure::Timeout => "timeout",
            TryFailure::Io => "io",
        };
        let labels = UpstreamFailureLabels { to: ServerName(Arc::from(to.to_string())), reason };
        self.upstream_failures.get_or_create(&labels).inc();
    }

    /// Records a query that was not forwarded because too many were under way.
    pub(crate) fn forward_rejected(&self) {
        self.forward_rejects.inc();
    }

    /// Records a panic that was caught.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Records a query or connection that was dropped because its client has too many.
    pub(crate) fn client_limited(&self) {
        self.clients_limited.inc();
    }

    /// Records a failure to receive.
    pub(crate) fn receive_failed(&self) {
        self.receive_errors.inc();
    }

    /// Records a failure to send.
    pub(crate) fn send_failed(&self) {
        self.send_errors.inc();
    }
}
