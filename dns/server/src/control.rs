//! What can be changed of a server while it runs: what it answers, where, and whom.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::thread::available_parallelism;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::allowed::Allowed;
use crate::blueprint::Blueprint;
use crate::clients::Clients;
use crate::handler::Handler;
use crate::listen::{Presence, open};
use crate::server::{BindError, ListenErrors, Listener, Point, Serving, Shared};
use crate::site::Site;
use crate::tcp::Cover;

/// Changes a server while it runs.
#[derive(Debug, Clone)]
pub struct Control {
    orders: mpsc::Sender<Order>,
    clients: Arc<Clients>,
}

/// One change.
#[derive(Debug)]
pub(crate) enum Order {
    /// Something else is answered.
    Replace { blueprint: Box<Blueprint>, outcome: oneshot::Sender<Result<(), BindError>> },
    /// It is answered at one more address.
    Listen { point: Point, outcome: oneshot::Sender<Result<Listening, BindError>> },
}

/// A further address that is answered at, until this is dropped.
#[derive(Debug)]
pub struct Listening {
    listener: Listener,
    tasks: JoinSet<Serving>,
}

/// Who answers at further addresses.
#[derive(Debug, Default)]
pub(crate) struct Further(Vec<Weak<Handler>>);

impl Control {
    /// Changes the server that takes `orders` and answers `clients`.
    pub(crate) fn new(orders: mpsc::Sender<Order>, clients: Arc<Clients>) -> Self {
        Self { orders, clients }
    }

    /// Answers as `blueprint` says from now on, or goes on as before.
    ///
    /// # Errors
    /// [`BindError::Listen`] names every address that cannot be listened on; nothing has changed.
    pub async fn replace(&self, blueprint: Blueprint) -> Result<(), BindError> {
        let (outcome, done) = oneshot::channel();
        let order = Order::Replace { blueprint: Box::new(blueprint), outcome };
        self.orders.send(order).await.map_err(|_ended| BindError::Ended)?;
        done.await.map_err(|_ended| BindError::Ended)?
    }

    /// Answers at `address` too, as at the others with its port; the node need not have it yet.
    ///
    /// # Errors
    /// [`BindError::Listen`]: it cannot be listened on. [`BindError::NoAddress`]: nothing is answered
    /// at that port.
    pub async fn listen(&self, address: SocketAddr) -> Result<Listening, BindError> {
        let workers = available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let (outcome, done) = oneshot::channel();
        let point = Point { address, workers: workers.get(), tls: None };
        let order = Order::Listen { point, outcome };
        self.orders.send(order).await.map_err(|_ended| BindError::Ended)?;
        done.await.map_err(|_ended| BindError::Ended)?
    }

    /// Answers only clients that are in `allowed` from now on, at all addresses.
    pub fn allow(&self, allowed: Allowed) {
        self.clients.allow(allowed);
    }
}

impl Further {
    /// Opens `point`, where what `listeners` with its port answer is answered.
    pub(crate) fn open(
        &mut self,
        point: Point,
        listeners: &[Listener],
        shared: &Shared,
    ) -> Result<Listening, BindError> {
        let Point { address, workers, .. } = point;
        let site = site_at(listeners, address.port()).ok_or(BindError::NoAddress)?;
        let sockets = open(address, workers, Presence::Awaited)
            .map_err(|error| BindError::Listen(ListenErrors(vec![error])))?;
        let mut listener = Listener::new(point, (sockets, Cover::None), site, shared);
        let mut tasks = JoinSet::new();
        listener.start(&mut tasks);
        listener.handler().site().is_elsewhere_too();
        self.0.retain(|handler| handler.strong_count() > 0);
        self.0.push(Arc::downgrade(listener.handler()));
        Ok(Listening { listener, tasks })
    }

    /// Answers what `listeners` answer now.
    pub(crate) fn follow(&self, listeners: &[Listener]) {
        for handler in self.0.iter().filter_map(Weak::upgrade) {
            if let Some(site) = site_at(listeners, handler.server().port()) {
                handler.replace(site);
            }
        }
    }
}

/// What is answered at `port`.
fn site_at(listeners: &[Listener], port: u16) -> Option<Arc<Site>> {
    let mut plain = listeners.iter().filter(|listener| !listener.is_by_tls());
    let at_port = plain.find(|listener| listener.address().port() == port);
    at_port.map(|listener| Arc::clone(&listener.handler().site()))
}

impl Listening {
    /// The address, with the port that was chosen where none was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Whether a socket was given up, which happens only when it cannot be used at all.
    pub fn has_failed(&mut self) -> bool {
        self.tasks.try_join_next().is_some()
    }

    /// Finishes what is under way, within a second, and answers no more.
    ///
    /// # Errors
    /// A socket could not be used.
    pub async fn drain(mut self) -> io::Result<()> {
        self.listener.stop();
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.map_err(io::Error::other).and_then(|serving| serving.outcome);
            outcome = outcome.and(ended);
        }
        outcome
    }
}
