//! The maps in the kernel: opened, written, read.
#![allow(unsafe_code, reason = "layouts cross into the kernel, and pools are shared memory")]

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::name;
use podway_ebpf_abi::state::{Counters, PeerKey, PeerValue};
use podway_ebpf_abi::table::{FrontendValue, Member, Pool, Range, Slot};
use thiserror::Error;

use crate::entries::Write;
use crate::found::Found;
use crate::sampler::Sampler;
use crate::shared::Shared;

/// Why a map cannot be used.
#[derive(Debug, Error)]
pub enum MapsError {
    /// The object has no such map.
    #[error("the programs have no map {0}")]
    Absent(&'static str),
    /// The kernel refused something.
    #[error("map {map}")]
    Kernel {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        #[source]
        source: MapError,
    },
    /// The memory of a map cannot be shared.
    #[error("map {map} cannot be mapped")]
    Memory {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

/// A value that crosses into the kernel as its bytes.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: `bytemuck::Pod` is derived for the value, so it has no padding and any bytes are valid.
unsafe impl<T: bytemuck::Pod> aya::Pod for Plain<T> {}

/// The maps that the daemon writes and reads.
pub struct Maps {
    frontends: HashMap<MapData, Plain<Address>, Plain<FrontendValue>>,
    slots: Array<MapData, Plain<Slot>>,
    members: HashMap<MapData, Plain<Member>, u32>,
    peers: HashMap<MapData, Plain<PeerKey>, Plain<PeerValue>>,
    counters: Array<MapData, Plain<Counters>>,
    untranslated: HashMap<MapData, u64, u32>,
    sockets: MapData,
    pools: Pools,
    sampling: Sampler,
}

impl fmt::Debug for Maps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Maps").finish_non_exhaustive()
    }
}

impl Maps {
    /// Takes the maps that `take` has, by name.
    pub(crate) fn take(mut take: impl FnMut(&str) -> Option<Map>) -> Result<Self, MapsError> {
        let mut map = |map: &'static str| take(map).ok_or(MapsError::Absent(map));
        Ok(Self {
            frontends: typed(name::FRONTENDS, map(name::FRONTENDS)?)?,
            slots: typed(name::SLOTS, map(name::SLOTS)?)?,
            members: typed(name::MEMBERS, map(name::MEMBERS)?)?,
            peers: typed(name::PEERS, map(name::PEERS)?)?,
            counters: typed(name::COUNTERS, map(name::COUNTERS)?)?,
            untranslated: typed(name::UNTRANSLATED, map(name::UNTRANSLATED)?)?,
            sockets: storage(map(name::SOCKETS)?)?,
            pools: Pools(Shared::open(name::POOLS, map(name::POOLS)?, name::MAX_POOLS)?),
            sampling: Sampler::open(map(name::SAMPLING)?)?,
        })
    }

    /// Does `write`.
    pub(crate) fn write(&mut self, write: &Write) -> Result<(), MapsError> {
        match write {
            Write::Slots { base, pool, endpoints } => {
                for (index, endpoint) in (*base..).zip(endpoints) {
                    let slot = Slot { endpoint: *endpoint, pool: *pool };
                    self.slots.set(index, Plain(slot), 0).map_err(error(name::SLOTS))?;
                }
                Ok(())
            }
            Write::Pool { pool, affinity_seconds, is_new } => {
                self.pools.set_affinity(*pool, *affinity_seconds);
                if *is_new {
                    let zero = Plain(Counters::default());
                    self.counters.set(*pool, zero, 0).map_err(error(name::COUNTERS))?;
                }
                Ok(())
            }
            Write::Range { pool, range } => {
                self.pools.set_range(*pool, *range);
                Ok(())
            }
            Write::AddMember(endpoint, pool) => {
                let member = Plain(Member { endpoint: *endpoint, pool: *pool });
                self.members.insert(member, 0, 0).map_err(error(name::MEMBERS))
            }
            Write::RemoveMember(endpoint, pool) => {
                let member = Plain(Member { endpoint: *endpoint, pool: *pool });
                absent_is_fine(self.members.remove(&member)).map_err(error(name::MEMBERS))
            }
            Write::Frontend(key, pool) => {
                let value = Plain(FrontendValue::new(key, *pool));
                self.frontends.insert(Plain(*key), value, 0).map_err(error(name::FRONTENDS))
            }
            Write::RemoveFrontend(key) => {
                absent_is_fine(self.frontends.remove(&Plain(*key))).map_err(error(name::FRONTENDS))
            }
        }
    }

