//! What is in the maps, and what to write when plans change; writes nothing itself.
//!
//! A pool that changes gets a fresh range of slots and then one word, so a program sees the old
//! endpoints whole or the new ones whole. What was replaced is given out again after `GRACE` only:
//! a program may still be reading it.
//!
//! Order to nftables: an update of what is there comes before its rules and so does removing a
//! frontend, whose sockets then meet nftables; a new frontend comes after them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use podway_cluster_model::name::ServiceName;
use podway_ebpf_abi::address::{Address, UDP};
use podway_ebpf_abi::name::{MAX_FRONTENDS, MAX_MEMBERS, MAX_POOLS, MAX_SLOTS};
use podway_ebpf_abi::table::Range;
use podway_proxy_plan::plan::ServicePlan;

use crate::carry::Site;
use crate::found::Found;
use crate::indices::Indices;
use crate::ranges::{Block, Ranges};
use crate::wanted::{Content, PoolName, Wanted, wanted};

mod refill;
mod repair;

/// Time before slots and indices are given out again.
///
/// 1 s: a program runs for microseconds and cannot sleep.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// One change of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// These slots, from `base` on, get these endpoints.
    Slots {
        /// Index of the first.
        base: u32,
        /// The pool that they belong to.
        pool: u32,
        /// Their endpoints.
        endpoints: Vec<Address>,
    },
    /// The pool begins to count anew, and gives its endpoints to clients for so long.
    Pool {
        /// Its index.
        pool: u32,
        /// How long a client keeps its endpoint.
        affinity_seconds: u32,
        /// Whether it stood for another Service port before.
        is_new: bool,
    },
    /// The pool's slots are these: one word.
    Range {
        /// Its index.
        pool: u32,
        /// Where they are.
        range: Range,
    },
    /// A pool with affinity has this endpoint.
    AddMember(Address, u32),
    /// It does not have it any more.
    RemoveMember(Address, u32),
    /// The frontend leads to this pool.
    Frontend(Address, u32),
    /// The frontend is left to nftables.
    RemoveFrontend(Address),
}

/// What to write for one update, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Before the rules of nftables.
    pub before: Vec<Write>,
    /// After them.
    pub after: Vec<Write>,
    /// UDP endpoints that a pool had and has no more: connected sockets do not hear of it.
    pub gone: BTreeSet<Address>,
}

/// What is in the maps.
#[derive(Debug)]
pub struct Entries {
    site: Site,
    pools: HashMap<PoolName, Kept>,
    /// Every frontend in the map, with its pool.
    frontends: HashMap<Address, u32>,
    services: HashMap<ServiceName, Holding>,
    members: usize,
    indices: Indices,
    ranges: Ranges,
    retired: VecDeque<(Instant, Retired)>,
    /// Services that found no room; they are tried again.
    without_room: BTreeMap<ServiceName, Arc<ServicePlan>>,
    /// What an earlier run left, until the first update.
    found: Option<Found>,
}

/// One pool in the maps.
#[derive(Debug)]
struct Kept {
    index: u32,
    block: Option<Block>,
    content: Content,
}

/// What one Service has in the maps.
#[derive(Debug, Default)]
struct Holding {
    pools: Vec<PoolName>,
    frontends: Vec<Address>,
}

/// What is given out again after a while.
#[derive(Debug, Clone, Copy)]
enum Retired {
    Index(u32),
    Block(Block),
}

/// There is no room for a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Full;

impl Entries {
    /// Empty maps, or maps as an earlier run left them.
    #[must_use]
    pub fn new(site: Site, found: Found) -> Self {
        let mut indices = Indices::new(MAX_POOLS);
        let mut ranges = Ranges::new(MAX_SLOTS.trailing_zeros());
        let found = found.claim(&mut indices, &mut ranges);
        Self {
            site,
            pools: HashMap::new(),
            frontends: found.frontends.clone(),
            services: HashMap::new(),
            members: found.members.len(),
            indices,
            ranges,
            retired: VecDeque::new(),
            without_room: BTreeMap::new(),
            found: Some(found),
        }
    }

