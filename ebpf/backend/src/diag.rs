//! Messages of sock_diag(7), as bytes: asks for connected sockets, destroys one.
//!
//! Layouts: `include/uapi/linux/{netlink,sock_diag,inet_diag}.h`. The kernel tells what programs keep
//! with a TCP socket, when it is asked for a map of such state; it does not for UDP.

use bytemuck::{Pod, Zeroable};
use podway_ebpf_abi::address::{Address, TCP};
use podway_ebpf_abi::state::SocketState;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;

/// `SOCK_DESTROY`.
const DESTROY: u16 = 21;

/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;

/// `NLM_F_REQUEST | NLM_F_ACK`.
const ACKNOWLEDGED: u16 = 0x5;

/// `NLMSG_ERROR`; an error of 0 acknowledges.
const ERROR: u16 = 2;

/// `NLMSG_DONE`.
const DONE: u16 = 3;

/// The state of sockets that are connected: `1 << TCP_ESTABLISHED`.
const CONNECTED: u32 = 1 << 1;

/// States of TCP in which a socket may still wait for its peer: `ESTABLISHED`, `SYN_SENT`,
/// `FIN_WAIT1`, `FIN_WAIT2`, `CLOSE_WAIT`, `LAST_ACK`.
const WAITING: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9;

/// `INET_DIAG_REQ_SK_BPF_STORAGES`.
const ASK_STORAGES: u16 = 2;

/// `SK_DIAG_BPF_STORAGE_REQ_MAP_FD`.
const ASK_MAP: u16 = 1;

/// `INET_DIAG_SK_BPF_STORAGES`.
const STORAGES: u16 = 20;

/// `SK_DIAG_BPF_STORAGE`.
const STORAGE: u16 = 1;

/// `SK_DIAG_BPF_STORAGE_MAP_VALUE`.
const STORAGE_VALUE: u16 = 3;

/// The bits of an attribute's type that are no flags.
const TYPE: u16 = 0x3fff;

/// Bytes of `struct inet_diag_msg`.
const SOCKET_BYTES: usize = 72;

/// Families of sockets: `AF_INET` and `AF_INET6`.
pub(crate) const FAMILIES: [u8; 2] = [2, 10];

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// `struct inet_diag_sockid`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct SocketId {
    source_port_be: u16,
    destination_port_be: u16,
    source_be: [u32; 4],
    destination_be: [u32; 4],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    zero: u8,
    states: u32,
    id: SocketId,
}

/// The beginning of `struct inet_diag_msg`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Socket {
    family: u8,
    state: u8,
    timer: u8,
    retransmissions: u8,
    id: SocketId,
}

/// `struct nlattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct AttributeHeader {
    length: u16,
    kind: u16,
}

/// Sockets of one family and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// One of [`FAMILIES`].
    pub(crate) family: u8,
    /// TCP or UDP.
    pub(crate) protocol: u8,
}

/// A socket that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) family: u8,
    pub(crate) id: SocketId,
    /// What our programs keep with it, as far as the kernel tells.
    pub(crate) state: Option<SocketState>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A socket.
    Socket(Found),
    /// There are no more, or the order was carried out.
    Done,
    /// It could not be done: a number of errno.
    Failed(i32),
}

impl SocketId {
    /// Cookie of the socket.
    pub(crate) const fn cookie(&self) -> u64 {
        let [low, high] = self.cookie;
        low as u64 | ((high as u64) << 32)
    }

    /// Where the socket is connected to, of a socket of `kind`.
    pub(crate) const fn peer(&self, kind: Kind) -> Address {
        if kind.family == FAMILIES[0] {
            Address::v4(self.destination_be[0], self.destination_port_be, kind.protocol)
        } else {
            Address::v6(self.destination_be, self.destination_port_be, kind.protocol)
        }
    }
}

/// Asks for all connected sockets of `kind`; for TCP with what is kept in the map `states`, a
/// descriptor.
pub(crate) fn dump(kind: Kind, states: u32) -> Vec<u8> {
    let none = SocketId::zeroed();
    if kind.protocol != TCP {
        return message(BY_FAMILY, DUMP, kind, none, &[]);
    }
    let map = attribute(ASK_MAP, &states.to_ne_bytes());
    message(BY_FAMILY, DUMP, kind, none, &attribute(ASK_STORAGES, &map))
}

/// Orders the socket `id` of `kind` to be destroyed.
pub(crate) fn destroy(kind: Kind, id: SocketId) -> Vec<u8> {
    message(DESTROY, ACKNOWLEDGED, kind, id, &[])
}

fn message(order: u16, flags: u16, kind: Kind, id: SocketId, attributes: &[u8]) -> Vec<u8> {
    let length = size_of::<Header>() + size_of::<Request>() + attributes.len();
    // Far below the limit of the type.
    let length = u32::try_from(length).unwrap_or(0);
    let header = Header { length, kind: order, flags, sequence: 1, port: 0 };
    let Kind { family, protocol } = kind;
    let states = if protocol == TCP { WAITING } else { CONNECTED };
    let request = Request { family, protocol, extensions: 0, zero: 0, states, id };
    [bytemuck::bytes_of(&header), bytemuck::bytes_of(&request), attributes].concat()
}

