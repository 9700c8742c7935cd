//! The listener on a node: when the kernel tells of an address, and when a name server does.
//!
//! A process of its own in the namespace of the node. It takes one order a line and answers with
//! the time of what it was told to look for, in nanoseconds of CLOCK_MONOTONIC, which all processes
//! share.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use nix::time::{ClockId, clock_gettime};
use podway_proxy_nft::socket::NetfilterSocket;
use podway_tests_lab::Running;

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;

/// Longest wait for what is looked for.
const LIMIT: Duration = Duration::from_secs(60);

/// Pause between two questions: the resolution of the times of names.
const PAUSE: Duration = Duration::from_micros(200);

/// How long one reply is waited for.
const REPLY_LIMIT: Duration = Duration::from_millis(500);

/// Arguments of the listener.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name server to ask.
    server: SocketAddr,
}

/// The time of CLOCK_MONOTONIC.
pub(super) fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// The listener as the benchmark sees it.
pub(super) struct Probe {
    running: Running,
    answers: BufReader<io::PipeReader>,
}

impl Probe {
    pub(super) fn new(mut running: Running) -> Result<Self> {
        let output = running.stdout.take().context("a listener without output")?;
        let mut probe = Self { running, answers: BufReader::new(output) };
        probe.line("ready")?;
        Ok(probe)
    }

    /// Looks for a commit with `address` from now on.
    pub(super) fn expect_commit(&mut self, address: Ipv4Addr) -> Result<()> {
        self.order(&format!("commit {address}"))
    }

    /// Looks for an answer to `name` with `address` from now on.
    pub(super) fn expect_answer(&mut self, name: &str, address: Ipv4Addr) -> Result<()> {
        self.order(&format!("answer {address} {name}"))
    }

    /// When it was seen.
    pub(super) fn seen(&mut self) -> Result<Duration> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let nanoseconds = line.trim().parse();
        Ok(Duration::from_nanos(nanoseconds.with_context(|| format!("listener: {line:?}"))?))
    }

    fn order(&mut self, order: &str) -> Result<()> {
        let input = self.running.stdin.as_mut().context("a listener without input")?;
        writeln!(input, "{order}")?;
        self.line("looking")
    }

    /// Takes a line that must be `expected`.
    fn line(&mut self, expected: &str) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.trim() == expected { Ok(()) } else { bail!("listener: {line:?}") }
    }
}

/// Runs the listener until its input ends.
pub(crate) fn run(args: &Args) -> Result<()> {
    let kernel = NetfilterSocket::open()?;
    kernel.listen(GROUP, true)?;
    let mut output = io::stdout().lock();
    writeln!(output, "ready")?;
    output.flush()?;
    for order in io::stdin().lines() {
        let order = order?;
        let words: Vec<&str> = order.split(' ').collect();
        // What came before is no news.
        while drain(&kernel)?.is_some() {}
        writeln!(output, "looking")?;
        output.flush()?;
        let seen = match words[..] {
            ["commit", address] => commit(&kernel, address.parse()?)?,
            ["answer", address, name] => answer(args.server, name, address.parse()?)?,
            _ => bail!("{order:?} is no order"),
        };
        writeln!(output, "{}", seen.as_nanos())?;
        output.flush()?;
    }
    Ok(())
}

/// What the kernel has told, if anything; what was lost was too much to read.
fn drain(kernel: &NetfilterSocket) -> Result<Option<Vec<u8>>> {
    match kernel.receive() {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => Ok(Some(Vec::new())),
        received => Ok(received?),
    }
}

/// Waits until the kernel tells of a commit with `address`.
fn commit(kernel: &NetfilterSocket, address: Ipv4Addr) -> Result<Duration> {
    let start = now()?;
    let octets = address.octets();
    while now()?.saturating_sub(start) < LIMIT {
        kernel.wait(REPLY_LIMIT)?;
        // The kernel tells after it has committed.
        let seen = now()?;
        while let Some(bytes) = drain(kernel)? {
            if bytes.windows(octets.len()).any(|window| window == octets) {
                return Ok(seen);
            }
        }
    }
    bail!("no commit with {address} in {} s", LIMIT.as_secs())
}

/// Asks `server` for `name` until the answer has `address`.
fn answer(server: SocketAddr, name: &str, address: Ipv4Addr) -> Result<Duration> {
    let start = now()?;
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    let question = message.to_vec()?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(REPLY_LIMIT))?;
    let mut reply = [0; 4096];
    while now()?.saturating_sub(start) < LIMIT {
        socket.send(&question)?;
        // A reply that is late or lost is asked for again.
        if let Ok(octets) = socket.recv(&mut reply) {
            let reply = Message::from_vec(&reply[..octets])?;
            let has = |record: &hickory_proto::rr::Record| matches!(record.data, RData::A(found) if found.0 == address);
            if reply.answers.iter().any(has) {
                return now();
            }
        }
        thread::sleep(PAUSE);
    }
    bail!("no answer to {name} with {address} in {} s", LIMIT.as_secs())
}
