//! A server from its sockets to its end.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use podway_dns_zone::ZoneIndex;
use thiserror::Error as ThisError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{ServerConfig, StreamLimits};
use crate::forward::config::Target;
use crate::forward::{Forwarders, TlsError};
use crate::handler::Handler;
use crate::listen::{ListenError, Sockets, open};
use crate::metrics::Metrics;
use crate::reply::Policy;
use crate::resolv_conf::is_own;
use crate::{tcp, udp};

/// Why a server cannot be made.
#[derive(Debug, ThisError)]
pub enum BindError {
    /// No address to listen on was given.
    #[error("no address to listen on")]
    NoAddress,
    /// Some addresses cannot be listened on; none is.
    #[error("{0}")]
    Listen(ListenErrors),
    /// An upstream is the server itself: a query would go round for ever.
    #[error("upstream {upstream} is an address that this server listens on")]
    Loop {
        /// The upstream.
        upstream: SocketAddr,
    },
    /// An upstream is asked by TLS, and that cannot be set up.
    #[error("upstreams cannot be asked by TLS")]
    Tls(#[from] TlsError),
}

/// All addresses that cannot be listened on, with their reasons.
#[derive(Debug)]
pub struct ListenErrors(pub Vec<ListenError>);

impl fmt::Display for ListenErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            // All of them are the cause, so the reasons are told here and not by a chain.
            write!(formatter, "{separator}{error}: {}", error.source)?;
        }
        Ok(())
    }
}

impl Error for ListenErrors {}

/// A server whose sockets are open.
///
/// Queries that come before [`Server::run`] wait in the sockets.
#[derive(Debug)]
pub struct Server {
    sockets: Vec<Sockets>,
    handler: Arc<Handler>,
    streams: StreamLimits,
}

/// The order to stop, as the tasks see it.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits for the order.
    pub(crate) async fn ordered(&mut self) {
        // That nobody is left to give the order is an order too.
        drop(self.0.wait_for(|ordered| *ordered).await);
    }
}

impl Server {
    /// Opens all sockets, or none.
    ///
    /// # Errors
    /// [`BindError::Listen`] names every address that cannot be listened on.
    pub fn bind(config: ServerConfig, zone: Arc<ArcSwap<ZoneIndex>>) -> Result<Self, BindError> {
        if config.listen.is_empty() {
            return Err(BindError::NoAddress);
        }
        let mut sockets = Vec::new();
        let mut failures = Vec::new();
        for address in &config.listen {
            match open(*address, config.workers.get()) {
                Ok(opened) => sockets.push(opened),
                Err(error) => failures.push(error),
            }
        }
        if !failures.is_empty() {
            return Err(BindError::Listen(ListenErrors(failures)));
        }
        let listening = sockets.iter().map(|sockets| sockets.address);
        let own: Vec<_> = listening.chain(config.own).collect();
        for target in config.forward.iter().flat_map(|forward| &forward.to) {
            if let Target::Upstream(upstream) = target
                && is_own(upstream.address, &own)
            {
                return Err(BindError::Loop { upstream: upstream.address });
            }
        }
        let metrics = Metrics::default();
        let forwarders = Arc::new(Forwarders::new(config.forward, &own, metrics.forward())?);
        let policy = Policy {
            udp_payload_octets: config.udp_payload_octets,
            recursion: !forwarders.is_empty(),
        };
        let handler = Arc::new(Handler::new(zone, policy, forwarders, config.clients, metrics));
        Ok(Self { sockets, handler, streams: config.streams })
    }

    /// The addresses listened on, with the ports that were chosen where none was asked for.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|sockets| sockets.address).collect()
    }

    /// What the server counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        self.handler.metrics()
    }

    /// Answers until `shutdown` is ready, then finishes what is under way, within a second.
    ///
    /// # Errors
    /// A socket could not be used; the others have been closed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        let (order, ordered) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for Sockets { udp, tcp, .. } in self.sockets {
            for socket in udp {
                let handler = Arc::clone(&self.handler);
                tasks.spawn(udp::serve(socket, handler, Stop(ordered.clone())));
            }
            let handler = Arc::clone(&self.handler);
            tasks.spawn(tcp::serve(tcp, handler, self.streams, Stop(ordered.clone())));
        }
        let background = tokio::spawn(self.handler.forwarders().serve(Stop(ordered.clone())));
        tokio::pin!(shutdown);
        let mut outcome = tokio::select! {
            () = &mut shutdown => Ok(()),
            Some(ended) = tasks.join_next() => flatten(ended),
        };
        order.send_replace(true);
        while let Some(ended) = tasks.join_next().await {
            outcome = outcome.and(flatten(ended));
        }
        outcome.and(background.await.map_err(io::Error::other))
    }
}

/// How a task ended.
fn flatten(ended: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}
