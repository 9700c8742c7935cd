//! A server from its sockets to its end, and what it answers meanwhile.
//!
//! What is answered can be replaced while it runs. An address that stays keeps its sockets: what
//! waits in them is answered as the new configuration says, and nothing is lost.

mod listener;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use podway_dns_zone::ZoneIndex;
use thiserror::Error as ThisError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use self::listener::{Listener, Point, Serving};
use crate::blueprint::Blueprint;
use crate::clients::Clients;
use crate::config::{ClientLimits, ServerConfig};
use crate::control::{Control, Further, Order};
use crate::forward::config::Target;
use crate::forward::{Fleet, TlsError, longest_first};
use crate::listen::{ListenError, Presence, Sockets, open, open_stream};
use crate::metrics::Metrics;
use crate::reply::Policy;
use crate::resolv_conf::is_own;
use crate::site::{Block, Site};
use crate::tcp::Cover;
use crate::tls::Certificates;

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
    /// Clients are to be served by TLS, and that cannot be set up.
    #[error("clients cannot be served by TLS")]
    ServeTls(#[source] TlsError),
    /// An upstream is asked by TLS, and that cannot be set up.
    #[error("upstreams cannot be asked by TLS")]
    Tls(#[from] TlsError),
    /// The server has ended.
    #[error("the server has ended")]
    Ended,
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
    listeners: Vec<Listener>,
    shared: Shared,
    orders: mpsc::Receiver<Order>,
    control: Control,
}

/// What all listeners have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) clients: Arc<Clients>,
    pub(crate) metrics: Metrics,
}

/// The order to stop, as the tasks see it.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The order that `sender` gives.
    pub(crate) fn of(sender: &watch::Sender<bool>) -> Self {
        Self(sender.subscribe())
    }

    /// Waits for the order.
    pub(crate) async fn ordered(&mut self) {
        // That nobody is left to give the order is an order too.
        drop(self.0.wait_for(|ordered| *ordered).await);
    }
}

impl Server {
    /// Opens all sockets, or none, and answers the same at each of them.
    ///
    /// # Errors
    /// [`BindError::Listen`] names every address that cannot be listened on.
    pub fn bind(config: ServerConfig, zone: Arc<ArcSwap<ZoneIndex>>) -> Result<Self, BindError> {
        let points = points(&config);
        if points.is_empty() {
            return Err(BindError::NoAddress);
        }
        let sockets = open_all(&points)?;
        let listening = sockets.iter().map(|(sockets, _)| sockets.address);
        let own: Vec<_> = listening.chain(config.own).collect();
        for target in config.forward.iter().flat_map(|forward| &forward.to) {
            if let Target::Upstream(upstream) = target
                && is_own(upstream.address, &own)
            {
                return Err(BindError::Loop { upstream: upstream.address });
            }
        }
        let metrics = Metrics::default();
        let mut forward = config.forward;
        longest_first(&mut forward);
        let fleet = Fleet::new(forward, own, metrics.forward(), &[])?;
        let policy = Policy {
            udp_payload_octets: config.udp_payload_octets,
            recursion: !fleet.forwarders().is_empty(),
        };
        let block = Arc::new(Block::usual(zone, policy, fleet));
        let root = hickory_proto::rr::Name::root();
        let site = Arc::new(Site::new(vec![(vec![root], block)], config.streams, &metrics));
        let shared = Shared::new(config.clients, metrics);
        let listeners = sockets
            .into_iter()
            .zip(points)
            .map(|(sockets, point)| Listener::new(point, sockets, Arc::clone(&site), &shared));
        Ok(Self::with(listeners.collect(), shared))
    }

    /// Opens all sockets of `blueprint`, or none.
    ///
    /// # Errors
    /// [`BindError::Listen`] names every address that cannot be listened on.
    pub fn bind_blueprint(
        blueprint: Blueprint,
        clients: ClientLimits,
        metrics: Metrics,
    ) -> Result<Self, BindError> {
        let shared = Shared::new(clients, metrics);
        let mut listeners = Vec::new();
        listener::replace(&mut listeners, blueprint, &shared)?;
        Ok(Self::with(listeners, shared))
    }

