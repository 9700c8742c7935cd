//! Serves one TCP listener.
//!
//! Queries of one connection are answered as their answers come, not one after the other (RFC 7766
//! §6.2.1.1): a slow upstream holds up nobody else. A client that sends nothing whole for a while,
//! or takes no replies, is let go. With TLS (RFC 7858) all is the same but for the handshake before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::StreamLimits;
use crate::frames::{Frames, framed};
use crate::handler::{Arrival, Handled, Handler};
use crate::metrics::{Entrance, Exchange};
use crate::respond::Transport;
use crate::server::Stop;
use crate::tls::Certificates;

/// How long connections are given after the order to stop.
const DRAIN: Duration = Duration::from_millis(800);

/// Pause after a connection could not be accepted, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Most reads of what arrived before the end of a connection, so that it comes to an end.
const LAST_READS: usize = 64;

/// What a stream carries.
#[derive(Debug, Clone)]
pub(crate) enum Cover {
    /// Messages.
    None,
    /// TLS, with these certificates.
    Tls(Arc<Certificates>),
}

/// Answers at `listener` until `stop`, then finishes what is under way.
///
/// # Errors
/// The listener cannot be used at all.
pub(crate) async fn serve(
    (listener, cover): (std::net::TcpListener, Cover),
    handler: Arc<Handler>,
    mut stop: Stop,
) -> io::Result<()> {
    let limits = handler.site().streams;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let entrance = Arc::new(match cover {
        Cover::None => Entrance::new(handler.metrics(), address, Transport::Tcp),
        Cover::Tls(_) => Entrance::by_tls(handler.metrics(), address),
    });
    let slots = Arc::new(Semaphore::new(limits.connections));
    let seats = Seats::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.ordered() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, client, slot)) => {
                if !handler.serves(client.ip(), Instant::now().into_std()) {
                    continue;
                }
                let limits = handler.site().streams;
                let Some(seat) = seats.take(client.ip(), limits.connections_of_client) else {
                    handler.metrics().client_limited();
                    tracing::debug!(%client, "connection closed: the client has too many");
                    continue;
                };
                let guest = Guest {
                    client,
                    entrance: Arc::clone(&entrance),
                    handler: Arc::clone(&handler),
                    limits,
                };
                let (stop, cover) = (stop.clone(), cover.clone());
                connections.spawn(async move {
                    if let Err(error) = guest.serve(stream, cover, stop).await {
                        tracing::debug!(%client, %error, "connection ended");
                    }
                    drop((slot, seat));
                });
            }
            Err(error) => {
                handler.metrics().receive_failed();
                tracing::debug!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, all_ended).await.is_err() {
        tracing::debug!("connections were cut off by the stop");
    }
    Ok(())
}

/// Accepts a connection once there is room for one.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, client) = listener.accept().await?;
    Ok((stream, client, slot))
}

