//! EDGE: makes addresses of the cluster's DNS local to the node, by rtnetlink.
//!
//! By routes to the loopback interface and not by addresses on it: packets are delivered all the
//! same, and programs of the node that ask speak from the node's own address. From an address that
//! goes away with us they could not be answered by another node. Nor does anybody take it for an
//! address of the node. The routes carry a protocol number by which they are told from others.

use std::io;
use std::net::IpAddr;

use netlink_bindings::rt_route::{OpDelrouteDo, OpGetrouteDump, OpNewrouteDo, Rtmsg};
use netlink_bindings::traits::NetlinkRequest;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::net::if_::if_nametoindex;
use podway_proxy_nft::socket::{Acknowledgement, NLMSG_DONE, NLMSG_ERROR, messages};

/// Who made a route (`rtm_protocol`): a number that no known routing daemon has.
const OURS: u8 = 0x50;

/// The interface.
const LOOPBACK: &str = "lo";

/// `RTM_NEWROUTE`, `RTM_DELROUTE`, `RTM_GETROUTE`.
const NEW: u16 = 24;
const DELETE: u16 = 25;
const DUMP: u16 = 26;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;

/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];

/// `RT_TABLE_MAIN`.
const TABLE_MAIN: u8 = 254;

/// `RT_TABLE_LOCAL`, `RT_SCOPE_HOST`, `RTN_LOCAL`: what the kernel's own routes to addresses of the
/// node have.
const TABLE_LOCAL: u8 = 255;
const SCOPE_HOST: u8 = 254;
const TYPE_LOCAL: u8 = 2;

/// Length of `struct nlmsghdr` in bytes.
const HEADER_BYTES: usize = 16;

/// Addresses that are made local, in the network namespace of the thread that opened it.
pub(crate) struct Addresses {
    socket: Socket,
    interface: u32,
}

impl Addresses {
    /// Opens a socket to the kernel.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, interface: if_nametoindex(LOOPBACK)? })
    }

    /// Makes `address` local; programs of the node speak to it from `source`, one of the node's own
    /// addresses. Where it is local already, only that is made so.
    pub(crate) fn add(&self, address: IpAddr, source: Option<IpAddr>) -> io::Result<()> {
        tables(address).iter().try_for_each(|table| {
            let mut payload = Vec::new();
            let request = OpNewrouteDo::encode_request(&mut payload, &header(address, *table));
            let request = request.push_dst(address).push_oif(self.interface);
            match source {
                Some(source) => drop(request.push_prefsrc(source)),
                None => drop(request),
            }
            self.change(NEW, NLM_F_CREATE | NLM_F_REPLACE, &payload)
        })
    }

    /// Undoes that; that `address` is not local by us is no error.
    pub(crate) fn remove(&self, address: IpAddr) -> io::Result<()> {
        tables(address).iter().try_for_each(|table| {
            let mut payload = Vec::new();
            let request = OpDelrouteDo::encode_request(&mut payload, &header(address, *table));
            drop(request.push_dst(address).push_oif(self.interface));
            match self.change(DELETE, 0, &payload) {
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
                result => result,
            }
        })
    }

    /// The addresses that are local by us, in this run or another.
    pub(crate) fn ours(&self) -> io::Result<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        for family in FAMILIES {
            let mut header = Rtmsg::new();
            (header.rtm_family, header.rtm_table) = (family, TABLE_LOCAL);
            self.send(DUMP, NLM_F_DUMP, header.as_slice())?;
            'dump: loop {
                let (datagram, _) = self.socket.recv_from_full()?;
                for message in messages(&datagram) {
                    match message.kind {
                        NLMSG_DONE => break 'dump,
                        NLMSG_ERROR => acknowledged(message.payload)?,
                        _ => {
                            let (header, attributes) =
                                OpGetrouteDump::decode_reply(message.payload);
                            if header.rtm_protocol == OURS && header.rtm_table == TABLE_LOCAL {
                                addresses.extend(attributes.get_dst().ok());
                            }
                        }
                    }
                }
            }
        }
        Ok(addresses)
    }

    /// Sends a request that changes something, and waits for what becomes of it.
    fn change(&self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<()> {
        self.send(kind, flags | NLM_F_ACK, payload)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            if let Some(message) = messages(&datagram).find(|one| one.kind == NLMSG_ERROR) {
                return acknowledged(message.payload);
            }
        }
    }

    fn send(&self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(HEADER_BYTES + payload.len()).unwrap_or(u32::MAX);
        let mut message = length.to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(payload);
        self.socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }
}

/// The tables that the route to `address` stands in.
///
/// A socket of the node that is connected keeps its IPv6 route until something changes in the table
/// that it is from; without the second, one that began while the address was not local would go on
/// sending to the default route.
const fn tables(address: IpAddr) -> &'static [u8] {
    match address {
        IpAddr::V4(_) => &[TABLE_LOCAL],
        IpAddr::V6(_) => &[TABLE_LOCAL, TABLE_MAIN],
    }
}

/// What all requests about the route to `address` in `table` begin with.
fn header(address: IpAddr, table: u8) -> Rtmsg {
    let [v4, v6] = FAMILIES;
    let mut header = Rtmsg::new();
    (header.rtm_family, header.rtm_dst_len) = match address {
        IpAddr::V4(_) => (v4, 32),
        IpAddr::V6(_) => (v6, 128),
    };
    header.rtm_table = table;
    header.rtm_protocol = OURS;
    header.rtm_scope = SCOPE_HOST;
    header.rtm_type = TYPE_LOCAL;
    header
}

/// What an acknowledgement says.
fn acknowledged(payload: &[u8]) -> io::Result<()> {
    let acknowledgement = Acknowledgement::read(payload).ok_or(io::ErrorKind::InvalidData)?;
    acknowledgement.error.map_or(Ok(()), Err)
}
