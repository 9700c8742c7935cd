//! What an earlier run left in the maps.

use std::cell::Cell;
use std::collections::HashMap;

use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::table::{FrontendValue, Member, Pool, Range, Slot};

use crate::indices::Indices;
use crate::ranges::{Block, Ranges};
use crate::wanted::Content;

/// What is found in the maps at the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Frontends with their pools.
    pub(crate) frontends: HashMap<Address, u32>,
    /// Pools that frontends lead to.
    pub(crate) pools: HashMap<u32, FoundPool>,
    /// Members of pools with affinity.
    pub(crate) members: Vec<Member>,
}

/// A pool found in the maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundPool {
    pub(crate) block: Option<Block>,
    pub(crate) content: Content,
    /// Whether a pool of this run has taken it over.
    pub(crate) claimed: Cell<bool>,
}

impl Found {
    /// Puts together what was read: `pool` and `slot` read one element each.
    ///
    /// Whatever does not fit together is not believed: its frontends are kept as found without a
    /// pool, and so are removed or led elsewhere.
    pub fn read(
        frontends: impl IntoIterator<Item = (Address, FrontendValue)>,
        members: Vec<Member>,
        pool: impl Fn(u32) -> Option<Pool>,
        slot: impl Fn(u32) -> Option<Slot>,
    ) -> Self {
        let mut found = Self { members, ..Self::default() };
        for (key, value) in frontends {
            let index = if value.is_for(&key) { value.pool } else { u32::MAX };
            found.frontends.insert(key, index);
            if !found.pools.contains_key(&index)
                && let Some(pool) = pool(index).and_then(|pool| FoundPool::read(index, pool, &slot))
            {
                found.pools.insert(index, pool);
            }
        }
        found
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frontends.is_empty()
    }

    /// Keeps those pools whose index and slots nobody else has.
    pub(crate) fn claim(mut self, indices: &mut Indices, ranges: &mut Ranges) -> Self {
        self.pools.retain(|index, pool| {
            if !indices.reserve(*index) {
                return false;
            }
            let fits = pool.block.is_none_or(|block| ranges.reserve(block));
            if !fits {
                indices.give_back(*index);
            }
            fits
        });
        self
    }

    /// The pool `index`, while nobody has taken it over.
    pub(crate) fn unclaimed(&self, index: u32) -> Option<&FoundPool> {
        self.pools.get(&index).filter(|pool| !pool.claimed.get())
    }
}

impl FoundPool {
    fn read(index: u32, pool: Pool, slot: impl Fn(u32) -> Option<Slot>) -> Option<Self> {
        let Range { base, count } = Range::from_word(pool.range);
        let block = if count == 0 { None } else { Some(Block::holding(base, count)?) };
        let slots = (base..base.checked_add(count)?)
            .map(|place| slot(place).filter(|slot| slot.pool == index).map(|slot| slot.endpoint))
            .collect::<Option<Vec<Address>>>()?;
        let content = Content { slots, affinity_seconds: pool.affinity_seconds };
        Some(Self { block, content, claimed: Cell::new(false) })
    }
}
