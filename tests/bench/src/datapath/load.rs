//! The client: does each thing many times, and tells the middle of the times.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt::Linger};
use serde::{Deserialize, Serialize};

use super::serve::{BULK, pin};
use crate::measure::Sample;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Octets that are sent at once.
const CHUNK: usize = 128 << 10;

/// Arguments of the client.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where connections, requests and datagrams go; the server there shares the processor.
    #[arg(long)]
    near: SocketAddr,
    /// Where bulk goes; the server there has another processor.
    #[arg(long)]
    far: SocketAddr,
    /// The processor that it runs on.
    #[arg(long)]
    processor: usize,
    /// How much.
    #[command(flatten)]
    amount: Amount,
}

/// How much is done.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Amount {
    /// Connections of each kind; ten times as many requests and datagrams.
    #[arg(long)]
    pub(super) count: u32,
    /// Milliseconds of bulk transfer.
    #[arg(long)]
    pub(super) bulk_ms: u32,
}

/// What was measured: medians.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// `socket` and `connect`, in nanoseconds.
    pub(super) connect_ns: u64,
    /// `socket`, `connect`, one octet there and back, `close`, in nanoseconds.
    pub(super) exchange_ns: u64,
    /// One octet there and back over a connection that is kept, in nanoseconds.
    pub(super) request_ns: u64,
    /// Octets a second over one connection.
    pub(super) bulk_bytes: u64,
    /// A datagram there and back from an unconnected socket, in nanoseconds.
    pub(super) datagram_ns: u64,
}

/// Measures and prints the figures as JSON.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Args { near, far, processor, amount } = *args;
    pin(processor)?;
    let figures = Figures {
        connect_ns: connects(near, amount.count)?,
        exchange_ns: median(amount.count, || {
            let mut stream = connect(near)?;
            exchange(&mut stream)
        })?,
        request_ns: {
            let mut stream = connect(near)?;
            median(amount.count * 10, || exchange(&mut stream))?
        },
        bulk_bytes: bulk(far, Duration::from_millis(amount.bulk_ms.into()))?,
        datagram_ns: datagrams(near, amount.count * 10)?,
    };
    serde_json::to_writer(std::io::stdout(), &figures)?;
    Ok(())
}

/// The middle of the times that `once` takes, in nanoseconds.
fn median(count: u32, mut once: impl FnMut() -> Result<()>) -> Result<u64> {
    let times = (0..count)
        .map(|_| {
            let start = Instant::now();
            once()?;
            Ok(start.elapsed())
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(u64::try_from(Sample::new(times)?.median().as_nanos())?)
}

/// The middle of the times until a connection is there; how it ends is not in them.
fn connects(to: SocketAddr, count: u32) -> Result<u64> {
    let times = (0..count)
        .map(|_| {
            let start = Instant::now();
            let stream = TcpStream::connect(to).with_context(|| to.to_string())?;
            let took = start.elapsed();
            prepare(stream).map(drop)?;
            Ok(took)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(u64::try_from(Sample::new(times)?.median().as_nanos())?)
}

/// A connection whose end is told by a reset, so that no port stays taken.
fn connect(to: SocketAddr) -> Result<TcpStream> {
    prepare(TcpStream::connect(to).with_context(|| to.to_string())?)
}

fn prepare(stream: TcpStream) -> Result<TcpStream> {
    setsockopt(&stream, Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream) -> Result<()> {
    let mut octet = [b'R'];
    stream.write_all(&octet)?;
    stream.read_exact(&mut octet)?;
    Ok(())
}

/// Octets a second that the server has taken.
fn bulk(to: SocketAddr, time: Duration) -> Result<u64> {
    let mut stream = connect(to)?;
    let chunk = vec![0; CHUNK];
    stream.write_all(&[BULK])?;
    let start = Instant::now();
    let mut sent = 0_u64;
    while start.elapsed() < time {
        stream.write_all(&chunk)?;
        sent += u64::try_from(CHUNK)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // The server answers when it has all.
    stream.read_exact(&mut [0])?;
    Ok(u64::try_from(u128::from(sent) * 1_000_000_000 / start.elapsed().as_nanos())?)
}

fn datagrams(to: SocketAddr, count: u32) -> Result<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    median(count, || {
        let mut octet = [b'R'];
        socket.send_to(&octet, to)?;
        let (_, from) = socket.recv_from(&mut octet)?;
        ensure!(from == to, "{from} answered instead of {to}");
        Ok(())
    })
}
