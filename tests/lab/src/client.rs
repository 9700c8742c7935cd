//! The other end of the pods' servers: asks over TCP, UDP or SCTP and tells how each request ended.
//!
//! Runs where the test wants to stand; [`crate::Lab::call`] and [`crate::Lab::hold`] start it. Each
//! request becomes one line: what the server answered, or `failed=` with a word for the reason. A
//! request that nobody answers in time is the last: the others would cost the same wait each.

use std::io::{self, BufRead as _, BufReader, Error, ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, connect, recv, send};
use socket2::{Domain, Socket, Type};

use crate::address::Family;
use crate::call::{Failure, Transport};
use crate::ports::Ports;
use crate::sctp::{self, Content, Packet};

/// Longest wait for a connection or an answer, in [`SLICE`]s.
///
/// 30, which is 3 s: an answer takes less than a millisecond; longer than the second after which a
/// lost SYN is sent again, so that only what is never answered counts as silent.
const PATIENCE: u32 = 30;

/// One look whether the answer is there.
const SLICE: Duration = Duration::from_millis(100);

/// What each request says.
const REQUEST: &[u8] = b"who\n";

/// Arguments of the client.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How to ask.
    transport: Transport,
    /// Whom to ask.
    target: SocketAddr,
    /// Number of requests, each over a connection or from a port of its own.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Port of the first request over UDP or SCTP; the others come from those that follow.
    #[arg(long, value_name = "PORT")]
    first_port: Option<u16>,
    /// Uses one connection or one port: a request for every line of the standard input.
    #[arg(long, conflicts_with = "count")]
    hold: bool,
}

/// Asks, and writes one line for every request.
///
/// # Errors
/// When the standard streams cannot be used; a request that fails is told like one that is
/// answered.
pub fn run(args: &Args) -> Result<()> {
    let mut output = io::stdout();
    // Whether the next request makes sense.
    let mut tell = |outcome: io::Result<String>| -> io::Result<bool> {
        let failure = match outcome {
            Ok(line) => {
                writeln!(output, "{line}")?;
                None
            }
            Err(error) => {
                writeln!(output, "failed={}", reason(&error))?;
                Failure::of(error.kind())
            }
        };
        output.flush()?;
        Ok(failure != Some(Failure::Silent))
    };
    let mut ports = args.first_port.map_or_else(|| Ports::reserve(args.count), Ports::from);
    let mut open = || Conversation::open(args.transport, args.target, &mut ports);
    if args.hold {
        let mut conversation = open();
        for line in io::stdin().lines() {
            line?;
            if conversation.is_err() && args.transport == Transport::Udp {
                // There was nobody to speak with; a connection would stay lost.
                conversation = open();
            }
            tell(match &mut conversation {
                Ok(conversation) => conversation.ask(),
                Err(error) => Err(error.kind().into()),
            })?;
        }
    } else {
        for _ in 0..args.count {
            let ask = |mut one: Conversation| one.ask();
            if !tell(open().and_then(ask))? {
                break;
            }
        }
    }
    Ok(())
}

/// Repeats `attempt`, which waits for [`SLICE`] at most, until it ends otherwise than by waiting.
///
/// Slices are counted instead of reading a clock: a virtual machine may stand still for seconds, in
/// which nobody can answer, and then only one slice is lost.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..PATIENCE {
        match attempt() {
            Err(error) if Failure::of(error.kind()) == Some(Failure::Silent) => {}
            ended => return ended,
        }
    }
    attempt()
}

/// Connects to `target`.
fn connected(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        begun => begun?,
    }
    let slice = Timespec { tv_sec: 0, tv_nsec: SLICE.subsec_nanos().into() };
    patiently(|| match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&slice))? {
        0 => Err(ErrorKind::TimedOut.into()),
        _ => socket.take_error()?.map_or(Ok(()), Err),
    })?;
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

/// An open connection, or a socket that speaks with one server.
enum Conversation {
    Tcp(BufReader<TcpStream>),
    Udp(UdpSocket, SocketAddr),
    Sctp(Greeter),
}

