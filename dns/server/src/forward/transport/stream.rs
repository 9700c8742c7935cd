//! Asks by TCP or TLS over connections that stay open and carry many queries at once.
//!
//! A connection belongs to a task, the line, which writes queries as they come and gives each reply
//! to whom it belongs (RFC 7766 §6.2.1.1, §7). A connection that the upstream closed in between
//! costs nothing: the query goes out again on a fresh one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Asking, Reply, Transport};
use crate::forward::config::StreamReuse;
use crate::forward::metrics::UpstreamMetrics;
use crate::forward::outgoing::{Judgement, Outgoing, Sent};
use crate::frames::{Frames, framed};

/// How long an upstream may owe replies without sending anything.
const SILENCE: Duration = Duration::from_secs(4);

/// How long an upstream may take to accept a query.
const WRITE: Duration = Duration::from_secs(2);

/// Opens connections to one upstream.
pub(crate) trait Connect: Debug + Send + Sync {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Opens one. Waits for ever: the caller has the clock.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Opens connections without TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain {
    pub(crate) address: SocketAddr,
    /// The address that connections come from.
    pub(crate) source: Option<IpAddr>,
}

impl Connect for Plain {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket =
            if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The connections to one upstream.
#[derive(Debug)]
pub(crate) struct Streams<C> {
    connect: C,
    reuse: StreamReuse,
    lines: Mutex<Vec<Line>>,
    /// Held while a connection is opened, so that a burst opens one and not many.
    dialing: tokio::sync::Mutex<()>,
    metrics: UpstreamMetrics,
}

/// A connection, as those see it who ask.
#[derive(Debug, Clone)]
struct Line {
    orders: mpsc::Sender<Order>,
    /// Queries that are under way.
    in_flight: Arc<AtomicUsize>,
    /// When it takes no more queries.
    until: Option<Instant>,
}

/// A query to be sent.
struct Order {
    outgoing: Outgoing,
    reply: oneshot::Sender<Reply>,
}

/// A query under way on a line; counted until dropped.
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<C: Connect> Streams<C> {
    /// Asks over connections that `connect` opens.
    pub(crate) fn new(connect: C, reuse: StreamReuse, metrics: UpstreamMetrics) -> Self {
        let (lines, dialing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { connect, reuse, lines, dialing, metrics }
    }

    /// Asks once, on a fresh connection if one that was open has gone.
    pub(crate) async fn ask_once(&self, outgoing: &Outgoing) -> io::Result<Reply> {
        loop {
            let (line, ticket, is_fresh) = self.line().await?;
            let (reply, replied) = oneshot::channel();
            let order = Order { outgoing: outgoing.clone(), reply };
            let outcome = match line.orders.send(order).await {
                Ok(()) => replied.await.ok(),
                Err(_line_ended) => None,
            };
            drop(ticket);
            self.give_up_idle();
            match outcome {
                Some(reply) => return Ok(reply),
                None if is_fresh => return Err(io::ErrorKind::ConnectionReset.into()),
                None => {}
            }
        }
    }

    /// A line with room for a query; opens one if there is none.
    async fn line(&self) -> io::Result<(Line, Ticket, bool)> {
        if let Some((line, ticket)) = self.open_line() {
            self.metrics.connection_reused();
            return Ok((line, ticket, false));
        }
        let _dialing = self.dialing.lock().await;
        // Another one may have opened it meanwhile.
        if let Some((line, ticket)) = self.open_line() {
            self.metrics.connection_reused();
            return Ok((line, ticket, false));
        }
        self.metrics.connection_opened();
        let stream = self.connect.connect().await?;
        let in_flight = Arc::<AtomicUsize>::default();
        let (orders, ordered) = mpsc::channel(self.reuse.in_flight.max(1));
        let until = self.reuse.longest.map(|longest| Instant::now() + longest);
        tokio::spawn(Conversation::new(stream, self.reuse.idle).run(ordered));
        let line = Line { orders, in_flight, until };
        let ticket = line.ticket();
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
        Ok((line, ticket, true))
    }

    /// An open line with room for a query; forgets those that have ended.
    fn open_line(&self) -> Option<(Line, Ticket)> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        lines.retain(|line| !line.orders.is_closed() && line.until.is_none_or(|end| now < end));
        let has_room = |line: &&Line| line.in_flight.load(Ordering::Relaxed) < self.reuse.in_flight;
        let line = lines.iter().find(has_room)?;
        Some((line.clone(), line.ticket()))
    }
}

impl<C: Connect> Streams<C> {
    /// Gives up unused lines beyond those that may be kept.
    fn give_up_idle(&self) {
        let Some(most) = self.reuse.most_idle else { return };
        let mut idle = 0;
        // Who takes a line counts it in while this is locked.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).retain(|line| {
            let is_idle = line.in_flight.load(Ordering::Relaxed) == 0;
            idle += usize::from(is_idle);
            !is_idle || idle <= most.get()
        });
    }
}