    fn with(listeners: Vec<Listener>, shared: Shared) -> Self {
        let (sender, orders) = mpsc::channel(1);
        let control = Control::new(sender, Arc::clone(&shared.clients));
        Self { listeners, shared, orders, control }
    }

    /// What replaces the blueprint while the server runs.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The addresses listened on, with the ports that were chosen where none was asked for.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let plain = self.listeners.iter().filter(|listener| !listener.is_by_tls());
        plain.map(Listener::address).collect()
    }

    /// The addresses listened on by TLS.
    #[must_use]
    pub fn tls_addrs(&self) -> Vec<SocketAddr> {
        let by_tls = self.listeners.iter().filter(|listener| listener.is_by_tls());
        by_tls.map(Listener::address).collect()
    }

    /// What the server counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Answers until `shutdown` is ready, then finishes what is under way, within a second.
    ///
    /// # Errors
    /// A socket could not be used; the others have been closed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        let Self { mut listeners, shared, mut orders, control: _control } = self;
        let mut tasks = JoinSet::new();
        let mut further = Further::default();
        listeners.iter_mut().for_each(|listener| listener.start(&mut tasks));
        tokio::pin!(shutdown);
        let mut outcome = loop {
            tokio::select! {
                () = &mut shutdown => break Ok(()),
                Some(ended) = tasks.join_next() => {
                    let Serving { listener, outcome } = flatten(ended);
                    // A listener that was let go ends without a word.
                    let is_ours = listeners.iter().any(|own| Some(own.number()) == listener);
                    if outcome.is_err() || is_ours {
                        break outcome;
                    }
                }
                Some(order) = orders.recv() => match order {
                    Order::Replace { blueprint, outcome } => {
                        let replaced = listener::replace(&mut listeners, *blueprint, &shared);
                        listeners.iter_mut().for_each(|listener| listener.start(&mut tasks));
                        further.follow(&listeners);
                        // Whoever gave the order may have gone.
                        drop(outcome.send(replaced));
                    }
                    Order::Listen { point, outcome } => {
                        drop(outcome.send(further.open(point, &listeners, &shared)));
                    }
                },
            }
        };
        listeners.iter().for_each(Listener::stop);
        while let Some(ended) = tasks.join_next().await {
            outcome = outcome.and(flatten(ended).outcome);
        }
        outcome
    }
}

impl Shared {
    fn new(clients: ClientLimits, metrics: Metrics) -> Self {
        Self { clients: Arc::new(Clients::new(clients, Instant::now())), metrics }
    }
}

/// Where `config` says to listen.
fn points(config: &ServerConfig) -> Vec<Point> {
    let workers = config.workers.get();
    let plain = config.listen.iter().map(|address| Point { address: *address, workers, tls: None });
    let by_tls = config.tls.iter().map(|(address, listen)| Point {
        address: *address,
        workers,
        tls: Some(listen.clone()),
    });
    plain.chain(by_tls).collect()
}

/// Opens the sockets of all `points`, or none.
pub(crate) fn open_all(points: &[Point]) -> Result<Vec<(Sockets, Cover)>, BindError> {
    let mut sockets = Vec::new();
    let mut failures = Vec::new();
    for Point { address, workers, tls } in points {
        let opened = match tls {
            None => {
                open(*address, *workers, Presence::Required).map(|opened| (opened, Cover::None))
            }
            Some(listen) => {
                let certificates = Certificates::load(listen.clone());
                let cover = Cover::Tls(Arc::new(certificates.map_err(BindError::ServeTls)?));
                open_stream(*address).map(|opened| (opened, cover))
            }
        };
        match opened {
            Ok(opened) => sockets.push(opened),
            Err(error) => failures.push(error),
        }
    }
    if failures.is_empty() { Ok(sockets) } else { Err(BindError::Listen(ListenErrors(failures))) }
}

/// How a task ended.
fn flatten(ended: Result<Serving, tokio::task::JoinError>) -> Serving {
    ended.unwrap_or_else(|error| Serving { listener: None, outcome: Err(io::Error::other(error)) })
}
