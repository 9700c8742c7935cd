//! The server: one connection after the other in one thread, so that nothing but the way to it
//! differs.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// First octet of a connection whose octets are taken without answers.
pub(super) const BULK: u8 = b'B';

/// Octets that are taken at once.
const BUFFER: usize = 256 << 10;

/// Arguments of the server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it listens, over TCP and UDP.
    #[arg(long)]
    port: u16,
    /// The processor that it runs on.
    #[arg(long)]
    processor: usize,
}

/// Serves until it is killed.
pub(crate) fn run(args: &Args) -> Result<()> {
    pin(args.processor)?;
    let address = (Ipv4Addr::UNSPECIFIED, args.port);
    let datagrams = UdpSocket::bind(address)?;
    let listener = TcpListener::bind(address)?;
    thread::spawn(move || echo(&datagrams));
    writeln!(io::stdout(), "ready")?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (stream, _) = listener.accept()?;
        // A client that is done resets its connection.
        drop(serve(stream, &mut buffer));
    }
}

/// Keeps the calling thread, and those that it starts, on one processor.
pub(super) fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor).context("no such processor")?;
    sched_setaffinity(Pid::from_raw(0), &set).context("processor cannot be chosen")
}

fn serve(mut stream: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    if first == [BULK] {
        while stream.read(buffer)? > 0 {}
        return stream.write_all(&first);
    }
    loop {
        stream.write_all(&first)?;
        stream.read_exact(&mut first)?;
    }
}

fn echo(socket: &UdpSocket) {
    let mut datagram = [0; 64];
    while let Ok((length, from)) = socket.recv_from(&mut datagram) {
        // Whoever asked has gone if this fails.
        drop(socket.send_to(datagram.get(..length).unwrap_or_default(), from));
    }
}
