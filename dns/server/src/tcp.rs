//! Serves one TCP listener.
//!
//! Queries of one connection are answered as their answers come, not one after the other (RFC 7766
//! §6.2.1.1): a slow upstream holds up nobody else. A client that sends nothing whole for a while,
//! or takes no replies, is let go.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::StreamLimits;
use crate::frames::{Frames, framed};
use crate::handler::{Arrival, Handled, Handler};
use crate::metrics::Entrance;
use crate::respond::Transport;
use crate::server::Stop;

/// How long connections are given after the order to stop.
const DRAIN: Duration = Duration::from_millis(800);

/// Pause after a connection could not be accepted, for want of file descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers at `listener` until `stop`, then finishes what is under way.
///
/// # Errors
/// The listener cannot be used at all.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    handler: Arc<Handler>,
    limits: StreamLimits,
    mut stop: Stop,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let entrance = Entrance::new(listener.local_addr()?, Transport::Tcp);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.ordered() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, client, slot)) => {
                let connection = Connection::new(stream, client, &entrance, &handler, limits);
                let stop = stop.clone();
                connections.spawn(async move {
                    if let Err(error) = connection.run(stop).await {
                        tracing::debug!(%client, %error, "connection ended");
                    }
                    drop(slot);
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

/// One connection.
struct Connection {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    client: SocketAddr,
    entrance: Entrance,
    handler: Arc<Handler>,
    limits: StreamLimits,
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
    /// The client was idle for too long, or the server stops.
    Enough,
}

impl Connection {
    fn new(
        stream: TcpStream,
        client: SocketAddr,
        entrance: &Entrance,
        handler: &Arc<Handler>,
        limits: StreamLimits,
    ) -> Self {
        let (reader, writer) = stream.into_split();
        Self {
            reader,
            writer,
            client,
            entrance: entrance.clone(),
            handler: Arc::clone(handler),
            limits,
            frames: Frames::default(),
            later: JoinSet::new(),
            idle_until: Instant::now() + limits.idle,
        }
    }

    /// Answers until the client ends, is idle or the server stops; then sends what is still owed.
    async fn run(mut self, mut stop: Stop) -> io::Result<()> {
        self.writer.as_ref().set_nodelay(true)?;
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
        while self.reader.try_read_buf(self.frames.buffer()).is_ok_and(|octets| octets > 0) {
            if self.frames.is_ready() {
                self.answer().await?;
            }
        }
        while self.later.len() < self.limits.in_flight && self.frames.is_ready() {
            self.answer().await?;
        }
        while let Some(reply) = self.later.join_next().await {
            self.write(&reply.map_err(io::Error::other)?).await?;
        }
        self.writer.shutdown().await
    }

    /// Waits for something to do.
    async fn next_event(&mut self, stop: &mut Stop) -> io::Result<Event> {
        let has_room = self.later.len() < self.limits.in_flight;
        if has_room && self.frames.is_ready() {
            return Ok(Event::Query);
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
        self.idle_until = Instant::now() + self.limits.idle;
        let Some(message) = self.frames.take() else { return Ok(()) };
        let arrival = Arrival { message, client: self.client, entrance: &self.entrance };
        let mut reply = Vec::new();
        match self.handler.handle(arrival, &mut reply) {
            Handled::Silence => Ok(()),
            Handled::Reply => self.write(&reply).await,
            Handled::Later(later) => {
                let handler = Arc::clone(&self.handler);
                self.later.spawn(async move {
                    handler.finish(*later, &mut reply).await;
                    reply
                });
                Ok(())
            }
        }
    }

    /// Sends one reply.
    async fn write(&mut self, reply: &[u8]) -> io::Result<()> {
        let framed = framed(reply).ok_or(io::ErrorKind::InvalidData)?;
        let written = timeout(self.limits.write, self.writer.write_all(&framed)).await;
        let outcome = written.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
        if outcome.is_err() {
            self.handler.metrics().send_failed();
        }
        outcome
    }
}
