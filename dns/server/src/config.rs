//! What a server is told when it is made.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread::available_parallelism;
use std::time::Duration;

use crate::forward::config::{ForwardConfig, Target};
use crate::tls::TlsListen;

/// Where to listen, whom to forward to, and how much of everything.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Addresses to answer at, each by UDP and TCP.
    ///
    /// Port 0 picks one that is free for both. IPv6 addresses take IPv6 only, also the unspecified.
    pub listen: Vec<SocketAddr>,
    /// Addresses to answer at by TLS (RFC 7858), each with what clients are shown there.
    pub tls: Vec<(SocketAddr, TlsListen)>,
    /// Addresses that queries reach this server at beside those, never to be forwarded to.
    pub own: Vec<SocketAddr>,
    /// Who is asked for names outside the zones.
    pub forward: Vec<ForwardConfig>,
    /// UDP sockets of each address; the kernel spreads the clients over them.
    pub workers: NonZeroUsize,
    /// Largest datagram sent, in octets.
    pub udp_payload_octets: u16,
    /// Limits of streams.
    pub streams: StreamLimits,
    /// Limits of each client.
    pub clients: ClientLimits,
}

impl ServerConfig {
    /// The usual limits, with one worker for each processor; all names outside the zones are asked
    /// of `upstreams`.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, upstreams: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            tls: Vec::new(),
            own: Vec::new(),
            forward: vec![ForwardConfig::new(upstreams.into_iter().map(Target::from).collect())],
            workers: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            udp_payload_octets: DEFAULT_UDP_PAYLOAD_OCTETS,
            streams: StreamLimits::default(),
            clients: ClientLimits::default(),
        }
    }
}

/// Largest datagram sent unless told otherwise.
///
/// 1232 octets pass every IPv6 path without fragments (DNS Flag Day 2020).
const DEFAULT_UDP_PAYLOAD_OCTETS: u16 = 1232;

/// Limits of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at the same time, of all clients of one address.
    pub connections: usize,
    /// Of them by one client; further ones are closed at once.
    pub connections_of_client: usize,
    /// Queries of one connection that wait for an upstream at the same time.
    pub in_flight: usize,
    /// How long a connection may go without a whole query.
    pub idle: Duration,
    /// How long a client may take to accept a reply.
    pub write: Duration,
    /// Octets of a query; a client that announces more is let go.
    pub query_octets: usize,
}

impl Default for StreamLimits {
    /// 1024, 64 of one client, 100, 10 s, 5 s and 4096 octets.
    ///
    /// The times are those of CoreDNS; 64 are more than one pod has resolvers at work, and few enough
    /// that one pod leaves room for others; no query is as long as 4 KiB, which datagrams are also
    /// held to.
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_of_client: 64,
            in_flight: 100,
            idle: Duration::from_secs(10),
            write: Duration::from_secs(5),
            query_octets: 4096,
        }
    }
}

/// Limits of each client address, by all transports together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Queries that are answered in the long run; without a number all are.
    ///
    /// Further ones get no reply: an error would be no smaller than an answer, and some stub
    /// resolvers take errors for the end of the matter.
    pub queries_per_second: Option<NonZeroU32>,
    /// Queries that are answered at once after a pause.
    pub burst: NonZeroU32,
    /// Leading bits of an IPv6 address that tell clients apart.
    pub ipv6_prefix: u8,
}

impl Default for ClientLimits {
    /// 10,000 per second, as many at once, and whole addresses.
    ///
    /// Far beyond what a pod asks, a fraction of what a processor answers. The pods of a node share
    /// a prefix, and so whole addresses tell them apart.
    fn default() -> Self {
        const GENEROUS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
        Self { queries_per_second: Some(GENEROUS), burst: GENEROUS, ipv6_prefix: 128 }
    }
}
