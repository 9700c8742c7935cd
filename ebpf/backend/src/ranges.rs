//! Gives out contiguous slots: a buddy allocator of blocks whose sizes are powers of two.

use std::collections::BTreeSet;

/// Contiguous slots that were given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block {
    /// Index of the first slot; a multiple of the size.
    base: u32,
    /// The size is two to the power of this.
    order: u32,
}

/// The slots that are free.
#[derive(Debug)]
pub(crate) struct Ranges {
    /// First slots of free blocks, by order.
    free: Vec<BTreeSet<u32>>,
}

impl Block {
    /// The block that `count` slots from `base` on would have been given; `None` where such slots
    /// are never given out.
    pub(crate) fn holding(base: u32, count: u32) -> Option<Self> {
        let order = order_of(count)?;
        base.is_multiple_of(1 << order).then_some(Self { base, order })
    }

    /// Index of the first slot.
    pub(crate) const fn base(self) -> u32 {
        self.base
    }
}

impl Ranges {
    /// Slots 0 to two to the power of `order`, all free.
    pub(crate) fn new(order: u32) -> Self {
        let mut free: Vec<BTreeSet<u32>> = (0..=order).map(|_| BTreeSet::new()).collect();
        if let Some(whole) = free.last_mut() {
            whole.insert(0);
        }
        Self { free }
    }

    /// Takes the smallest block that holds `count` slots; `None` when there is none.
    pub(crate) fn take(&mut self, count: u32) -> Option<Block> {
        let order = order_of(count)?;
        let from = (order..).zip(self.free.iter().skip(order as usize));
        let (found, base) =
            from.filter_map(|(found, free)| Some((found, *free.first()?))).next()?;
        self.split(Block { base, order: found }, Block { base, order });
        Some(Block { base, order })
    }

    /// Takes exactly `block`; says whether it was free.
    pub(crate) fn reserve(&mut self, block: Block) -> bool {
        let outer = (block.order..).zip(self.free.iter().skip(block.order as usize));
        let around = |order: u32| Block { base: block.base & !((1 << order) - 1), order };
        let found = outer
            .map(|(order, free)| (around(order), free))
            .find(|(around, free)| free.contains(&around.base));
        let Some((outer, _)) = found else { return false };
        self.split(outer, block);
        true
    }

    /// Gives `block` back.
    pub(crate) fn give_back(&mut self, block: Block) {
        let Block { mut base, mut order } = block;
        let largest = self.free.len().saturating_sub(1);
        while (order as usize) < largest {
            let buddy = base ^ (1 << order);
            if !self.free.get_mut(order as usize).is_some_and(|free| free.remove(&buddy)) {
                break;
            }
            base = base.min(buddy);
            order += 1;
        }
        if let Some(free) = self.free.get_mut(order as usize) {
            free.insert(base);
        }
    }

    /// Takes the free block `outer`, of which only `inner` is wanted.
    fn split(&mut self, outer: Block, inner: Block) {
        if let Some(free) = self.free.get_mut(outer.order as usize) {
            free.remove(&outer.base);
        }
        let mut base = outer.base;
        for order in (inner.order..outer.order).rev() {
            let half = 1 << order;
            let (kept, freed) =
                if inner.base & half == 0 { (base, base + half) } else { (base + half, base) };
            if let Some(free) = self.free.get_mut(order as usize) {
                free.insert(freed);
            }
            base = kept;
        }
    }
}

/// The power of two that holds `count`; `None` for nothing and for too much.
fn order_of(count: u32) -> Option<u32> {
    if count == 0 { None } else { count.checked_next_power_of_two().map(u32::trailing_zeros) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn block_is_as_large_as_needed_and_aligned() {
        let mut ranges = Ranges::new(4);
        assert_eq!(ranges.take(3), Some(Block { base: 0, order: 2 }));
        assert_eq!(ranges.take(1), Some(Block { base: 4, order: 0 }));
        assert_eq!(ranges.take(5), Some(Block { base: 8, order: 3 }));
        assert_eq!(ranges.take(4), None, "what is left is in pieces");
        assert_eq!(ranges.take(0), None);
        assert_eq!(ranges.take(17), None);
    }

    #[test]
    fn block_that_is_taken_cannot_be_reserved() {
        let mut ranges = Ranges::new(4);
        let block = Block::holding(8, 3).expect("aligned");
        assert!(ranges.reserve(block));
        assert!(!ranges.reserve(block));
        assert!(!ranges.reserve(Block { base: 8, order: 1 }), "inside of it");
        assert!(ranges.reserve(Block { base: 12, order: 2 }), "beside it");
        assert_eq!(Block::holding(2, 3), None, "not aligned");
    }

    proptest! {
        /// Blocks never overlap, and all slots come back.
        #[test]
        fn blocks_do_not_overlap_and_come_back(counts in prop::collection::vec(1_u32..40, 1..60)) {
            let mut ranges = Ranges::new(10);
            let mut used = BTreeSet::new();
            let mut taken = Vec::new();
            for (turn, count) in counts.into_iter().enumerate() {
                if turn % 3 == 2 && !taken.is_empty() {
                    let block: Block = taken.swap_remove(turn % taken.len());
                    for slot in block.base..block.base + (1 << block.order) {
                        prop_assert!(used.remove(&slot));
                    }
                    ranges.give_back(block);
                } else if let Some(block) = ranges.take(count) {
                    prop_assert!(1 << block.order >= count);
                    for slot in block.base..block.base + (1 << block.order) {
                        prop_assert!(slot < 1024 && used.insert(slot), "slot {slot} given twice");
                    }
                    taken.push(block);
                }
            }
            for block in taken {
                ranges.give_back(block);
            }
            prop_assert_eq!(ranges.take(1024), Some(Block { base: 0, order: 10 }));
        }
    }
}