/// The connections of each client.
#[derive(Debug, Clone, Default)]
struct Seats(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them; given back when dropped.
#[derive(Debug)]
struct Seat {
    seats: Seats,
    client: IpAddr,
}

impl Seats {
    /// Takes a seat for `client`, if it has fewer than `most`.
    fn take(&self, client: IpAddr, most: usize) -> Option<Seat> {
        let client = client.to_canonical();
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(&client).is_some_and(|taken| *taken >= most) {
            return None;
        }
        *taken.entry(client).or_default() += 1;
        Some(Seat { seats: self.clone(), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = taken.entry(self.client) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// A client that has connected.
struct Guest {
    client: SocketAddr,
    entrance: Arc<Entrance>,
    handler: Arc<Handler>,
    limits: StreamLimits,
}

impl Guest {
    /// Agrees with the client on how to speak, then answers.
    async fn serve(self, stream: TcpStream, cover: Cover, mut stop: Stop) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let certificates = match cover {
            Cover::None => {
                let (reader, writer) = stream.into_split();
                return Connection::new(reader, writer, self).run(stop).await;
            }
            Cover::Tls(certificates) => certificates,
        };
        let handshake = timeout(self.limits.idle, certificates.acceptor().accept(stream));
        let stream = tokio::select! {
            () = stop.ordered() => return Ok(()),
            agreed = handshake => {
                agreed.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))?
            }
        };
        let (reader, writer) = tokio::io::split(stream);
        Connection::new(reader, writer, self).run(stop).await
    }
}

/// One connection.
struct Connection<R, W> {
    reader: R,
    writer: W,
    guest: Guest,
    /// What arrived.
    frames: Frames,
    /// Replies that need an upstream.
    later: JoinSet<Vec<u8>>,
    /// When the client is let go, unless a whole query comes before.
    idle_until: Instant,
}

/// What woke a connection up.
enum Event {
    /// A whole query is in the buffer.
    Query,
    /// The client sent this many octets; 0 is the end.
    Read(usize),
    /// A reply that had to wait is there.
    Reply(Vec<u8>),
    /// The client was idle for too long or announces too much, or the server stops.
    Enough,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    fn new(reader: R, writer: W, guest: Guest) -> Self {
        let idle_until = Instant::now() + guest.limits.idle;
        let (frames, later) = (Frames::default(), JoinSet::new());
        Self { reader, writer, guest, frames, later, idle_until }
    }

    /// Answers until the client ends, is idle or the server stops; then sends what is still owed.
    async fn run(mut self, mut stop: Stop) -> io::Result<()> {
        loop {
            match self.next_event(&mut stop).await? {
                Event::Query => self.answer().await?,
                Event::Read(0) | Event::Enough => break,
                Event::Read(_) => {}
                Event::Reply(reply) => self.write(&reply).await?,
            }
        }
        // What has arrived counts as received; left unread, it would make the kernel reset the
        // connection and take replies with it that are still on their way.
        for _ in 0..LAST_READS {
            if !self.read_now().await {
                break;
            }
            if self.frames.is_ready() {
                self.answer().await?;
            }
        }
        while self.later.len() < self.guest.limits.in_flight && self.frames.is_ready() {
            self.answer().await?;
        }
        while let Some(reply) = self.later.join_next().await {
            self.write(&reply.map_err(io::Error::other)?).await?;
        }
        self.writer.shutdown().await
    }

    /// Takes what has arrived already; `false` if nothing has.
    async fn read_now(&mut self) -> bool {
        // The runtime must not make it wait for the sake of others.
        let read = unconstrained(self.reader.read_buf(self.frames.buffer()));
        tokio::select! {
            biased;
            read = read => read.is_ok_and(|octets| octets > 0),
            () = ready(()) => false,
        }
    }

    /// Waits for something to do.
    async fn next_event(&mut self, stop: &mut Stop) -> io::Result<Event> {
        let has_room = self.later.len() < self.guest.limits.in_flight;
        if has_room && self.frames.is_ready() {
            return Ok(Event::Query);
        }
        if self.frames.announced().is_some_and(|octets| octets > self.guest.limits.query_octets) {
            return Ok(Event::Enough);
        }
        tokio::select! {
            Some(reply) = self.later.join_next() => {
                Ok(Event::Reply(reply.map_err(io::Error::other)?))
            }
            read = self.reader.read_buf(self.frames.buffer()), if has_room => {
                Ok(Event::Read(read?))
            }
            () = sleep_until(self.idle_until), if self.later.is_empty() => Ok(Event::Enough),
            () = stop.ordered() => Ok(Event::Enough),
        }
    }

    /// Answers the query that is in the buffer, now or later.
    async fn answer(&mut self) -> io::Result<()> {
        self.idle_until = Instant::now() + self.guest.limits.idle;
        let Some(message) = self.frames.take() else { return Ok(()) };
        let (client, transport) = (self.guest.client, Transport::Tcp);
        let (request_octets, received) = (message.len(), Instant::now().into_std());
        let arrival = Arrival { message, client, transport, received };
        let mut reply = Vec::new();
        let handled = self.guest.handler.handle(&self.guest.handler.site(), arrival, &mut reply);
        match handled {
            Handled::Silence => Ok(()),
            Handled::Reply(replied, zone) => {
                self.guest.entrance.record(&Exchange {
                    replied,
                    zone,
                    client: client.ip(),
                    request_octets,
                    response_octets: reply.len(),
                    duration: received.elapsed(),
                });
                self.write(&reply).await
            }
            Handled::Later(later) => {
                let (handler, entrance) =
                    (Arc::clone(&self.guest.handler), Arc::clone(&self.guest.entrance));
                self.later.spawn(async move {
                    handler.finish(*later, &entrance, &mut reply).await;
                    reply
                });
                Ok(())
            }
        }
    }

    /// Sends one reply.
    async fn write(&mut self, reply: &[u8]) -> io::Result<()> {
        if reply.is_empty() {
            return Ok(());
        }
        let framed = framed(reply).ok_or(io::ErrorKind::InvalidData)?;
        let write = async {
            self.writer.write_all(&framed).await?;
            // TLS keeps what the socket does not take at once.
            self.writer.flush().await
        };
        let written = timeout(self.guest.limits.write, write).await;
        let outcome = written.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        if outcome.is_err() {
            self.guest.handler.metrics().send_failed();
        }
        outcome
    }
}
