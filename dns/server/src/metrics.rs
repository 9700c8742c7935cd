//! Counts what the server does, under the names of CoreDNS where the meaning is the same.
//!
//! Existing dashboards read these. The label `zone` is the zone of the server block, or `dropped` for
//! what is for none; `view` is always empty, for there are no views; `plugin` tells answers of the
//! zone (`kubernetes`) from those of upstreams (`forward`).

mod exchanges;
mod exposition;
mod labels;
mod plugins;
mod stages;

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use hickory_proto::rr::Name;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

pub(crate) use self::exchanges::{Exchange, Recorder, ZoneLabel};
use self::exposition::Exchanges;
pub(crate) use self::labels::{LabelText, rcode_label, rcode_place};
pub(crate) use self::plugins::{AtWork, Enabled, Plugins};
pub(crate) use self::stages::StageMetrics;
use crate::forward::metrics::ForwardMetrics;
use crate::respond::Transport;

/// All metrics of a server; clones share their values.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    exchanges: Exchanges,
    forward: ForwardMetrics,
    plugins: Plugins,
    stages: StageMetrics,
    panics: Counter,
    clients_limited: Counter,
    strangers: Counter,
    receive_errors: Counter,
    send_errors: Counter,
}

/// The address `server` as the label of that name has it.
pub(crate) fn server_label(server: SocketAddr, by_tls: bool) -> String {
    let scheme = if by_tls { "tls" } else { "dns" };
    format!("{scheme}://{server}")
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

    /// Makes the entrance for TLS at `address`.
    pub(crate) fn by_tls(metrics: &Metrics, address: SocketAddr) -> Self {
        let (server, transport) = (server_label(address, true), Transport::Tcp);
        let recorder = metrics.exchanges.recorder(server, transport);
        Self { transport, recorder: Mutex::new(recorder) }
    }

    /// Records a query and its reply.
    pub(crate) fn record(&self, exchange: &Exchange) {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner).record(exchange);
    }
}

impl Metrics {
    /// Makes the metrics visible in `registry`, under names without a further prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.exchanges.clone()));
        self.forward.register(registry);
        registry.register_collector(Box::new(self.plugins.clone()));
        self.stages.register(registry);
        registry.register("coredns_panics", "Panics while answering", self.panics.clone());
        registry.register(
            "podway_dns_client_limited",
            "Queries and connections dropped because their client has too many",
            self.clients_limited.clone(),
        );
        registry.register(
            "podway_dns_strangers",
            "Queries and connections dropped because their client is in no network that is served",
            self.strangers.clone(),
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
        self.exchanges.recorder(server_label(address, false), transport)
    }

    /// The zone `name` as counters know it.
    pub(crate) fn zone(&self, name: &Name) -> ZoneLabel {
        self.exchanges.zone(&name.to_lowercase().to_ascii())
    }

    /// What counts what plugins do.
    pub(crate) fn stages(&self) -> &StageMetrics {
        &self.stages
    }

    /// What shows plugins.
    pub(crate) fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// What counts forwarding.
    pub(crate) fn forward(&self) -> &ForwardMetrics {
        &self.forward
    }

    /// Records a panic that was caught.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Records a query or connection that was dropped because its client has too many.
    pub(crate) fn client_limited(&self) {
        self.clients_limited.inc();
    }

    /// Records a query or connection of a client that is in no network that is served.
    pub(crate) fn stranger_dropped(&self) {
        self.strangers.inc();
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
