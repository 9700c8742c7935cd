//! Compares what is in the maps with what should be.

use std::collections::HashSet;

use podway_ebpf_abi::address::Address;

use crate::entries::refill::range_writes;
use crate::entries::{Entries, Kept, Write};
use crate::found::Found;

impl Entries {
    /// What to write so that maps that hold `found` hold what they should.
    #[must_use]
    pub fn repairs(&self, found: &Found) -> Vec<Write> {
        let mut writes = Vec::new();
        for Kept { index, block, content } in self.pools.values() {
            let there = found.pools.get(index);
            if there.is_some_and(|pool| pool.block == *block && pool.content == *content) {
                continue;
            }
            // A pool that no frontend leads to was not read, and is written though it is right.
            let affinity_seconds = content.affinity_seconds;
            writes.push(Write::Pool { pool: *index, affinity_seconds, is_new: false });
            writes.extend(range_writes(*index, *block, content.slots.clone()));
        }
        let wanted: HashSet<(Address, u32)> = self
            .pools
            .values()
            .flat_map(|kept| kept.content.members().into_iter().map(|member| (member, kept.index)))
            .collect();
        let members: HashSet<(Address, u32)> =
            found.members.iter().map(|member| (member.endpoint, member.pool)).collect();
        let add =
            wanted.difference(&members).map(|(member, pool)| Write::AddMember(*member, *pool));
        writes.extend(add);
        let remove = members.difference(&wanted);
        writes.extend(remove.map(|(member, pool)| Write::RemoveMember(*member, *pool)));
        let differs = |key: &Address, pool: u32| found.frontends.get(key) != Some(&pool);
        let lead = self.frontends.iter().filter(|(key, pool)| differs(key, **pool));
        writes.extend(lead.map(|(key, pool)| Write::Frontend(*key, *pool)));
        let strange = found.frontends.keys().filter(|key| !self.frontends.contains_key(key));
        writes.extend(strange.map(|key| Write::RemoveFrontend(*key)));
        writes
    }
}
