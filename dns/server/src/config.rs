//! What a server is told when it is made.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

/// Where to listen, whom to forward to, and how much of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses to answer at, each by UDP and TCP.
    ///
    /// Port 0 picks one that is free for both. IPv6 addresses take IPv6 only, also the unspecified.
    pub listen: Vec<SocketAddr>,
    /// Servers for names outside the zones, the most wanted first.
    pub upstreams: Vec<SocketAddr>,
    /// UDP sockets of each address; the kernel spreads the clients over them.
    pub workers: NonZeroUsize,
    /// Largest datagram sent, in octets.
    pub udp_payload_octets: u16,
    /// Limits of forwarding.
    pub forward: ForwardLimits,
    /// Limits of streams.
    pub streams: StreamLimits,
}

impl ServerConfig {
    /// The usual limits, with one worker for each processor.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, upstreams: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            upstreams,
            workers: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            udp_payload_octets: DEFAULT_UDP_PAYLOAD_OCTETS,
            forward: ForwardLimits::default(),
            streams: StreamLimits::default(),
        }
    }
}

/// Largest datagram sent unless told otherwise.
///
/// 1232 octets pass every IPv6 path without fragments (DNS Flag Day 2020).
const DEFAULT_UDP_PAYLOAD_OCTETS: u16 = 1232;

/// Limits of forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardLimits {
    /// How long one upstream is waited for before the next one is asked beside it.
    pub patience: Duration,
    /// How long one try lasts.
    pub per_try: Duration,
    /// How long a client is kept waiting for all of them.
    pub total: Duration,
    /// Queries forwarded at the same time; further ones get SERVFAIL at once.
    pub in_flight: usize,
}

impl Default for ForwardLimits {
    /// 300 ms, 2 s, 5 s and 1000.
    ///
    /// Patience is several times the round trip to a resolver; the others are those of CoreDNS's
    /// `forward`, and 5 s is what a stub resolver waits.
    fn default() -> Self {
        Self {
            patience: Duration::from_millis(300),
            per_try: Duration::from_secs(2),
            total: Duration::from_secs(5),
            in_flight: 1000,
        }
    }
}

/// Limits of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at the same time, of all clients of one address.
    pub connections: usize,
    /// Queries of one connection that wait for an upstream at the same time.
    pub in_flight: usize,
    /// How long a connection may go without a whole query.
    pub idle: Duration,
    /// How long a client may take to accept a reply.
    pub write: Duration,
}

impl Default for StreamLimits {
    /// 256, 100, 10 s and 5 s: the times are those of CoreDNS.
    fn default() -> Self {
        Self {
            connections: 256,
            in_flight: 100,
            idle: Duration::from_secs(10),
            write: Duration::from_secs(5),
        }
    }
}
