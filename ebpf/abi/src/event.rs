//! What programs tell of single sockets, and whether they do.

use bytemuck::{Pod, Zeroable};

use crate::address::Address;

/// The one element of the map that says whether decisions are told.
///
/// Whoever reads them writes the first two fields, and renews the time while it lives; programs count
/// in the last.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
pub struct Sampling {
    /// One decision of so many is told, by lot; 0 tells none.
    pub one_in: u32,
    /// Always zero.
    pub zero: u32,
    /// Nanoseconds since boot from which on nothing is told any more.
    pub until_ns: u64,
    /// Events that there was no room for.
    pub lost: u64,
}

const _: () = assert!(size_of::<Sampling>() == 24);

/// Bytes of a command's name, with the zero at its end (`TASK_COMM_LEN`).
pub const COMMAND_BYTES: usize = 16;

/// Value of [`Event::hook`]: a socket was connected.
pub const CONNECT: u32 = 1;

/// Value of [`Event::hook`]: a datagram was sent from a socket that is not connected.
pub const SEND: u32 = 2;

/// One decision about one socket.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time_ns: u64,
    /// Cookie of the socket's network namespace.
    pub netns: u64,
    /// Cookie of the socket.
    pub socket: u64,
    /// Where its program wanted to go.
    pub frontend: Address,
    /// The endpoint that it got; all zero when it was refused.
    pub endpoint: Address,
    /// Name of the calling thread's command.
    pub command: [u8; COMMAND_BYTES],
    /// Number of the calling process, as the machine's own namespace of processes has it.
    pub process: u32,
    /// [`CONNECT`] or [`SEND`].
    pub hook: u32,
}

const _: () = assert!(size_of::<Event>() == 88);
