//! The node's only wire, held at its other end: packets go in and what the node makes of them comes
//! out.
//!
//! Packets are made by hand, so any source can be played and no server is needed. Each carries a
//! number by which it is known again, also in the reset or ICMP error that refuses it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recv, send,
    sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use podway_cluster_model::port::Protocol;
use podway_proxy_plan::route::Packet;
use podway_tests_lab::checksum::{self, crc32c, octets};

/// Addresses of the node: those that Node objects may name.
pub(crate) const NODE_ADDRESSES: [&str; 6] =
    ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:1::3"];

const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Stands before the number of a packet.
const MARK: [u8; 4] = [0xa5, 0x5a, 0xc3, 0x3c];

/// Port that packets come from.
const SOURCE_PORT: u16 = 40_000;

/// Longest wait for a packet that has to come.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing came out.
    Nothing,
    /// A TCP reset or ICMP port unreachable came out, to this address.
    Refusal { to: IpAddr },
    /// The packet came out.
    Packet { source: IpAddr, source_port_kept: bool, destination: SocketAddr },
}

impl Seen {
    /// Whether the packet came out from the port that it came from.
    pub(crate) fn keeps_source_port(self) -> bool {
        matches!(self, Self::Packet { source_port_kept: true, .. })
    }
}

/// The other end of the node's wire.
pub(crate) struct Wire {
    wire: OwnedFd,
    loopback: OwnedFd,
    /// Sockets by which the node itself sends.
    own: [OwnedFd; 2],
    sent: u32,
    /// Numbers of packets that must never come out.
    dropped: BTreeSet<u32>,
}

impl Wire {
    /// Makes the wire in this network namespace.
    pub(crate) fn new() -> Self {
        for (name, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            // Every refusal counts.
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
        }
        let mut commands = vec![
            "link set lo up".to_owned(),
            "link add node address 02:00:00:00:00:01 type veth peer name wire".to_owned(),
            "link set wire address 02:00:00:00:00:02 up".to_owned(),
            // Everybody is behind the wire, and nobody there answers who has which address.
            "link set node arp off up".to_owned(),
        ];
        for address in NODE_ADDRESSES {
            let (bits, nodad) = if address.contains(':') { ("128", " nodad") } else { ("32", "") };
            commands.push(format!("address add {address}/{bits} dev node{nodad}"));
        }
        commands.push("-4 route add default dev node src 192.0.2.1".to_owned());
        commands.push("-6 route add default dev node src 2001:db8:1::1".to_owned());
        for command in commands {
            let status = Command::new("ip").args(command.split(' ')).status().unwrap();
            assert!(status.success(), "ip {command}");
        }
        let raw = |family| {
            socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).unwrap()
        };
        Self {
            wire: listen("wire"),
            loopback: listen("lo"),
            own: [raw(AddressFamily::Inet), raw(AddressFamily::Inet6)],
            sent: 0,
            dropped: BTreeSet::new(),
        }
    }

    /// Sends `packet` and tells what comes of it; `awaited` says whether something has to.
    ///
    /// What nothing has to come of is followed by a packet that passes: when that one is through,
    /// the first one was, or never is.
    pub(crate) fn send(&mut self, packet: &Packet, awaited: bool) -> Result<Seen, String> {
        let number = self.put_in(packet);
        if awaited {
            return self.wait_for(number);
        }
        let last = match packet.source {
            IpAddr::V4(_) => ["198.51.100.7", "198.51.100.99"],
            IpAddr::V6(_) => ["2001:db8:2::7", "2001:db8:2::99"],
        };
        let passing = Packet {
            source: last[0].parse().unwrap(),
            destination: last[1].parse().unwrap(),
            ..*packet
        };
        self.dropped.insert(number);
        let follower = self.put_in(&passing);
        self.wait_for(follower).map(|_| Seen::Nothing)
    }

    /// Puts `packet` on its way; its number.
    fn put_in(&mut self, packet: &Packet) -> u32 {
        self.sent += 1;
        let bytes = encode(packet, self.sent, source_port(self.sent));
        if NODE_ADDRESSES.contains(&packet.source.to_string().as_str()) {
            let own = &self.own[usize::from(packet.source.is_ipv6())];
            let to = SockaddrStorage::from(SocketAddr::new(packet.destination, 0));
            // A sender is told of refusal, so an error says nothing that is not seen.
            sendto(own.as_raw_fd(), &bytes, &to, MsgFlags::empty()).unwrap_or_default();
        } else {
            let kind: [u8; 2] = if packet.source.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
            let frame = [&NODE_MAC[..], &OUR_MAC, &kind, &bytes].concat();
            send(self.wire.as_raw_fd(), &frame, MsgFlags::empty()).unwrap();
        }
        self.sent
    }

    /// Waits for what comes of the packet `number`.
    fn wait_for(&self, number: u32) -> Result<Seen, String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for socket in [&self.wire, &self.loopback] {
                let mut frame = [0; 2048];
                // Nothing there, which is no error here.
                let length =
                    recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()).unwrap_or_default();
                let frame = &frame[..length];
                // What we put in ourselves is seen too.
                if length < 14 || frame[6..12] == OUR_MAC {
                    continue;
                }
                let Some((found, seen)) = decode(&frame[14..]) else { continue };
                if self.dropped.contains(&found) {
                    return Err(format!("packet {found}, which was to be dropped: {seen:?}"));
                }
                if found == number {
                    return Ok(seen);
                }
            }
        }
        Ok(Seen::Nothing)
    }
}