/// Greets one server from one port.
struct Greeter {
    socket: OwnedFd,
    target: SocketAddr,
    port: u16,
}

impl Greeter {
    fn new(target: SocketAddr, port: u16) -> io::Result<Self> {
        let socket = sctp::socket(Family::of(target.ip()))?;
        // So that ICMP errors are told.
        connect(&socket, &sctp::raw(target.ip()))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(SLICE))?;
        Ok(Self { socket, target, port })
    }

    /// Greets and gives what the answer carries.
    fn greet(&self) -> io::Result<String> {
        let tag = u32::from(self.port) << 8 | 1;
        let (source_port, destination_port) = (self.port, self.target.port());
        let greeting = Packet { source_port, destination_port, content: Content::Init { tag } };
        match send(&self.socket, &greeting.bytes(), SendFlags::empty()) {
            // As with datagrams: what comes of it tells.
            Err(Errno::PERM) => {}
            sent => drop(sent?),
        }
        let mut buffer = [0; 4096];
        // Others of the same two addresses are seen too.
        patiently(|| {
            loop {
                let (length, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
                let bytes = sctp::payload(Family::of(self.target.ip()), &buffer[..length]);
                let Some(answer) = Packet::read(bytes) else { continue };
                let ports = (answer.source_port, answer.destination_port);
                if let (true, Content::InitAck { cookie, .. }) =
                    (ports == (destination_port, source_port), answer.content)
                {
                    return Ok(String::from_utf8_lossy(&cookie).into_owned());
                }
            }
        })
    }
}

impl Conversation {
    fn open(transport: Transport, target: SocketAddr, ports: &mut Ports) -> io::Result<Self> {
        match transport {
            Transport::Tcp => {
                let stream = connected(target)?;
                stream.set_read_timeout(Some(SLICE))?;
                Ok(Self::Tcp(BufReader::new(stream)))
            }
            Transport::Udp => {
                let own: IpAddr = match target {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let is_free = |bound: &io::Result<UdpSocket>| !matches!(bound, Err(error) if error.kind() == ErrorKind::AddrInUse);
                let mut sockets = ports.map(|port| UdpSocket::bind((own, port)));
                let socket = sockets.find(is_free).ok_or(ErrorKind::AddrInUse)??;
                socket.connect(target)?;
                socket.set_read_timeout(Some(SLICE))?;
                Ok(Self::Udp(socket, target))
            }
            Transport::Sctp => {
                let port = ports.next().ok_or(ErrorKind::AddrInUse)?;
                Greeter::new(target, port).map(Self::Sctp)
            }
        }
    }

    fn ask(&mut self) -> io::Result<String> {
        let line = match self {
            Self::Tcp(stream) => {
                stream.get_mut().write_all(REQUEST)?;
                let mut line = String::new();
                // What a slice has read stays in the line.
                if patiently(|| stream.read_line(&mut line))? == 0 {
                    return Err(ErrorKind::ConnectionAborted.into());
                }
                line
            }
            Self::Udp(socket, target) => {
                let sent = match socket.send(REQUEST) {
                    // The kernel took the connection away, which the answer before told: the
                    // endpoint is gone.
                    Err(error)
                        if error.raw_os_error() == Some(Errno::DESTADDRREQ.raw_os_error()) =>
                    {
                        socket.connect(*target)?;
                        socket.send(REQUEST)
                    }
                    sent => sent,
                };
                match sent {
                    // A rule of the own machine held it back; whether it was rejected or only
                    // dropped, the ICMP error tells, or its absence.
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                    sent => drop(sent?),
                }
                let mut datagram = [0; 2048];
                let length = patiently(|| socket.recv(&mut datagram))?;
                String::from_utf8_lossy(&datagram[..length]).into_owned()
            }
            Self::Sctp(greeter) => greeter.greet()?,
        };
        Ok(line.trim_end().to_owned())
    }
}

/// A word for the error.
fn reason(error: &Error) -> String {
    Failure::of(error.kind()).map_or_else(|| format!("{:?}", error.kind()), |one| one.to_string())
}
