//! EDGE: the nfnetlink socket, also for other subsystems of netfilter.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};

use crate::decode::attributes;
use crate::encode::{HEADER_BYTES, message_length};

/// `NLMSG_ERROR`, also the type of an acknowledgement.
pub const NLMSG_ERROR: u16 = 2;

/// `NLMSG_DONE`: the end of a listing.
pub const NLMSG_DONE: u16 = 3;

/// `NLMSGERR_ATTR_MSG`: the kernel's own words.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Room for what the kernel has to say.
///
/// A refused batch of thousands of messages may bring an error for each, about 1 KiB as the kernel
/// counts it; with less room the first one, which tells most, could be lost.
const RECEIVE_BYTES: usize = 8 << 20;

/// Room for one datagram: the largest that the kernel makes of a listing.
///
/// It makes them as large as the largest room that it was ever offered, up to 32 KiB
/// (`netlink_dump`), and walks a set from its start for each of them.
const DATAGRAM_BYTES: usize = 32 << 10;

/// A netlink socket to the netfilter subsystem.
#[derive(Debug)]
pub struct NetfilterSocket(Socket);

/// One message as it came.
#[derive(Debug, Clone, Copy)]
pub struct Received<'bytes> {
    /// Type of the message.
    pub kind: u16,
    /// Sequence number of the request it belongs to.
    pub sequence: u32,
    /// Port of the socket whose request it belongs to.
    pub port: u32,
    /// What follows the header.
    pub payload: &'bytes [u8],
}

/// What an acknowledgement says.
#[derive(Debug)]
pub struct Acknowledgement {
    /// `None`: done. Otherwise why not.
    pub error: Option<io::Error>,
    /// The kernel's own words, where it has any.
    pub reason: Option<String>,
}

impl NetfilterSocket {
    /// Opens and binds a socket.
    ///
    /// # Errors
    /// No netlink, or no memory.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BYTES)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BYTES))?;
        Ok(Self(socket))
    }

    /// The port id that the kernel knows the socket by.
    ///
    /// # Errors
    /// The socket is unusable.
    pub fn port_id(&self) -> io::Result<u32> {
        let mut address = SocketAddr::new(0, 0);
        self.0.get_address(&mut address)?;
        Ok(address.port_number())
    }

    /// Sends `bytes` as one datagram, making room for it first.
    ///
    /// The kernel handles the messages in it before this returns.
    ///
    /// # Errors
    /// It was not sent.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // The kernel counts its own overhead against the limit; twice the bytes is what it allows
        // for that anyway (`SO_SNDBUF` in socket(7)). Only the first user namespace may pass
        // `net.core.wmem_max`; in another a table of more than twice that is too long a message.
        let room = bytes.len().saturating_mul(2).max(usize::from(u16::MAX));
        setsockopt(&self.0, sockopt::SndBufForce, &room)
            .or_else(|_| setsockopt(&self.0, sockopt::SndBuf, &room))?;
        self.0.send_to(bytes, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }

    /// Waits until there is something to receive; `false` when `timeout` has passed first.
    ///
    /// # Errors
    /// The socket is unusable.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut poll_fd = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut poll_fd, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives one datagram without waiting; `None` when there is none.
    ///
    /// # Errors
    /// The socket's own; `ENOBUFS` where messages were lost.
    pub fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut datagram = Vec::with_capacity(DATAGRAM_BYTES);
        // The whole length comes back even where there was too little room.
        match self.0.recv_from(&mut datagram, MsgFlags::MSG_TRUNC.bits()) {
            Ok((length, _)) if length > datagram.len() => {
                let reason = format!("a datagram of {length} bytes");
                Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
            }
            Ok(_) => Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Joins or leaves the group that tells of every change of nftables.
    ///
    /// # Errors
    /// It may not.
    pub fn listen(&self, group: u32, on: bool) -> io::Result<()> {
        if on { self.0.add_membership(group) } else { self.0.drop_membership(group) }
    }
}

/// The messages of a datagram; an incomplete one ends it.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header: &[u8; HEADER_BYTES] = rest.first_chunk()?;
        let length = usize::try_from(u32::from_ne_bytes(*header.first_chunk()?)).ok()?;
        let payload = rest.get(HEADER_BYTES..length)?;
        let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| header[at + byte]));
        let received = Received {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            sequence: word(8),
            port: word(12),
            payload,
        };
        rest = rest.get(message_length(rest)..).unwrap_or_default();
        Some(received)
    })
}

impl Acknowledgement {
    /// Reads the payload of an `NLMSG_ERROR`; `None` when it is too short.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let code = i32::from_ne_bytes(*payload.first_chunk()?);
        let error = (code != 0).then(|| io::Error::from_raw_os_error(-code));
        // The request's header comes back, then attributes.
        let reason = payload.get(4 + HEADER_BYTES..).and_then(|rest| {
            let text = attributes(rest).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)?.1;
            Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
        });
        Some(Self { error, reason })
    }
}