    /// Follows plans that changed; `None` is a Service that is gone. The first update must have
    /// every plan: what is found in the maps and not in them is removed.
    pub fn update(
        &mut self,
        plans: impl IntoIterator<Item = (ServiceName, Option<Arc<ServicePlan>>)>,
        now: Instant,
    ) -> Batch {
        self.recycle(now);
        let mut update = Update::default();
        let found = self.found.take();
        let plans: Vec<_> = plans.into_iter().collect();
        for (service, _) in &plans {
            self.without_room.remove(service);
            if let Some(holding) = self.services.remove(service) {
                update.released.extend(holding.pools);
                update.frontends.extend(holding.frontends.into_iter().map(|key| (key, None)));
            }
        }
        if let Some(found) = &found {
            update.frontends.extend(found.frontends.keys().map(|key| (*key, None)));
        }
        for (service, plan) in plans {
            let Some(plan) = plan else { continue };
            match self.place(&plan, found.as_ref(), &mut update, now) {
                Ok(holding) if holding.pools.is_empty() => {}
                Ok(holding) => {
                    self.services.insert(service, holding);
                }
                Err(Full) => {
                    self.without_room.insert(service, plan);
                }
            }
        }
        if let Some(found) = found {
            self.drop_unclaimed(found, &mut update, now);
        }
        self.settle(update, now)
    }

    /// Tries again to place the Services that found no room.
    pub fn retry(&mut self, now: Instant) -> Batch {
        let waiting = std::mem::take(&mut self.without_room);
        self.update(waiting.into_iter().map(|(name, plan)| (name, Some(plan))), now)
    }

    /// Services that are left to nftables because the maps are full.
    pub fn without_room(&self) -> impl Iterator<Item = &ServiceName> {
        self.without_room.keys()
    }

