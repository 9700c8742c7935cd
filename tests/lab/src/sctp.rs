//! As much of SCTP as greets: a client's INIT, and the INIT ACK that answers it (RFC 9260 §3.3).
//!
//! Made by hand on raw sockets, so that no kernel needs to speak the protocol, nor loads what does.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};

use crate::address::Family;
use crate::checksum::crc32c;

/// The protocol's number among those above IP.
const NUMBER: u8 = 132;

/// Types of the two chunks.
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;

/// Type of the parameter that carries the answer: the state cookie.
const COOKIE: u16 = 7;

/// Length of the common header.
const HEADER_BYTES: usize = 12;

/// Length of a chunk of either type without parameters.
const CHUNK_BYTES: usize = 20;

/// A greeting or its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) content: Content,
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A client begins; answers carry its tag.
    Init { tag: u32 },
    /// A server answers the greeting with that tag.
    InitAck { tag: u32, cookie: Vec<u8> },
}

impl Packet {
    /// Reads a packet from its common header on; `None` where it is another one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (header, chunk) = bytes.split_at_checked(HEADER_BYTES)?;
        let word = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let port = |at: usize| Some(u16::from_be_bytes(*header.get(at..)?.first_chunk()?));
        let content = match *chunk.first()? {
            INIT => Content::Init { tag: word(HEADER_BYTES + 4)? },
            INIT_ACK => {
                let parameter = chunk.get(CHUNK_BYTES..)?;
                let length = u16::from_be_bytes(*parameter.get(2..)?.first_chunk()?);
                let cookie = parameter.get(4..usize::from(length))?.to_vec();
                Content::InitAck { tag: word(4)?, cookie }
            }
            _ => return None,
        };
        Some(Self { source_port: port(0)?, destination_port: port(2)?, content })
    }

    /// The packet from its common header on.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (kind, verification, own, parameter) = match &self.content {
            // Nobody has given the client a tag yet.
            Content::Init { tag } => (INIT, 0, *tag, Vec::new()),
            Content::InitAck { tag, cookie } => {
                let length = u16::try_from(4 + cookie.len()).unwrap_or(u16::MAX);
                let head = [COOKIE.to_be_bytes(), length.to_be_bytes()].concat();
                let mut parameter = [&head[..], cookie].concat();
                parameter.resize(parameter.len().next_multiple_of(4), 0);
                (INIT_ACK, *tag, !*tag, parameter)
            }
        };
        let length = u16::try_from(CHUNK_BYTES + parameter.len()).unwrap_or(u16::MAX);
        let mut bytes =
            [self.source_port.to_be_bytes(), self.destination_port.to_be_bytes()].concat();
        bytes.extend(verification.to_be_bytes());
        // The checksum is taken with zeros in its place.
        bytes.extend([0; 4]);
        bytes.extend([kind, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(own.to_be_bytes());
        // Receiver window, ten streams each way, first sequence number.
        bytes.extend(65_535_u32.to_be_bytes());
        bytes.extend([0, 10, 0, 10, 0, 0, 0, 1]);
        bytes.extend(parameter);
        let checksum = crc32c(&bytes).to_le_bytes();
        bytes[8..HEADER_BYTES].copy_from_slice(&checksum);
        bytes
    }
}

/// A raw socket for the protocol.
pub(crate) fn socket(family: Family) -> io::Result<OwnedFd> {
    let family = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    let protocol = NonZeroU32::new(u32::from(NUMBER)).map(Protocol::from_raw);
    Ok(socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?)
}

/// What a raw socket of `family` received, from the common header on: IPv4 shows its own header too.
pub(crate) fn payload(family: Family, received: &[u8]) -> &[u8] {
    let header = match family {
        Family::V4 => received.first().map_or(0, |first| usize::from(first & 0xf) * 4),
        Family::V6 => 0,
    };
    received.get(header..).unwrap_or_default()
}

/// `address` as a raw socket wants it: a port has no meaning there.
pub(crate) fn raw(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_as_they_were_written() {
        let answer = Content::InitAck { tag: 7, cookie: b"pod=a".to_vec() };
        for content in [Content::Init { tag: 0x0102_0304 }, answer] {
            let packet = Packet { source_port: 4000, destination_port: 80, content };
            let bytes = packet.bytes();
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(Packet::read(&bytes), Some(packet));
        }
        assert_eq!(Packet::read(&[0; 11]), None);
    }
}
