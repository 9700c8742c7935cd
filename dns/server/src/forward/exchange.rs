//! One try with one upstream, by UDP and where needed by TCP.
//!
//! Every try has a socket of its own, so its port is the kernel's random choice, and is connected,
//! so only the upstream's replies arrive and an unreachable port fails at once.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::forward::outgoing::{Outgoing, Reply};
use crate::respond::Transport;

/// Room for a reply in a datagram: more than is asked for, as some servers ignore the limit.
const DATAGRAM_OCTETS: usize = 4096;

/// Asks `upstream` once. Waits for ever: the caller has the clock.
///
/// A truncated reply is asked for again by TCP when the client came by TCP.
///
/// # Errors
/// The upstream or the way to it refused.
pub(crate) async fn ask(
    upstream: SocketAddr,
    outgoing: &Outgoing,
    client: Transport,
) -> io::Result<Reply> {
    let reply = ask_by_datagram(upstream, outgoing).await?;
    match client {
        Transport::Tcp if reply.is_truncated() => ask_by_stream(upstream, outgoing).await,
        Transport::Tcp | Transport::Udp => Ok(reply),
    }
}

/// Asks by UDP and takes the first datagram that is a reply.
async fn ask_by_datagram(upstream: SocketAddr, outgoing: &Outgoing) -> io::Result<Reply> {
    let any: SocketAddr = match upstream {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(upstream).await?;
    let id = rand::random();
    socket.send(&outgoing.with_id(id)).await?;
    let mut buffer = vec![0; DATAGRAM_OCTETS];
    loop {
        let octets = socket.recv(&mut buffer).await?;
        let datagram = &buffer[..octets];
        if let Some(reply) = outgoing.accept(id, datagram) {
            return Ok(reply);
        }
        if outgoing.is_bare_error(id, datagram) {
            return Err(io::Error::other("the upstream could not read the query"));
        }
    }
}

/// Asks by TCP.
async fn ask_by_stream(upstream: SocketAddr, outgoing: &Outgoing) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let id = rand::random();
    let message = outgoing.with_id(id);
    let octets = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&octets.to_be_bytes()[..], &message].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    outgoing
        .accept(id, &buffer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the reply is to another query"))
}
