//! Opens the sockets.
//!
//! Every address gets one UDP socket for each worker and one TCP listener, all with `SO_REUSEPORT`:
//! the kernel spreads clients over the workers, and the successor of a running server can open its
//! sockets before this one closes its own. That holds within one user only, so no stranger can
//! take part.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

/// Receive buffer asked for, in octets.
///
/// 4 MiB holds the burst of a node full of pods that start together; the kernel grants what
/// `net.core.rmem_max` allows.
const RECEIVE_BUFFER_OCTETS: usize = 4 << 20;

/// TCP connections waiting to be accepted.
const BACKLOG: i32 = 1024;

/// How often a port that is free for UDP is sought anew because TCP has it taken.
const FREE_PORT_ATTEMPTS: usize = 16;

/// The sockets of one address.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The address, with the port that was chosen if none was asked for.
    pub(crate) address: SocketAddr,
    /// One for each worker.
    pub(crate) udp: Vec<UdpSocket>,
    /// For all workers.
    pub(crate) tcp: TcpListener,
}

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {protocol} {address}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// `UDP` or `TCP`.
    pub protocol: &'static str,
    /// What the kernel says.
    #[source]
    pub source: io::Error,
}

/// Whether the address has to be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has to.
    Required,
    /// It may come later (`IP_FREEBIND`).
    Awaited,
}

/// Opens the sockets of `address`.
pub(crate) fn open(
    address: SocketAddr,
    workers: usize,
    presence: Presence,
) -> Result<Sockets, ListenError> {
    let mut attempts = if address.port() == 0 { FREE_PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match open_once(address, workers, presence) {
            Err(error) if attempts > 0 && error.source.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
}

/// Opens the one socket of `address` for streams alone.
pub(crate) fn open_stream(address: SocketAddr) -> Result<Sockets, ListenError> {
    let error = |source| ListenError { address, protocol: "TCP", source };
    let tcp = open_tcp(address, Presence::Required).map_err(error)?;
    let address = tcp.local_addr().map_err(error)?;
    Ok(Sockets { address, udp: Vec::new(), tcp })
}

/// Opens the sockets of `address`; for port 0 the first UDP socket chooses.
fn open_once(
    address: SocketAddr,
    workers: usize,
    presence: Presence,
) -> Result<Sockets, ListenError> {
    let udp_error = |source| ListenError { address, protocol: "UDP", source };
    let tcp_error = |source| ListenError { address, protocol: "TCP", source };
    let first = open_udp(address, presence).map_err(udp_error)?;
    let address = first.local_addr().map_err(udp_error)?;
    let mut udp = vec![first];
    for _ in 1..workers {
        udp.push(open_udp(address, presence).map_err(udp_error)?);
    }
    let tcp = open_tcp(address, presence).map_err(tcp_error)?;
    Ok(Sockets { address, udp, tcp })
}

/// Opens one UDP socket.
fn open_udp(address: SocketAddr, presence: Presence) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, address, presence)?;
    // Less than asked for is enough to work with.
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS) {
        tracing::debug!(%address, %error, "receive buffer stays as it is");
    }
    if address.ip().is_unspecified() {
        // The reply has to come from the address that was asked, so it has to be known.
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    bind(&socket, address)?;
    Ok(socket.into())
}

/// Opens the TCP listener.
fn open_tcp(address: SocketAddr, presence: Presence) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    prepare(&socket, address, presence)?;
    // Connections of an earlier server that are still in TIME_WAIT do not block the address.
    socket.set_reuse_address(true)?;
    bind(&socket, address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets what both kinds have in common.
fn prepare(socket: &Socket, address: SocketAddr, presence: Presence) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    match (presence, address) {
        (Presence::Required, _) => {}
        (Presence::Awaited, SocketAddr::V4(_)) => socket.set_freebind_v4(true)?,
        (Presence::Awaited, SocketAddr::V6(_)) => socket.set_freebind_v6(true)?,
    }
    socket.set_nonblocking(true)
}

/// Binds with `SO_REUSEPORT`.
///
/// A port that the kernel chooses is bound without it: with it the kernel might choose one that
/// another server of the same user shares.
fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.port() != 0 {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.set_reuse_port(true)
}
