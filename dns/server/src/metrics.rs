//! Counts what the server does, under the names of CoreDNS where the meaning is the same.
//!
//! Existing dashboards read these. As in CoreDNS's default configuration all names are served by
//! one block, the root, so the label `zone` is `.`, or `dropped` for what no zone was asked for; the
//! label `plugin` tells answers of the zone (`kubernetes`) from those of upstreams (`forward`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::respond::{Replied, Source, Transport};

/// All metrics of a server; clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    responses: Family<ResponseLabels, Counter>,
    request_duration: Family<ServerLabels, Histogram, Buckets>,
    request_size: Family<TransportLabels, Histogram, Buckets>,
    response_size: Family<TransportLabels, Histogram, Buckets>,
    upstream_duration: Family<UpstreamLabels, Histogram, Buckets>,
    forward_rejects: Counter,
    upstream_failures: Family<UpstreamFailureLabels, Counter>,
    panics: Counter,
    receive_errors: Counter,
    send_errors: Counter,
}

/// Bucket limits of a family of histograms.
#[derive(Debug, Clone, Copy)]
enum Buckets {
    /// Durations: 0.25 ms times powers of two, as in CoreDNS.
    Seconds,
    /// Sizes of messages, as in CoreDNS.
    Octets,
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        match self {
            Self::Seconds => Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            Self::Octets => Histogram::new([
                0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3,
                48e3, 64e3,
            ]),
        }
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
struct RequestLabels {
    server: ServerName,
    zone: &'static str,
    view: &'static str,
    proto: &'static str,
    family: &'static str,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    server: ServerName,
    zone: &'static str,
    view: &'static str,
    rcode: &'static str,
    plugin: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerLabels {
    server: ServerName,
    zone: &'static str,
    view: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabels {
    server: ServerName,
    zone: &'static str,
    view: &'static str,
    proto: &'static str,
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

/// The address that a message was received at, and by what means.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    /// The address as a label.
    server: ServerName,
    /// The means.
    pub(crate) transport: Transport,
}

impl Entrance {
    /// Names the entrance at `address`.
    pub(crate) fn new(address: SocketAddr, transport: Transport) -> Self {
        Self { server: ServerName(Arc::from(format!("dns://{address}"))), transport }
    }

    fn proto(&self) -> &'static str {
        match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// One exchange with a client, for the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    /// What the reply was.
    pub(crate) replied: Replied,
    /// Whether the client has an IPv4 address.
    pub(crate) ipv4: bool,
    /// Octets of the query.
    pub(crate) request_octets: usize,
    /// Octets of the reply.
    pub(crate) response_octets: usize,
    /// From reception to the reply.
    pub(crate) duration: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            responses: Family::default(),
            request_duration: Family::new_with_constructor(Buckets::Seconds),
            request_size: Family::new_with_constructor(Buckets::Octets),
            response_size: Family::new_with_constructor(Buckets::Octets),
            upstream_duration: Family::new_with_constructor(Buckets::Seconds),
            forward_rejects: Counter::default(),
            upstream_failures: Family::default(),
            panics: Counter::default(),
            receive_errors: Counter::default(),
            send_errors: Counter::default(),
        }
    }
}

impl Metrics {
    /// Makes the metrics visible in `registry`, under names without a further prefix.
    pub fn register(&self, registry: &mut Registry) {
        self.register_exchanges(registry);
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

    fn register_exchanges(&self, registry: &mut Registry) {
        registry.register("coredns_dns_requests", "Queries received", self.requests.clone());
        registry.register("coredns_dns_responses", "Replies sent", self.responses.clone());
        registry.register(
            "coredns_dns_request_duration_seconds",
            "Time from a query to its reply",
            self.request_duration.clone(),
        );
        registry.register(
            "coredns_dns_request_size_bytes",
            "Size of queries",
            self.request_size.clone(),
        );
        registry.register(
            "coredns_dns_response_size_bytes",
            "Size of replies",
            self.response_size.clone(),
        );
    }

    /// Records a query and its reply.
    pub(crate) fn exchanged(&self, entrance: &Entrance, exchange: &Exchange) {
        let Exchange { replied, ipv4, .. } = exchange;
        let server = &entrance.server;
        let (zone, plugin) = match replied.source {
            Source::Zone => (".", "kubernetes"),
            Source::Upstream => (".", "forward"),
            Source::Protocol => ("dropped", ""),
        };
        let (view, proto) = ("", entrance.proto());
        let request = RequestLabels {
            server: server.clone(),
            zone,
            view,
            proto,
            family: if *ipv4 { "1" } else { "2" },
            r#type: replied.qtype.map_or("other", type_label),
        };
        self.requests.get_or_create(&request).inc();
        let rcode = rcode_label(replied.rcode);
        let response = ResponseLabels { server: server.clone(), zone, view, rcode, plugin };
        self.responses.get_or_create(&response).inc();
        let duration = ServerLabels { server: server.clone(), zone, view };
        self.request_duration.get_or_create(&duration).observe(exchange.duration.as_secs_f64());
        let size = TransportLabels { server: server.clone(), zone, view, proto };
        self.request_size.get_or_create(&size).observe(octets(exchange.request_octets));
        self.response_size.get_or_create(&size).observe(octets(exchange.response_octets));
    }

    /// Records a reply of an upstream.
    pub(crate) fn upstream_replied(&self, to: SocketAddr, rcode: ResponseCode, took: Duration) {
        let labels = UpstreamLabels {
            proxy_name: "forward",
            to: ServerName(Arc::from(to.to_string())),
            rcode: rcode_label(rcode),
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

    /// Records a failure to receive.
    pub(crate) fn receive_failed(&self) {
        self.receive_errors.inc();
    }

    /// Records a failure to send.
    pub(crate) fn send_failed(&self) {
        self.send_errors.inc();
    }
}

/// A size as a sample; sizes of messages are exact in it.
fn octets(size: usize) -> f64 {
    f64::from(u32::try_from(size).unwrap_or(u32::MAX))
}

/// The label of a type: those that CoreDNS tells apart, or `other`.
#[expect(clippy::wildcard_enum_match_arm, reason = "all the rest is `other`")]
fn type_label(qtype: RecordType) -> &'static str {
    match qtype {
        RecordType::A => "A",
        RecordType::AAAA => "AAAA",
        RecordType::MX => "MX",
        RecordType::SOA => "SOA",
        RecordType::CNAME => "CNAME",
        RecordType::PTR => "PTR",
        RecordType::TXT => "TXT",
        RecordType::NS => "NS",
        RecordType::SRV => "SRV",
        RecordType::HTTPS => "HTTPS",
        RecordType::SVCB => "SVCB",
        RecordType::IXFR => "IXFR",
        RecordType::AXFR => "AXFR",
        RecordType::ANY => "ANY",
        RecordType::DS => "DS",
        RecordType::DNSKEY => "DNSKEY",
        RecordType::RRSIG => "RRSIG",
        RecordType::NSEC => "NSEC",
        RecordType::NSEC3 => "NSEC3",
        _ => "other",
    }
}

/// The label of a response code: its usual name, or `other`, so that no peer can make labels up.
#[expect(clippy::wildcard_enum_match_arm, reason = "all the rest is `other`")]
fn rcode_label(rcode: ResponseCode) -> &'static str {
    match rcode {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BADVERS => "BADVERS",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADCOOKIE => "BADCOOKIE",
        _ => "other",
    }
}
