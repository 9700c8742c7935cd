//! Datagrams in and out of one UDP socket.
//!
//! A reply leaves from the address that was asked. On a socket bound to the unspecified address the
//! kernel would choose one by its routes, and a client that asked another would drop the reply; so
//! such a socket is told the address of every datagram (`IP_PKTINFO`, RFC 3542 §6.1) and gives it
//! back with the reply.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Endpoint {
    socket: UdpSocket,
    /// Whether it takes datagrams to several addresses.
    wildcard: bool,
}

/// Both ends of a datagram.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    /// The client.
    pub(crate) client: SocketAddr,
    /// The address it asked, on a socket that has several.
    asked: Option<Asked>,
}

/// The address that a client asked.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// An IPv4 address.
    V4(in_pktinfo),
    /// An IPv6 address and the interface.
    V6(in6_pktinfo),
}

/// Room for what the kernel says of a datagram; kept by the receiver, so that it is made once.
#[derive(Debug)]
pub(crate) struct ControlBuffer(Vec<u8>);

impl ControlBuffer {
    /// Makes room for the larger of the two kinds.
    pub(crate) fn new() -> Self {
        Self(nix::cmsg_space!(in6_pktinfo))
    }
}

impl Endpoint {
    /// Takes over a bound, non-blocking socket.
    ///
    /// # Errors
    /// The socket cannot be waited for.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket)?;
        let wildcard = socket.local_addr()?.ip().is_unspecified();
        Ok(Self { socket, wildcard })
    }

    /// The address that the socket is bound to.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits until a datagram is there.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes one datagram, or says that none is waiting ([`io::ErrorKind::WouldBlock`]).
    pub(crate) fn receive(
        &self,
        buffer: &mut [u8],
        control: &mut ControlBuffer,
    ) -> io::Result<(usize, Path)> {
        self.socket.try_io(Interest::READABLE, || {
            let mut buffers = [IoSliceMut::new(buffer)];
            let received = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut buffers,
                self.wildcard.then_some(&mut control.0[..]),
                MsgFlags::MSG_DONTWAIT,
            )?;
            let client = received.address.as_ref().and_then(socket_address);
            let client = client.ok_or(io::ErrorKind::InvalidData)?;
            let asked = if self.wildcard { received.cmsgs()?.find_map(asked) } else { None };
            Ok((received.bytes, Path { client, asked }))
        })
    }

    /// Sends one datagram, waiting for room if need be.
    pub(crate) async fn send(&self, message: &[u8], path: Path) -> io::Result<()> {
        let client = SockaddrStorage::from(path.client);
        self.socket
            .async_io(Interest::WRITABLE, || {
                let buffers = [IoSlice::new(message)];
                let send = |control: &[ControlMessage<'_>]| {
                    let fd = self.socket.as_raw_fd();
                    sendmsg(fd, &buffers, control, MsgFlags::MSG_DONTWAIT, Some(&client))
                };
                match &path.asked {
                    None => send(&[]),
                    Some(Asked::V4(info)) => send(&[ControlMessage::Ipv4PacketInfo(info)]),
                    Some(Asked::V6(info)) => send(&[ControlMessage::Ipv6PacketInfo(info)]),
                }?;
                Ok(())
            })
            .await
    }
}

/// What a control message says of the address asked, in the form that a reply needs.
fn asked(message: ControlMessageOwned) -> Option<Asked> {
    if let ControlMessageOwned::Ipv4PacketInfo(info) = message {
        // The interface is left to the routes; only the source is given.
        return Some(Asked::V4(in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: info.ipi_spec_dst,
            ipi_addr: in_addr { s_addr: 0 },
        }));
    }
    if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
        // A link-local address means nothing without its interface.
        let link_local = info.ipi6_addr.s6_addr[..2] == [0xFE, 0x80];
        let ipi6_ifindex = if link_local { info.ipi6_ifindex } else { 0 };
        return Some(Asked::V6(in6_pktinfo { ipi6_ifindex, ..info }));
    }
    None
}

/// An address of the kernel as the standard library's.
fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*address).into());
    }
    address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into())
}
