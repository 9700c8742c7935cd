//! Messages of sock_diag(7) about UDP sockets, as bytes: asks for connected ones, destroys one.
//!
//! Layouts: `include/uapi/linux/{netlink,sock_diag,inet_diag}.h`.

use bytemuck::{Pod, Zeroable};
use podway_ebpf_abi::address::{Address, UDP};

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

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A socket of this family.
    Socket(u8, SocketId),
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

    /// Where the socket is connected to, of a socket of `family`.
    pub(crate) const fn peer(&self, family: u8) -> Address {
        if family == FAMILIES[0] {
            Address::v4(self.destination_be[0], self.destination_port_be, UDP)
        } else {
            Address::v6(self.destination_be, self.destination_port_be, UDP)
        }
    }
}

/// Asks for all connected UDP sockets of `family`.
pub(crate) fn dump(family: u8) -> Vec<u8> {
    let none = SocketId::zeroed();
    message(BY_FAMILY, DUMP, family, none)
}

/// Orders the socket `id` of `family` to be destroyed.
pub(crate) fn destroy(family: u8, id: SocketId) -> Vec<u8> {
    message(DESTROY, ACKNOWLEDGED, family, id)
}

fn message(kind: u16, flags: u16, family: u8, id: SocketId) -> Vec<u8> {
    let length = size_of::<Header>() + size_of::<Request>();
    // Far below the limit of the type.
    let length = u32::try_from(length).unwrap_or(0);
    let header = Header { length, kind, flags, sequence: 1, port: 0 };
    let request = Request { family, protocol: UDP, extensions: 0, zero: 0, states: CONNECTED, id };
    [bytemuck::bytes_of(&header), bytemuck::bytes_of(&request)].concat()
}

/// The answers in one datagram of the kernel; what is not understood is left out.
pub(crate) fn answers(mut datagram: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(header) = read::<Header>(datagram) {
        let length = header.length as usize;
        let Some(message) = datagram.get(size_of::<Header>()..length) else { break };
        answers.extend(match header.kind {
            BY_FAMILY => {
                read::<Socket>(message).map(|found| Answer::Socket(found.family, found.id))
            }
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
        let bytes = destroy(FAMILIES[0], socket());
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
        let expected = [Answer::Socket(2, socket()), Answer::Failed(95), Answer::Done];
        assert_eq!(answers(&datagram), expected);
        assert_eq!(answers(&datagram[..40]), [], "a message that is cut off is not read");
        assert_eq!(socket().cookie(), (1 << 32) + 5);
    }
}
