//! Serves one UDP socket.
//!
//! The socket's own task answers what the zone knows without leaving the loop, a batch at a time;
//! what needs an upstream runs as a task beside it. Answering from the zone allocates nothing: the
//! room for queries and replies is used again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::endpoint::Endpoint;
use crate::handler::{Arrival, Handled, Handler, Later};
use crate::metrics::{Entrance, Exchange, Recorder, ZoneLabel};
use crate::mmsg::{BATCH, Datagram, Path, Slot};
use crate::respond::{Replied, Transport};
use crate::server::Stop;

/// Room for a query. Longer ones are cut, and then malformed.
const DATAGRAM_OCTETS: usize = 4096;

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
    let mut worker = Worker::new(Endpoint::new(socket)?, handler)?;
    // Awaited once and for all: who begins to wait and gives up again has to be written down and
    // crossed out each time.
    let ordered = stop.ordered();
    tokio::pin!(ordered);
    loop {
        tokio::select! {
            biased;
            () = &mut ordered => break,
            Some(_) = worker.later.join_next() => {}
            ready = worker.endpoint.readable() => {
                ready?;
                worker.take_batch().await;
            }
        }
    }
    worker.drain().await;
    Ok(())
}

/// The state of the loop over one socket.
struct Worker {
    endpoint: Arc<Endpoint>,
    handler: Arc<Handler>,
    /// Where what is answered at once is counted.
    recorder: Recorder,
    /// Where what is answered later is counted.
    entrance: Arc<Entrance>,
    /// Replies that need an upstream.
    later: JoinSet<()>,
    queries: Vec<Slot>,
    replies: Vec<ReplyRoom>,
}

/// Room for a reply, and what it is where there is one.
#[derive(Debug, Default)]
struct ReplyRoom {
    octets: Vec<u8>,
    reply: Option<(Replied, ZoneLabel, Path)>,
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
    fn new(endpoint: Endpoint, handler: Arc<Handler>) -> io::Result<Self> {
        let address = endpoint.address()?;
        Ok(Self {
            recorder: handler.metrics().recorder(address, Transport::Udp),
            entrance: Arc::new(Entrance::new(handler.metrics(), address, Transport::Udp)),
            endpoint: Arc::new(endpoint),
            handler,
            later: JoinSet::new(),
            queries: (0..BATCH).map(|_| Slot::new(DATAGRAM_OCTETS)).collect(),
            replies: (0..BATCH).map(|_| ReplyRoom::default()).collect(),
        })
    }

    /// Answers what is waiting in the socket, up to one batch.
    async fn take_batch(&mut self) -> Queue {
        match self.endpoint.receive(&mut self.queries) {
            Ok(received) => {
                self.answer(received);
                self.send().await;
                if received < BATCH { Queue::Empty } else { Queue::PerhapsMore }
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.handler.metrics().receive_failed();
                    tracing::debug!(%error, "cannot receive");
                }
                Queue::Empty
            }
        }
    }

    /// Answers the first `count` datagrams, now or later.
    fn answer(&mut self, count: usize) {
        let received = Instant::now().into_std();
        let site = self.handler.site();
        for (query, room) in self.queries[..count].iter().zip(&mut self.replies) {
            let Some((message, path)) = query.datagram() else { continue };
            // There is nobody at these to receive a reply.
            if path.client.port() == 0 || path.client.ip().is_unspecified() {
                continue;
            }
            let arrival =
                Arrival { message, client: path.client, transport: Transport::Udp, received };
            match self.handler.handle(&site, arrival, &mut room.octets) {
                Handled::Silence => {}
                Handled::Reply(replied, zone) => room.reply = Some((replied, zone, path)),
                Handled::Later(later) => {
                    self.later.spawn(finish(
                        Arc::clone(&self.handler),
                        Arc::clone(&self.endpoint),
                        Arc::clone(&self.entrance),
                        (*later, path),
                    ));
                }
            }
        }
        drop(site);
        self.record(count, received.elapsed());
    }

    /// Records the replies to the first `count` datagrams, which all took so long.
    fn record(&mut self, count: usize, duration: Duration) {
        for (query, room) in self.queries[..count].iter().zip(&self.replies) {
            if let (Some((message, _)), Some((replied, zone, path))) =
                (query.datagram(), room.reply)
            {
                self.recorder.record(&Exchange {
                    replied,
                    zone,
                    client: path.client.ip(),
                    request_octets: message.len(),
                    response_octets: room.octets.len(),
                    duration,
                });
            }
        }
    }

    /// Sends the replies of the batch.
    async fn send(&mut self) {
        let replies: ArrayVec<Datagram<'_>, BATCH> = self
            .replies
            .iter_mut()
            .filter_map(|room| {
                let (.., path) = room.reply.take()?;
                Some(Datagram { octets: &room.octets, path })
            })
            .collect();
        send(&self.handler, &self.endpoint, &replies).await;
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

/// Makes the reply to a query that needs an upstream.
async fn finish(
    handler: Arc<Handler>,
    endpoint: Arc<Endpoint>,
    entrance: Arc<Entrance>,
    (later, path): (Later, Path),
) {
    let mut octets = Vec::new();
    handler.finish(later, &entrance, &mut octets).await;
    if octets.is_empty() {
        return;
    }
    send(&handler, &endpoint, &[Datagram { octets: &octets, path }]).await;
}

/// Sends replies; one that cannot be sent is counted, and the client asks again.
async fn send(handler: &Handler, endpoint: &Endpoint, replies: &[Datagram<'_>]) {
    let failed = |datagram: &Datagram<'_>, error| {
        handler.metrics().send_failed();
        tracing::debug!(client = %datagram.path.client, %error, "cannot reply");
    };
    endpoint.send(replies, failed).await;
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
