//! What is told of single decisions, while somebody listens.
//!
//! While nobody does, a decision pays for one look at one word. Whoever listens renews a time in the
//! map; once that has passed nothing is told any more, whatever became of the listener.

use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::event::Event;

use crate::tables::Tables;

/// An address that is none: the endpoint of a socket that was refused.
pub const NO_ADDRESS: Address = Address { words_be: [0; 4], port_be: 0, protocol: 0, family: 0 };

/// Tells that the calling socket, at `hook`, wanted to go to `frontend` and got `endpoint`, if the
/// lot falls on it.
#[inline(always)]
pub fn tell(tables: &impl Tables, hook: u32, frontend: &Address, endpoint: Address) {
    let one_in = tables.told_one_in();
    if one_in == 0 {
        return;
    }
    let now = tables.now_ns();
    if now >= tables.told_until_ns() || !is_drawn(tables.random(), one_in) {
        return;
    }
    let (process, command) = tables.caller();
    tables.tell(&Event {
        time_ns: now,
        netns: tables.netns(),
        socket: tables.socket(),
        frontend: *frontend,
        endpoint,
        command,
        process,
        hook,
    });
}

/// Whether `lot`, any number, is the first of `one_in` equal shares of all.
#[inline(always)]
const fn is_drawn(lot: u32, one_in: u32) -> bool {
    (lot as u64 * one_in as u64) >> 32 == 0
}
