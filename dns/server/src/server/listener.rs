//! The sockets of one address, and who answers at them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{BindError, Shared, Stop, open_all};
use crate::blueprint::Blueprint;
use crate::handler::Handler;
use crate::listen::Sockets;
use crate::site::Site;
use crate::tcp::{self, Cover};
use crate::tls::TlsListen;
use crate::udp;

/// Where and how clients come: listeners that agree in all of it are one and the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    /// The address asked for.
    pub(crate) address: SocketAddr,
    /// UDP sockets.
    pub(crate) workers: usize,
    /// What clients are shown, where they come by TLS and by nothing else.
    pub(crate) tls: Option<TlsListen>,
}

/// What is answered at one address.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Tells it from others, also those that come later.
    number: u64,
    point: Point,
    /// The address, with the port that was chosen if none was asked for.
    address: SocketAddr,
    handler: Arc<Handler>,
    /// Its sockets, until tasks have them.
    sockets: Option<Sockets>,
    /// What its streams carry.
    cover: Cover,
    stop: watch::Sender<bool>,
}

/// How a task at a listener ended.
#[derive(Debug)]
pub(crate) struct Serving {
    /// The number of the listener, where it is known.
    pub(super) listener: Option<u64>,
    pub(crate) outcome: io::Result<()>,
}

impl Listener {
    /// Answers for `site` at `sockets`, once it is started.
    pub(crate) fn new(
        point: Point,
        (sockets, cover): (Sockets, Cover),
        site: Arc<Site>,
        shared: &Shared,
    ) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let address = sockets.address;
        let Shared { clients, metrics } = shared.clone();
        let by_tls = point.tls.is_some();
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            point,
            address,
            handler: Arc::new(Handler::new(site, (address, by_tls), clients, metrics)),
            sockets: Some(sockets),
            cover,
            stop: watch::Sender::new(false),
        }
    }

    /// Its number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether clients come by TLS.
    pub(crate) fn is_by_tls(&self) -> bool {
        self.point.tls.is_some()
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to answer, if it has not.
    pub(crate) fn start(&mut self, tasks: &mut JoinSet<Serving>) {
        self.handler.site().start();
        let Some(Sockets { udp, tcp, .. }) = self.sockets.take() else { return };
        let number = self.number;
        let serving = move |outcome| Serving { listener: Some(number), outcome };
        for socket in udp {
            let serve = udp::serve(socket, Arc::clone(&self.handler), Stop::of(&self.stop));
            tasks.spawn(async move { serving(serve.await) });
        }
        let (handler, stop) = (Arc::clone(&self.handler), Stop::of(&self.stop));
        let serve = tcp::serve((tcp, self.cover.clone()), handler, stop);
        tasks.spawn(async move { serving(serve.await) });
        if let Cover::Tls(certificates) = &self.cover {
            let (certificates, stop) = (Arc::clone(certificates), Stop::of(&self.stop));
            tasks.spawn(async move {
                certificates.follow(stop).await;
                serving(Ok(()))
            });
        }
    }

    /// Who answers.
    pub(crate) fn handler(&self) -> &Arc<Handler> {
        &self.handler
    }

    /// Tells it to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Makes `listeners` those of `blueprint`: what stays keeps its sockets.
///
/// # Errors
/// [`BindError::Listen`] names every address that cannot be listened on; nothing has changed.
pub(super) fn replace(
    listeners: &mut Vec<Listener>,
    blueprint: Blueprint,
    shared: &Shared,
) -> Result<(), BindError> {
    let plan = blueprint.listeners;
    if plan.is_empty() {
        return Err(BindError::NoAddress);
    }
    let is_new = |point: &Point| !listeners.iter().any(|listener| listener.point == *point);
    let new: Vec<Point> = plan.keys().filter(|point| is_new(point)).cloned().collect();
    let opened = open_all(&new)?;
    shared.metrics.plugins().replace(blueprint.at_work);
    listeners.retain(|listener| {
        let stays = plan.contains_key(&listener.point);
        if !stays {
            listener.stop();
        }
        stays
    });
    for listener in listeners.iter() {
        if let Some(site) = plan.get(&listener.point) {
            listener.handler.replace(Arc::clone(site));
        }
    }
    for (point, sockets) in new.into_iter().zip(opened) {
        if let Some(site) = plan.get(&point) {
            listeners.push(Listener::new(point, sockets, Arc::clone(site), shared));
        }
    }
    Ok(())
}
