//! Serves one UDP socket.
//!
//! The socket's own task answers what the zone knows without leaving the loop; what needs an
//! upstream runs as a task beside it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::endpoint::{ControlBuffer, Endpoint, Path};
use crate::handler::{Arrival, Handled, Handler};
use crate::metrics::Entrance;
use crate::respond::Transport;
use crate::server::Stop;

/// Room for a query. Longer ones are cut, and then malformed.
const DATAGRAM_OCTETS: usize = 4096;

/// Datagrams taken before other tasks get their turn.
const BATCH: usize = 64;

/// How long replies of upstreams are waited for after the order to stop.
const DRAIN: Duration = Duration::from_millis(800);

/// Answers at `socket` until `stop`, then finishes what is under way.
///
/// # Errors
/// The socket cannot be used at all.
pub(crate) async fn serve(
    socket: std::net::UdpSocket,
    handler: Arc<Handler>,
    mut stop: Stop,
) -> io::Result<()> {
    let endpoint = Arc::new(Endpoint::new(socket)?);
    let mut worker = Worker {
        entrance: Entrance::new(endpoint.address()?, Transport::Udp),
        endpoint,
        handler,
        control: ControlBuffer::new(),
        later: JoinSet::new(),
        query: vec![0; DATAGRAM_OCTETS],
        reply: Vec::with_capacity(DATAGRAM_OCTETS),
    };
    loop {
        tokio::select! {
            () = stop.ordered() => break,
            ready = worker.endpoint.readable() => {
                ready?;
                worker.take_batch().await;
            }
            Some(_) = worker.later.join_next() => {}
        }
    }
    worker.drain().await;
    Ok(())
}

/// The state of the loop over one socket.
struct Worker {
    endpoint: Arc<Endpoint>,
    entrance: Entrance,
    handler: Arc<Handler>,
    /// Replies that need an upstream.
    later: JoinSet<()>,
    control: ControlBuffer,
    query: Vec<u8>,
    reply: Vec<u8>,
}

/// Whether more datagrams may be waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// The last one was taken.
    Empty,
    /// The batch ended first.
    PerhapsMore,
}

impl Worker {
    /// Answers what is waiting in the socket, up to one batch.
    async fn take_batch(&mut self) -> Queue {
        for _ in 0..BATCH {
            match self.endpoint.receive(&mut self.query, &mut self.control) {
                Ok((octets, path)) => self.answer(octets, path).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Queue::Empty,
                Err(error) => {
                    self.handler.metrics().receive_failed();
                    tracing::debug!(%error, "cannot receive");
                    return Queue::Empty;
                }
            }
        }
        Queue::PerhapsMore
    }

    /// Answers one datagram, now or later.
    async fn answer(&mut self, octets: usize, path: Path) {
        // There is nobody at these to receive a reply.
        if path.client.port() == 0 || path.client.ip().is_unspecified() {
            return;
        }
        let arrival = Arrival {
            message: &self.query[..octets],
            client: path.client,
            entrance: &self.entrance,
        };
        match self.handler.handle(arrival, &mut self.reply) {
            Handled::Silence => {}
            Handled::Reply => reply(&self.handler, &self.endpoint, &self.reply, path).await,
            Handled::Later(later) => {
                let (handler, endpoint) = (Arc::clone(&self.handler), Arc::clone(&self.endpoint));
                self.later.spawn(async move {
                    let mut message = Vec::new();
                    handler.finish(*later, &mut message).await;
                    reply(&handler, &endpoint, &message, path).await;
                });
            }
        }
    }

    /// Answers what has come in already and waits for what upstreams owe, up to a limit.
    ///
    /// Meanwhile the socket stays open, and what comes in is answered too: nothing is lost to the
    /// stop that could be answered.
    async fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN;
        while self.take_batch().await == Queue::PerhapsMore && Instant::now() < deadline {}
        while !self.later.is_empty() {
            tokio::select! {
                () = sleep_until(deadline) => return,
                ready = self.endpoint.readable() => {
                    if ready.is_err() {
                        return;
                    }
                    self.take_batch().await;
                }
                Some(_) = self.later.join_next() => {}
            }
        }
    }
}

/// Sends a reply; one that cannot be sent is counted, and the client asks again.
async fn reply(handler: &Handler, endpoint: &Endpoint, message: &[u8], path: Path) {
    if let Err(error) = endpoint.send(message, path).await {
        handler.metrics().send_failed();
        tracing::debug!(client = %path.client, %error, "cannot reply");
    }
}
