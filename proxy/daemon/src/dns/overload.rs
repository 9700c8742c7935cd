//! Asks the daemon's own `/health` page, as CoreDNS does: when that takes long the node is overloaded,
//! and dashboards show it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Time between two requests, as in CoreDNS.
const PERIOD: Duration = Duration::from_secs(1);

/// How long an answer may take, as in CoreDNS.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bucket limits in seconds, as in CoreDNS.
const LIMITS: [f64; 5] = [0.000_25, 0.002_5, 0.025, 0.25, 2.5];

/// The request, and how an answer to it begins.
const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// What is counted, under CoreDNS's names; clones share their values.
#[derive(Debug, Clone)]
pub(super) struct Overload {
    duration: Histogram,
    failures: Counter,
}

impl Default for Overload {
    fn default() -> Self {
        Self { duration: Histogram::new(LIMITS), failures: Counter::default() }
    }
}

impl Overload {
    /// Makes it visible in `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "coredns_health_request_duration_seconds",
            "Time that the own /health page took",
            self.duration.clone(),
        );
        registry.register(
            "coredns_health_request_failures",
            "Requests for the own /health page that failed",
            self.failures.clone(),
        );
    }

    /// Asks the page at `address` again and again; ends never.
    pub(super) async fn watch(self, address: SocketAddr) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let began = Instant::now();
            let answered = timeout(PATIENCE, answers(address)).await;
            if matches!(answered, Ok(Ok(true))) {
                self.duration.observe(began.elapsed().as_secs_f64());
            } else {
                self.failures.inc();
            }
        }
    }
}

/// Whether the page at `address` says that all is well.
async fn answers(address: SocketAddr) -> std::io::Result<bool> {
    // Every address of the machine is at loopback too.
    let everywhere = address.ip().is_unspecified();
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
    let at = if everywhere { loopback } else { address };
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(GOOD))
}