    /// Every pool in the maps, in no order.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolName, u32)> {
        self.pools.iter().map(|(name, kept)| (name, kept.index))
    }

    /// Number of frontends in the maps.
    #[must_use]
    pub fn frontends(&self) -> usize {
        self.frontends.len()
    }

    /// Places what `plan` wants.
    fn place(
        &mut self,
        plan: &ServicePlan,
        found: Option<&Found>,
        update: &mut Update,
        now: Instant,
    ) -> Result<Holding, Full> {
        let wanted = wanted(plan, &self.site);
        let frontends: usize = wanted.iter().map(|wanted| wanted.frontends.len()).sum();
        let members: usize = wanted.iter().map(Wanted::members).sum();
        if self.frontends.len() + update.added + frontends > MAX_FRONTENDS as usize
            || self.members + members > MAX_MEMBERS as usize
        {
            return Err(Full);
        }
        let mut holding = Holding::default();
        let mut moves = Vec::new();
        for wanted in wanted {
            if let Some(found) = found {
                self.adopt(&wanted, found);
            }
            match self.fill(&wanted.name, wanted.content, update, now) {
                Ok(index) => {
                    moves.extend(wanted.frontends.iter().map(|key| (*key, Some(index))));
                    holding.frontends.extend(wanted.frontends);
                    holding.pools.push(wanted.name);
                }
                Err(Full) => {
                    update.released.extend(holding.pools);
                    update.released.insert(wanted.name);
                    return Err(Full);
                }
            }
        }
        for pool in &holding.pools {
            update.released.remove(pool);
        }
        update.added +=
            holding.frontends.iter().filter(|key| !self.frontends.contains_key(*key)).count();
        update.frontends.extend(moves);
        Ok(holding)
    }

    /// Takes over the pool that an earlier run gave to one of the frontends of `wanted`.
    fn adopt(&mut self, wanted: &Wanted, found: &Found) {
        let pools = wanted.frontends.iter().filter_map(|key| found.frontends.get(key));
        let mut unclaimed = pools.filter_map(|index| Some((*index, found.unclaimed(*index)?)));
        if let Some((index, pool)) = unclaimed.next() {
            pool.claimed.set(true);
            let kept = Kept { index, block: pool.block, content: pool.content.clone() };
            self.pools.insert(wanted.name.clone(), kept);
        }
    }

    /// Gives the pool `name` this content; returns its index.
    fn fill(
        &mut self,
        name: &PoolName,
        content: Content,
        update: &mut Update,
        now: Instant,
    ) -> Result<u32, Full> {
        if let Some(kept) = self.pools.get(name)
            && kept.content == content
        {
            return Ok(kept.index);
        }
        let block = match u32::try_from(content.slots.len()) {
            Ok(0) => None,
            Ok(count) => Some(self.ranges.take(count).ok_or(Full)?),
            Err(_) => return Err(Full),
        };
        let known = self.pools.get(name).map(|kept| kept.index);
        let Some(index) = known.or_else(|| self.indices.take()) else {
            // No program has seen the block.
            block.into_iter().for_each(|block| self.ranges.give_back(block));
            return Err(Full);
        };
        let old = self.pools.insert(name.clone(), Kept { index, block, content: content.clone() });
        let (old_content, old_block) =
            old.map_or((Content::default(), None), |kept| (kept.content, kept.block));
        if let Some(block) = old_block {
            self.retired.push_back((now, Retired::Block(block)));
        }
        self.members += content.members().len();
        self.members = self.members.saturating_sub(old_content.members().len());
        update.refill(index, block, (&old_content, content), known.is_none());
        Ok(index)
    }

    /// Drops what was found and nobody claimed.
    fn drop_unclaimed(&mut self, found: Found, update: &mut Update, now: Instant) {
        for (index, pool) in found.pools {
            if !pool.claimed.get() {
                self.retired.push_back((now, Retired::Index(index)));
                self.retired.extend(pool.block.map(|block| (now, Retired::Block(block))));
            }
        }
        let claimed: HashMap<u32, &Content> =
            self.pools.values().map(|kept| (kept.index, &kept.content)).collect();
        for member in found.members {
            let kept = claimed.get(&member.pool);
            if !kept.is_some_and(|content| content.members().contains(&member.endpoint)) {
                update.last.push(Write::RemoveMember(member.endpoint, member.pool));
            }
        }
        self.members = self.pools.values().map(|kept| kept.content.members().len()).sum();
    }

    /// Writes down what the frontends and the pools that nobody uses come to.
    fn settle(&mut self, update: Update, now: Instant) -> Batch {
        let Update { frontends, added: _, released, mut filled, last, mut gone } = update;
        let mut after = Vec::new();
        for (key, pool) in frontends {
            let before = match pool {
                Some(pool) => self.frontends.insert(key, pool),
                None => self.frontends.remove(&key),
            };
            match (before, pool) {
                (None, None) => {}
                (None, Some(pool)) => after.push(Write::Frontend(key, pool)),
                (Some(_), None) => filled.push(Write::RemoveFrontend(key)),
                (Some(old), Some(new)) if old == new => {}
                (Some(_), Some(new)) => filled.push(Write::Frontend(key, new)),
            }
        }
        for name in released {
            let Some(Kept { index, block, content }) = self.pools.remove(&name) else { continue };
            self.members = self.members.saturating_sub(content.members().len());
            gone.extend(content.slots.iter().filter(|endpoint| endpoint.protocol == UDP));
            for endpoint in content.members() {
                filled.push(Write::RemoveMember(endpoint, index));
            }
            self.retired.push_back((now, Retired::Index(index)));
            self.retired.extend(block.map(|block| (now, Retired::Block(block))));
        }
        filled.extend(last);
        Batch { before: filled, after, gone }
    }

    /// Gives out again what was retired long enough ago.
    fn recycle(&mut self, now: Instant) {
        while let Some((_, retired)) = self.retired.pop_front_if(|(since, _)| *since + GRACE <= now)
        {
            match retired {
                Retired::Index(index) => self.indices.give_back(index),
                Retired::Block(block) => self.ranges.give_back(block),
            }
        }
    }
}

/// An update as it is put together.
#[derive(Debug, Default)]
struct Update {
    /// Where frontends lead from now on.
    frontends: BTreeMap<Address, Option<u32>>,
    /// How many of them are not in the map yet.
    added: usize,
    /// Pools that nobody may use any more.
    released: BTreeSet<PoolName>,
    /// Pools with other content.
    filled: Vec<Write>,
    /// What comes last.
    last: Vec<Write>,
    /// UDP endpoints that a pool does not have any more.
    gone: BTreeSet<Address>,
}
