//! What a pool with other content comes to in the maps.

use std::collections::HashSet;

use podway_ebpf_abi::address::{Address, UDP};
use podway_ebpf_abi::table::Range;

use crate::entries::{Update, Write};
use crate::ranges::Block;
use crate::wanted::Content;

impl Update {
    /// The pool `index` gets new content in `block`.
    pub(super) fn refill(
        &mut self,
        index: u32,
        block: Option<Block>,
        (old, new): (&Content, Content),
        is_new: bool,
    ) {
        let (old_members, new_members) = (old.members(), new.members());
        if is_new || old.affinity_seconds != new.affinity_seconds {
            let affinity_seconds = new.affinity_seconds;
            self.filled.push(Write::Pool { pool: index, affinity_seconds, is_new });
        }
        let kept: HashSet<&Address> = new.slots.iter().collect();
        let lost = old.slots.iter().filter(|endpoint| !kept.contains(endpoint));
        self.gone.extend(lost.filter(|endpoint| endpoint.protocol == UDP));
        let added = new_members.iter().filter(|endpoint| !old_members.contains(*endpoint));
        self.filled.extend(added.map(|endpoint| Write::AddMember(*endpoint, index)));
        self.filled.extend(range_writes(index, block, new.slots));
        let removed = old_members.iter().filter(|endpoint| !new_members.contains(*endpoint));
        self.filled.extend(removed.map(|endpoint| Write::RemoveMember(*endpoint, index)));
    }
}

/// Fills `block` with `slots` and makes them those of the pool `index`.
pub(super) fn range_writes(index: u32, block: Option<Block>, slots: Vec<Address>) -> Vec<Write> {
    let count = u32::try_from(slots.len()).unwrap_or(0);
    let range = block.map_or(Range::EMPTY, |block| Range { base: block.base(), count });
    let filled = Write::Slots { base: range.base, pool: index, endpoints: slots };
    let published = Write::Range { pool: index, range };
    if count > 0 { vec![filled, published] } else { vec![published] }
}
