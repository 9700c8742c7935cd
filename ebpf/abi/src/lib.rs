//! Layouts of the maps that the eBPF programs and the daemon share.
//!
//! Both sides compile this crate, so that they cannot differ. Addresses and ports are in network
//! order as the kernel hands them to programs; every pad is a field, and zero.
//!
//! | module | owns |
//! |---|---|
//! | [`address`] | an address with port, protocol and family |
//! | [`table`] | what the daemon writes: frontends, pools, slots, members |
//! | [`state`] | what programs write: sockets, peers, affinity, counters |
//! | [`event`] | what programs tell of single sockets, and whether they do |
//! | [`name`] | names and capacities of the maps |
#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod event;
pub mod name;
pub mod state;
pub mod table;

/// Version of all layouts together: maps of another version are not reused.
///
/// To be raised with every change of a type, of a key's meaning or of a capacity.
pub const LAYOUT: u32 = 1;

/// Folds one more word into a running checksum.
///
/// Multiplication spreads a word over the upper half, rotation brings it back into the lower.
#[inline(always)]
#[must_use]
pub(crate) const fn fold(sum: u64, word: u32) -> u64 {
    (sum ^ word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
