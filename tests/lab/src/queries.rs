//! DNS queries at a steady rate, and how many of them nobody answered.
//!
//! Queries go out from several ports, each used again and again, as resolvers with a pool of sockets
//! do: every socket of a server has its share, and a flow that the kernel remembers is met again. No
//! query is sent twice, so each one lost shows.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use serde::{Deserialize, Serialize};

use crate::exec::Running;
use crate::lab::Lab;
use crate::place::Place;

/// The lab's program, which its first process runs.
const PROGRAM: &str = "/proc/1/exe";

/// Ports that queries come from.
const SOCKETS: usize = 16;

/// Most queries; a load that nobody ends comes to its end.
const MOST: usize = 60_000;

/// How long answers are waited for after the last query: as long as resolvers have patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often receivers look whether all is over.
const LOOK: Duration = Duration::from_millis(50);

/// Arguments of the load.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Whom to ask.
    server: SocketAddr,
    /// Name to ask the address of.
    name: Name,
    /// Queries a second.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
}

/// What became of the queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Queries sent.
    pub sent: usize,
    /// Of them without an answer.
    pub lost: usize,
    /// Of them with an answer that is an error.
    pub failed: usize,
    /// From the first query lost to the last, in milliseconds.
    pub lost_span_ms: u64,
}

/// Asks until the standard input ends, and prints the [`Report`] as JSON.
///
/// # Errors
/// When a socket or the standard streams cannot be used.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.rate > 0, "a rate of 0 asks nothing");
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    thread::spawn(move || {
        // Whatever comes, the end of it is what counts.
        drop(io::stdin().read_to_end(&mut Vec::new()));
        ended.store(true, Ordering::Relaxed);
    });
    let report = Load::new(args)?.run(&over)?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

/// A load on its way.
struct Load {
    sockets: Vec<UdpSocket>,
    query: Vec<u8>,
    interval: Duration,
    /// What became of each query.
    fates: Arc<Vec<Fate>>,
}

/// What became of one query.
#[derive(Debug, Default)]
struct Fate {
    /// Microseconds after the start at which it was sent; 0 before that.
    sent_us: AtomicU64,
    answered: AtomicBool,
    failed: AtomicBool,
}

impl Load {
    fn new(args: &Args) -> Result<Self> {
        let socket = |_| -> io::Result<UdpSocket> {
            let own: SocketAddr = match args.server {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(own)?;
            // An answer from another address is none.
            socket.connect(args.server)?;
            socket.set_read_timeout(Some(LOOK))?;
            Ok(socket)
        };
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(args.name.clone(), RecordType::A));
        Ok(Self {
            sockets: (0..SOCKETS).map(socket).collect::<io::Result<_>>()?,
            query: message.to_vec()?,
            interval: Duration::from_secs(1) / args.rate,
            fates: Arc::new((0..MOST).map(|_| Fate::default()).collect()),
        })
    }

    /// Asks until it is `over`, then waits for what is still owed.
    fn run(self, over: &AtomicBool) -> Result<Report> {
        let done = Arc::new(AtomicBool::new(false));
        let mut receivers = Vec::new();
        for socket in &self.sockets {
            let (socket, fates) = (socket.try_clone()?, Arc::clone(&self.fates));
            let done = Arc::clone(&done);
            receivers.push(thread::spawn(move || receive(&socket, &fates, &done)));
        }
        let sent = self.send(over);
        let patience = Instant::now() + PATIENCE;
        let owed = || self.fates[..sent].iter().any(|fate| !fate.answered.load(Ordering::Relaxed));
        while owed() && Instant::now() < patience {
            thread::sleep(LOOK);
        }
        done.store(true, Ordering::Relaxed);
        for receiver in receivers {
            receiver.join().map_err(|_payload| anyhow::anyhow!("a receiver panicked"))?;
        }
        Ok(report(&self.fates[..sent]))
    }

    /// Sends queries at the rate; the number of them. One that is late puts off those behind it, so
    /// that no stretch of time ever has more of them than its share.
    fn send(&self, over: &AtomicBool) -> usize {
        let start = Instant::now();
        let mut due = start;
        for (number, fate) in self.fates.iter().enumerate() {
            if over.load(Ordering::Relaxed) {
                return number;
            }
            let now = Instant::now();
            due = due.max(now);
            thread::sleep(due - now);
            let mut query = self.query.clone();
            // At most as many as there are numbers for.
            let id = u16::try_from(number).unwrap_or_default();
            query[..2].copy_from_slice(&id.to_be_bytes());
            let since = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            fate.sent_us.store(since.max(1), Ordering::Relaxed);
            let socket = &self.sockets[number % SOCKETS];
            // The first time may only tell that an earlier query was refused.
            if socket.send(&query).is_err() {
                drop(socket.send(&query));
            }
            due += self.interval;
        }
        MOST
    }
}

/// Notes answers until all is `done`.
fn receive(socket: &UdpSocket, fates: &[Fate], done: &AtomicBool) {
    let mut datagram = [0; 4096];
    while !done.load(Ordering::Relaxed) {
        // A query that was refused shows as an error; it stays without an answer.
        let Ok(length) = socket.recv(&mut datagram) else { continue };
        let Some([high, low, _, flags]) = datagram[..length].first_chunk() else { continue };
        let number = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(fate) = fates.get(number) else { continue };
        fate.failed.store(flags & 0xf != ResponseCode::NoError.low(), Ordering::Relaxed);
        fate.answered.store(true, Ordering::Relaxed);
    }
}

fn report(fates: &[Fate]) -> Report {
    let lost: Vec<u64> = fates
        .iter()
        .filter(|fate| !fate.answered.load(Ordering::Relaxed))
        .map(|fate| fate.sent_us.load(Ordering::Relaxed))
        .collect();
    let span = lost.last().zip(lost.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
    Report {
        sent: fates.len(),
        lost: lost.len(),
        failed: fates.iter().filter(|fate| fate.failed.load(Ordering::Relaxed)).count(),
        lost_span_ms: span / 1000,
    }
}

/// Queries on their way, until they are ended.
#[derive(Debug)]
pub struct Queries(Running);

impl Queries {
    /// Asks nothing more, and waits for the answers still owed.
    ///
    /// # Errors
    /// When the load could not be run.
    pub fn end(self) -> Result<Report> {
        let text = self.0.output()?.checked()?;
        serde_json::from_str(&text).with_context(|| format!("no report: {text}"))
    }
}

impl Lab {
    /// Asks `server` from `place` for the addresses of `name`, `rate` times a second.
    ///
    /// # Errors
    /// When the load cannot be run.
    pub fn queries(
        &self,
        place: &Place,
        server: SocketAddr,
        name: &str,
        rate: u32,
    ) -> Result<Queries> {
        let (server, rate) = (server.to_string(), rate.to_string());
        let command = [PROGRAM, "queries", &server, name, "--rate", &rate];
        self.spawn(place, &command).map(Queries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_counts_what_nobody_answered_and_how_long_that_went_on() {
        let fate = |sent_us, answered, failed| Fate {
            sent_us: AtomicU64::new(sent_us),
            answered: AtomicBool::new(answered),
            failed: AtomicBool::new(failed),
        };
        let fates = [
            fate(1, true, false),
            fate(10_000, false, false),
            fate(20_000, true, true),
            fate(30_000, false, false),
        ];
        let expected = Report { sent: 4, lost: 2, failed: 1, lost_span_ms: 20 };
        assert_eq!(report(&fates), expected);
        assert_eq!(report(&fates[..1]), Report { sent: 1, lost: 0, failed: 0, lost_span_ms: 0 });
    }
}