fn source_port(number: u32) -> u16 {
    SOURCE_PORT + u16::try_from(number % 20_000).unwrap_or_default()
}

/// A socket that gets every frame at the interface `name`.
fn listen(name: &str) -> OwnedFd {
    let protocol = SockProtocol::EthAll;
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    let own = |one: &nix::ifaddrs::InterfaceAddress| one.interface_name == name;
    let address = getifaddrs().unwrap().filter(own).find_map(|one| {
        let address = one.address?;
        address.as_link_addr().copied()
    });
    bind(socket.as_raw_fd(), &address.unwrap()).unwrap();
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(1)).unwrap();
    socket
}

/// The first packet of a connection, from the IP header on.
fn encode(packet: &Packet, number: u32, source_port: u16) -> Vec<u8> {
    let ports = [source_port.to_be_bytes(), packet.port.number().to_be_bytes()].concat();
    let known = [MARK, number.to_be_bytes()].concat();
    let (protocol, mut segment, checksum_at) = match packet.protocol {
        Protocol::Tcp => {
            // No acknowledgment, header of 5 words, SYN, window.
            let rest = [0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0, 0, 0, 0, 0];
            let sequence = (number << 8).to_be_bytes();
            (6, [&ports[..], &sequence, &rest, &known].concat(), Some(16))
        }
        Protocol::Udp => (17, [&ports[..], &[0, 16, 0, 0], &known].concat(), Some(6)),
        Protocol::Sctp => {
            // INIT; the number takes the place of tag and window.
            let chunk = [&[1, 0, 0, 20][..], &known, &[0, 10, 0, 10, 0, 0, 0, 1]].concat();
            let mut segment = [&ports[..], &[0; 8], &chunk].concat();
            let checksum = crc32c(&segment).to_le_bytes();
            segment[8..12].copy_from_slice(&checksum);
            (132, segment, None)
        }
    };
    let length = u16::try_from(segment.len()).unwrap();
    let (source, destination) = (octets(packet.source), octets(packet.destination));
    if let Some(at) = checksum_at {
        let sum = checksum::transport(packet.source, packet.destination, protocol, &segment);
        segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let header = if packet.source.is_ipv4() {
        let total = (length + 20).to_be_bytes();
        let start = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
        let mut header = [&start[..], &source, &destination].concat();
        let sum = checksum::internet(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    } else {
        let [high, low] = length.to_be_bytes();
        [&[0x60, 0, 0, 0, high, low, protocol, 64][..], &source, &destination].concat()
    };
    [header, segment].concat()
}

/// The number of a packet of ours and what became of it, from the IP header on.
fn decode(bytes: &[u8]) -> Option<(u32, Seen)> {
    let address = |range: std::ops::Range<usize>| -> Option<IpAddr> {
        let octets = bytes.get(range)?;
        match octets.len() {
            4 => Some(<[u8; 4]>::try_from(octets).ok()?.into()),
            _ => Some(<[u8; 16]>::try_from(octets).ok()?.into()),
        }
    };
    let (protocol, source, destination, segment) = match bytes.first()? >> 4 {
        4 => (*bytes.get(9)?, address(12..16)?, address(16..20)?, bytes.get(20..)?),
        _ => (*bytes.get(6)?, address(8..24)?, address(24..40)?, bytes.get(40..)?),
    };
    let word = |at: usize| Some(u32::from_be_bytes(*segment.get(at..)?.first_chunk()?));
    // A reset repeats nothing of what it answers, but acknowledges its sequence numbers.
    if protocol == 6 && segment.get(13)? & 4 != 0 {
        return Some((word(8)? >> 8, Seen::Refusal { to: destination }));
    }
    let at = bytes.windows(4).position(|window| window == MARK)? + 4;
    let number = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    let unreachable = [(1, [3, 3]), (58, [1, 4])];
    let seen = if unreachable.contains(&(protocol, [*segment.first()?, *segment.get(1)?])) {
        Seen::Refusal { to: destination }
    } else if [1, 58].contains(&protocol) {
        // The way out is the way in, which the node tells by redirects.
        return None;
    } else {
        let port = |at: usize| Some(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]));
        Seen::Packet {
            source,
            source_port_kept: port(0)? == source_port(number),
            destination: SocketAddr::new(destination, port(2)?),
        }
    };
    Some((number, seen))
}