    /// What is in the maps.
    pub(crate) fn found(&self) -> Result<Found, MapsError> {
        let frontends = self
            .frontends
            .iter()
            .map(|entry| entry.map(|(key, value)| (key.0, value.0)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(error(name::FRONTENDS))?;
        let members = self
            .members
            .keys()
            .map(|key| key.map(|key| key.0))
            .collect::<Result<Vec<_>, _>>()
            .map_err(error(name::MEMBERS))?;
        let slot = |index| self.slots.get(&index, 0).ok().map(|slot| slot.0);
        Ok(Found::read(frontends, members, |index| self.pools.read(index), slot))
    }

    /// What the pool `index` has counted.
    pub(crate) fn counters(&self, index: u32) -> Result<Counters, MapsError> {
        self.counters.get(&index, 0).map(|counters| counters.0).map_err(error(name::COUNTERS))
    }

    /// Leaves sockets of the network namespaces `cookies` alone, and of no other.
    pub(crate) fn leave_alone(&mut self, cookies: &BTreeSet<u64>) -> Result<(), MapsError> {
        let there = self.untranslated.keys().collect::<Result<BTreeSet<_>, _>>();
        let there = there.map_err(error(name::UNTRANSLATED))?;
        for cookie in cookies.difference(&there) {
            self.untranslated.insert(cookie, 0, 0).map_err(error(name::UNTRANSLATED))?;
        }
        for cookie in there.difference(cookies) {
            absent_is_fine(self.untranslated.remove(cookie)).map_err(error(name::UNTRANSLATED))?;
        }
        Ok(())
    }

    /// Has nothing told that nobody listens to.
    pub(crate) fn tell_nobody(&self) {
        self.sampling.stop_if_over();
    }

    /// Descriptor of the map of states of sockets.
    pub(crate) fn socket_states(&self) -> std::io::Result<u32> {
        let descriptor = self.sockets.fd().as_fd().as_raw_fd();
        u32::try_from(descriptor).map_err(std::io::Error::other)
    }

    /// Whether `key` is known as a peer whose socket was translated when it was connected.
    pub(crate) fn peer(&self, key: &PeerKey) -> Option<PeerValue> {
        self.peers.get(&Plain(*key), 0).ok().map(|value| value.0)
    }

    /// Whether sockets may be sent from `frontend` to `endpoint` now.
    pub(crate) fn offers(&self, frontend: &Address, endpoint: &Address) -> bool {
        let value = self.frontends.get(&Plain(*frontend), 0).ok().map(|value| value.0);
        let Some(pool) = value.and_then(|value| self.pools.read(value.pool)) else { return false };
        let Range { base, count } = Range::from_word(pool.range);
        let slots = base..base.saturating_add(count);
        slots
            .filter_map(|index| self.slots.get(&index, 0).ok())
            .any(|slot| slot.0.endpoint.is(endpoint))
    }
}

/// The array of pools.
#[derive(Debug)]
struct Pools(Shared<Pool>);

impl Pools {
    fn set_range(&self, index: u32, range: Range) {
        if let Some(pool) = self.0.element(index) {
            // SAFETY: the memory lives as long as `self`, and elements are aligned to 8.
            let word = unsafe { AtomicU64::from_ptr(&raw mut (*pool).range) };
            // Whoever sees the word sees the slots that were written before.
            word.store(range.word(), Ordering::Release);
        }
    }

    fn set_affinity(&self, index: u32, seconds: u32) {
        if let Some(pool) = self.0.element(index) {
            // SAFETY: the memory lives as long as `self`, and the field is aligned to 4.
            let word = unsafe { AtomicU32::from_ptr(&raw mut (*pool).affinity_seconds) };
            word.store(seconds, Ordering::Release);
        }
    }

    fn read(&self, index: u32) -> Option<Pool> {
        let pool = self.0.element(index)?;
        // SAFETY: the memory lives as long as `self`, and both fields are aligned.
        let (range, affinity) = unsafe {
            (
                AtomicU64::from_ptr(&raw mut (*pool).range),
                AtomicU32::from_ptr(&raw mut (*pool).affinity_seconds),
            )
        };
        let (range, affinity_seconds) =
            (range.load(Ordering::Acquire), affinity.load(Ordering::Acquire));
        Some(Pool { range, affinity_seconds, zero: 0 })
    }
}

/// The map of states of sockets.
fn storage(map: Map) -> Result<MapData, MapsError> {
    if let Map::SkStorage(data) = map { Ok(data) } else { Err(MapsError::Absent(name::SOCKETS)) }
}

/// Opens `map` with the types that it has.
fn typed<T: TryFrom<Map, Error = MapError>>(name: &'static str, map: Map) -> Result<T, MapsError> {
    T::try_from(map).map_err(error(name))
}

fn error(map: &'static str) -> impl Fn(MapError) -> MapsError {
    move |source| MapsError::Kernel { map, source }
}

/// What is not there need not be removed.
fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}
