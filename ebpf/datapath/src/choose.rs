//! Which endpoint a frontend gives: by lot, or the one that the client had.

use podway_ebpf_abi::address::{Address, TCP};
use podway_ebpf_abi::state::{AffinityKey, AffinityValue};
use podway_ebpf_abi::table::{Member, Pool, Range};

use crate::tables::Tables;

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// Part of the timeout after which a datagram renews what is remembered.
///
/// An eighth: a map is not written for every datagram, and a client is forgotten at most so much
/// too early.
const RENEWAL: u64 = 8;

/// What a frontend gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is no frontend of ours, or something is not as it should be: nftables decides.
    Leave,
    /// The pool of this index has no endpoint.
    Refuse(u32),
    /// The endpoint and the index of its pool.
    Endpoint(Address, u32),
}

/// Chooses an endpoint for a socket that wants to go to `destination`.
#[inline(always)]
pub fn choose(tables: &impl Tables, destination: &Address) -> Choice {
    let Some(frontend) = tables.frontend(destination) else { return Choice::Leave };
    // An element that was recycled while it was read; the frontend may exist all the same.
    if !frontend.is_for(destination) {
        return Choice::Leave;
    }
    // Asked of sockets that go to a Service only: all others pay nothing for it.
    if tables.is_left_alone() {
        return Choice::Leave;
    }
    let index = frontend.pool;
    let Some(pool) = tables.pool(index) else { return Choice::Leave };
    let range = Range::from_word(pool.range);
    if range.count == 0 {
        return Choice::Refuse(index);
    }
    if pool.affinity_seconds == 0 {
        return draw(tables, range, index, destination);
    }
    keep(tables, &pool, AffinityKey::new(tables.netns(), index), destination)
}

/// Draws a slot. A datagram socket draws the same one as long as the pool stays the same size, so
/// that a conversation without connection has one partner.
#[inline(always)]
fn draw(tables: &impl Tables, range: Range, pool: u32, destination: &Address) -> Choice {
    let lot = if destination.protocol == TCP { tables.random() } else { spread(tables.socket()) };
    match range.slot(lot).and_then(|index| tables.slot(index)) {
        // A slot of another pool: the range was given away between two looks, a second ago or more.
        Some(slot) if slot.pool == pool => Choice::Endpoint(slot.endpoint, pool),
        Some(_) | None => Choice::Leave,
    }
}

/// Gives the client the endpoint that it had, or draws one and remembers it.
#[inline(always)]
fn keep(tables: &impl Tables, pool: &Pool, key: AffinityKey, destination: &Address) -> Choice {
    let now = tables.now_ns();
    let timeout = (pool.affinity_seconds as u64).wrapping_mul(SECOND_NS);
    if let Some(value) = tables.affinity(&key) {
        let idle = now.wrapping_sub(value.last_used_ns);
        let member = Member { endpoint: value.endpoint, pool: key.pool };
        if value.is_for(&key) && idle < timeout && tables.is_member(&member) {
            if destination.protocol == TCP || idle > timeout / RENEWAL {
                tables.remember(&key, &AffinityValue::new(&key, value.endpoint, now));
            }
            return Choice::Endpoint(value.endpoint, key.pool);
        }
    }
    let choice = draw(tables, Range::from_word(pool.range), key.pool, destination);
    if let Choice::Endpoint(endpoint, _) = choice {
        tables.remember(&key, &AffinityValue::new(&key, endpoint, now));
    }
    choice
}

/// Spreads cookies, which count upward, over all of 32 bits.
#[inline(always)]
const fn spread(cookie: u64) -> u32 {
    (cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