/// An attribute whose value fills words.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // Far below the limit of the type.
    let length = u16::try_from(size_of::<AttributeHeader>() + value.len()).unwrap_or(0);
    [bytemuck::bytes_of(&AttributeHeader { length, kind }), value].concat()
}

/// The value of the first attribute of this type.
fn value(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let header = read::<AttributeHeader>(attributes)?;
        let length = usize::from(header.length);
        let value = attributes.get(size_of::<AttributeHeader>()..length)?;
        if header.kind & TYPE == kind {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// What the message about a socket says of the state that programs keep with it.
fn state(message: &[u8]) -> Option<SocketState> {
    let storages = value(message.get(SOCKET_BYTES..)?, STORAGES)?;
    read(value(value(storages, STORAGE)?, STORAGE_VALUE)?)
}

/// The answers in one datagram of the kernel; what is not understood is left out.
pub(crate) fn answers(mut datagram: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(header) = read::<Header>(datagram) {
        let length = header.length as usize;
        let Some(message) = datagram.get(size_of::<Header>()..length) else { break };
        answers.extend(match header.kind {
            BY_FAMILY => read::<Socket>(message).map(|socket| {
                let Socket { family, id, .. } = socket;
                Answer::Socket(Found { family, id, state: state(message) })
            }),
            DONE => Some(Answer::Done),
            ERROR => read::<i32>(message).map(|error| match error {
                0 => Answer::Done,
                error => Answer::Failed(-error),
            }),
            _ => None,
        });
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    bytes.get(..size_of::<T>()).map(bytemuck::pod_read_unaligned)
}

#[cfg(test)]
mod tests {
    use podway_ebpf_abi::address::UDP;

    use super::*;

    fn socket() -> SocketId {
        SocketId {
            source_port_be: 1,
            destination_port_be: 53_u16.to_be(),
            source_be: [0; 4],
            destination_be: [u32::from_ne_bytes([10, 244, 1, 7]), 0, 0, 0],
            interface: 0,
            cookie: [5, 1],
        }
    }

    #[test]
    fn order_names_the_socket_and_nothing_else() {
        let bytes = destroy(Kind { family: FAMILIES[0], protocol: UDP }, socket());
        assert_eq!(bytes.len(), 72);
        assert_eq!(
            read::<Header>(&bytes).map(|header| (header.length, header.kind)),
            Some((72, 21))
        );
        assert_eq!(read::<Request>(&bytes[16..]).map(|request| request.id), Some(socket()));
    }

    #[test]
    fn answers_are_read_until_the_datagram_ends() {
        let header = |kind, length: usize| Header {
            length: u32::try_from(length).expect("short"),
            kind,
            flags: 0,
            sequence: 1,
            port: 0,
        };
        let found = Socket { family: 2, state: 1, timer: 0, retransmissions: 0, id: socket() };
        let mut datagram = Vec::new();
        datagram.extend(bytemuck::bytes_of(&header(BY_FAMILY, 16 + 52)));
        datagram.extend(bytemuck::bytes_of(&found));
        datagram.extend(bytemuck::bytes_of(&header(ERROR, 20)));
        datagram.extend((-95_i32).to_ne_bytes());
        datagram.extend(bytemuck::bytes_of(&header(DONE, 20)));
        datagram.extend([0; 4]);
        let found = Found { family: 2, id: socket(), state: None };
        let expected = [Answer::Socket(found), Answer::Failed(95), Answer::Done];
        assert_eq!(answers(&datagram), expected);
        assert_eq!(answers(&datagram[..40]), [], "a message that is cut off is not read");
        assert_eq!(socket().cookie(), (1 << 32) + 5);
    }

    #[test]
    fn state_of_a_tcp_socket_is_asked_for_and_read() {
        let kind = Kind { family: FAMILIES[1], protocol: TCP };
        let bytes = dump(kind, 7);
        assert_eq!(read::<Header>(&bytes).map(|header| header.length), Some(72 + 12));
        assert_eq!(bytes[72..], [12, 0, 2, 0, 8, 0, 1, 0, 7, 0, 0, 0]);

        let endpoint = Address::v4(1, 2, TCP);
        let kept = SocketState { endpoint, frontend: Address::v4(3, 4, TCP), pool: 5 };
        let of_map = [attribute(2, &[9, 0, 0, 0]), attribute(3, bytemuck::bytes_of(&kept))];
        let storages = attribute(STORAGES, &attribute(STORAGE, &of_map.concat()));
        let message = [vec![0; SOCKET_BYTES], attribute(8, &[0; 4]), storages].concat();
        assert_eq!(state(&message), Some(kept));
        assert_eq!(state(&message[..message.len() - 1]), None, "cut off");
        assert_eq!(state(&[0; SOCKET_BYTES]), None, "nothing is kept");
    }
}
