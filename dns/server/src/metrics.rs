//! Counts what the server does, under the names of CoreDNS where the meaning is the same.
//!
//! Existing dashboards read these. As in CoreDNS's default configuration all names are served by
//! one block, the root, so the label `zone` is `.`, or `dropped` for what no zone was asked for; the
//! label `plugin` tells answers of the zone (`kubernetes`) from those of upstreams (`forward`).

mod exchanges;
mod exposition;
mod labels;
mod plugins;

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

pub(crate) use self::exchanges::{Exchange, Recorder};
use self::exposition::Exchanges;
pub(crate) use self::labels::{rcode_label, rcode_place};
pub(crate) use self::plugins::{AtWork, Enabled, Plugins};
use crate::forward::metrics::ForwardMetrics;
use crate::respond::Transport;

/// All metrics of a server; clones share their values.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    exchanges: Exchanges,
    forward: ForwardMetrics,
    plugins: Plugins,
    panics: Counter,
    searches: Counter,
    clients_limited: Counter,
    strangers: Counter,
    receive_errors: Counter,
    send_errors: Counter,
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
        let (server, transport) = (format!("tls://{address}"), Transport::Tcp);
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
        registry.register("coredns_panics", "Panics while answering", self.panics.clone());
        registry.register(
            "coredns_autopath_success",
            "Queries answered with what the rest of the client's search path finds",
            self.searches.clone(),
        );
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
        self.exchanges.recorder(format!("dns://{address}"), transport)
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

    /// Records a query that was answered by way of its client's search path.
    pub(crate) fn search_succeeded(&self) {
        self.searches.inc();
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