impl<C: Connect> Transport for Streams<C> {
    fn ask<'a>(&'a self, outgoing: &'a Outgoing) -> Asking<'a> {
        Box::pin(self.ask_once(outgoing))
    }
}

impl Line {
    /// Counts a query in.
    fn ticket(&self) -> Ticket {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(&self.in_flight))
    }
}

/// A connection, as its task sees it.
struct Conversation<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    frames: Frames,
    /// Who waits for which reply.
    owed: HashMap<u16, (Sent, oneshot::Sender<Reply>)>,
    idle: Duration,
    /// When something came last, or was first asked for.
    last_sign: Instant,
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Conversation<S> {
    fn new(stream: S, idle: Duration) -> Self {
        let (reader, writer) = split(stream);
        let (frames, owed) = (Frames::default(), HashMap::new());
        Self { reader, writer, frames, owed, idle, last_sign: Instant::now() }
    }

    /// Asks and listens until nobody asks any more or the connection fails.
    ///
    /// Those who are owed a reply then learn that there is none.
    async fn run(mut self, mut ordered: mpsc::Receiver<Order>) {
        let ended = self.converse(&mut ordered).await;
        if let Err(error) = ended {
            tracing::debug!(%error, owed = self.owed.len(), "connection to an upstream ended");
        }
    }

    async fn converse(&mut self, ordered: &mut mpsc::Receiver<Order>) -> io::Result<()> {
        loop {
            self.owed.retain(|_, (_, reply)| !reply.is_closed());
            let patience = if self.owed.is_empty() { self.idle } else { SILENCE };
            tokio::select! {
                order = ordered.recv() => match order {
                    Some(order) => self.send(order).await?,
                    None => return Ok(()),
                },
                read = self.reader.read_buf(self.frames.buffer()) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.last_sign = Instant::now();
                    self.deliver();
                }
                () = sleep_until(self.last_sign + patience) => {
                    // From here on nobody gets to send; who did meanwhile goes elsewhere.
                    ordered.close();
                    return Ok(());
                }
            }
        }
    }

    /// Sends a query under an id that no other one has.
    async fn send(&mut self, order: Order) -> io::Result<()> {
        let Order { outgoing, reply } = order;
        if self.owed.is_empty() {
            self.last_sign = Instant::now();
        }
        let octets = loop {
            // There are far fewer queries under way than ids.
            if let Entry::Vacant(vacant) = self.owed.entry(rand::random()) {
                let sent = outgoing.with_id(*vacant.key());
                let octets = framed(&sent.octets).ok_or(io::ErrorKind::InvalidData)?;
                vacant.insert((sent, reply));
                break octets;
            }
        };
        timeout(WRITE, async {
            self.writer.write_all(&octets).await?;
            self.writer.flush().await
        })
        .await?
    }

    /// Gives the replies that have arrived to those who wait for them.
    fn deliver(&mut self) {
        while let Some(message) = self.frames.take() {
            let Some(id) = crate::query::u16_at(message, 0) else { continue };
            let Entry::Occupied(owed) = self.owed.entry(id) else { continue };
            let judgement = owed.get().0.judge(message);
            if judgement != Judgement::Unrelated {
                let (_, reply) = owed.remove();
                // Who does not wait any more has been served by another try.
                drop(reply.send(Reply { message: message.to_vec(), judgement }));
            }
        }
    }
}
