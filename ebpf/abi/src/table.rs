//! What the daemon writes and programs read: frontends, pools, slots, members.
//!
//! A frontend leads to a pool, the pool's one word to a range of slots, a slot to an endpoint. Many
//! frontends share a pool, so one store of that word changes them all at once.
//!
//! An element of a hash map may be recycled for another key while a program still reads it (Linux
//! since 6.1). A value read from one therefore carries a checksum of its key and itself; array
//! elements are never recycled and need none.

use bytemuck::{Pod, Zeroable};

use crate::address::Address;
use crate::fold;

/// Value of the map of frontends.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FrontendValue {
    /// Checksum of the key and of the fields below.
    pub check: u64,
    /// Index of its pool.
    pub pool: u32,
    /// Always zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<FrontendValue>() == 16);

/// Element of the array of pools.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Pool {
    /// Where its slots are: see [`Range`].
    pub range: u64,
    /// How long a client keeps its endpoint; 0 where it chooses anew each time.
    pub affinity_seconds: u32,
    /// Always zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<Pool>() == 16);

/// Contiguous slots, in one word that is stored and loaded whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// Index of the first slot.
    pub base: u32,
    /// Number of slots; 0 refuses connections.
    pub count: u32,
}

/// Element of the array of slots.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Slot {
    /// The endpoint.
    pub endpoint: Address,
    /// Index of the pool that the slot belongs to.
    pub pool: u32,
}

const _: () = assert!(size_of::<Slot>() == 24);

/// Key of the set of members: which endpoints a pool with affinity has.
///
/// It has the layout of a slot, and is one.
pub type Member = Slot;

impl FrontendValue {
    /// The value that leads from `key` to `pool`.
    #[must_use]
    pub const fn new(key: &Address, pool: u32) -> Self {
        Self { check: Self::checksum(key, pool), pool, zero: 0 }
    }

    /// Whether this was written for `key`, whole.
    #[inline(always)]
    #[must_use]
    pub const fn is_for(&self, key: &Address) -> bool {
        self.check == Self::checksum(key, self.pool)
    }

    #[inline(always)]
    const fn checksum(key: &Address, pool: u32) -> u64 {
        fold(key.fold(0x706f_6477_6179), pool)
    }
}

impl Range {
    /// No slot.
    pub const EMPTY: Self = Self { base: 0, count: 0 };

    /// The range as one word.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u64 {
        ((self.base as u64) << 32) | self.count as u64
    }

    /// The range that `word` stands for.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "each half of the word is taken apart")]
    pub const fn from_word(word: u64) -> Self {
        Self { base: (word >> 32) as u32, count: word as u32 }
    }

    /// The slot that `draw`, any number, falls on; `None` in an empty range.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self, draw: u32) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let share = ((draw as u64 * self.count as u64) >> 32) as u32;
        Some(self.base.wrapping_add(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{TCP, UDP};

    #[test]
    fn value_of_another_key_or_with_another_pool_is_told() {
        let key = Address::v4(1, 2, TCP);
        let value = FrontendValue::new(&key, 7);
        assert!(value.is_for(&key));
        assert!(!value.is_for(&Address { protocol: UDP, ..key }));
        assert!(!FrontendValue { pool: 8, ..value }.is_for(&key), "torn between two values");
    }

    #[test]
    fn range_is_one_word() {
        let range = Range { base: 262_140, count: 4 };
        assert_eq!(Range::from_word(range.word()), range);
        assert_eq!(Range::EMPTY.word(), 0);
    }

    #[test]
    fn every_draw_falls_inside_the_range() {
        let range = Range { base: 8, count: 3 };
        let drawn = [0, 1, u32::MAX / 3 + 1, u32::MAX / 3 * 2 + 2, u32::MAX];
        assert_eq!(drawn.map(|draw| range.slot(draw)), [8, 8, 9, 10, 10].map(Some));
        assert_eq!(Range::EMPTY.slot(5), None);
    }
}
