//! What decisions need of the kernel: maps, and what is known of the calling socket.

use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::event::{COMMAND_BYTES, Event};
use podway_ebpf_abi::state::{AffinityKey, AffinityValue, PeerKey, PeerValue, SocketState};
use podway_ebpf_abi::table::{FrontendValue, Member, Pool, Slot};

/// The maps and the calling socket. Values are copies: what a map holds may change meanwhile.
pub trait Tables {
    /// The value of the frontend `key`.
    fn frontend(&self, key: &Address) -> Option<FrontendValue>;
    /// The pool `index`.
    fn pool(&self, index: u32) -> Option<Pool>;
    /// The slot `index`.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// Whether a pool with affinity has this endpoint now.
    fn is_member(&self, member: &Member) -> bool;
    /// Whether sockets of the calling socket's network namespace are left alone.
    fn is_left_alone(&self) -> bool;
    /// What is remembered of a client.
    fn affinity(&self, key: &AffinityKey) -> Option<AffinityValue>;
    /// Remembers a client.
    fn remember(&self, key: &AffinityKey, value: &AffinityValue);
    /// Cookie of the calling socket's network namespace.
    fn netns(&self) -> u64;
    /// Cookie of the calling socket.
    fn socket(&self) -> u64;
    /// A random number.
    fn random(&self) -> u32;
    /// Nanoseconds since boot.
    fn now_ns(&self) -> u64;
    /// What the calling socket was translated from and to.
    fn socket_state(&self) -> Option<SocketState>;
    /// Keeps the state with the calling socket; says whether that worked.
    fn set_socket_state(&self, state: &SocketState) -> bool;
    /// Forgets the state of the calling socket, if it has any.
    fn clear_socket_state(&self);
    /// What is known of a peer.
    fn peer(&self, key: &PeerKey) -> Option<PeerValue>;
    /// Remembers a peer; says whether that worked.
    fn set_peer(&self, key: &PeerKey, value: &PeerValue) -> bool;
    /// Counts what was decided for a socket or datagram at the pool of this index.
    fn count(&self, pool: u32, outcome: Outcome);
    /// One decision of how many is told; 0 for none.
    fn told_one_in(&self) -> u32;
    /// Nanoseconds since boot from which on no decision is told.
    fn told_until_ns(&self) -> u64;
    /// Number and command of the calling process.
    fn caller(&self) -> (u32, [u8; COMMAND_BYTES]);
    /// Tells `event`, or counts it as lost.
    fn tell(&self, event: &Event);
}

/// What was decided, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A socket was connected to an endpoint.
    Connected,
    /// A datagram of an unconnected socket was sent to an endpoint.
    Sent,
    /// There was no endpoint.
    Refused,
}
