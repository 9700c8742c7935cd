//! The maps on the host: written like the kernel's, read by the code of the programs.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::event::{COMMAND_BYTES, Event, Sampling};
use podway_ebpf_abi::state::{AffinityKey, AffinityValue, PeerKey, PeerValue, SocketState};
use podway_ebpf_abi::table::{FrontendValue, Member, Pool, Range, Slot};
use podway_ebpf_backend::entries::Write;
use podway_ebpf_backend::found::Found;
use podway_ebpf_datapath::tables::{Outcome, Tables};

/// Maps and one calling socket.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) frontends: HashMap<Address, FrontendValue>,
    pub(crate) pools: HashMap<u32, Pool>,
    pub(crate) slots: HashMap<u32, Slot>,
    pub(crate) members: HashSet<Member>,
    pub(crate) affinity: RefCell<HashMap<AffinityKey, AffinityValue>>,
    pub(crate) peers: RefCell<HashMap<PeerKey, PeerValue>>,
    pub(crate) sockets: RefCell<HashMap<u64, SocketState>>,
    /// What the next random number is.
    pub(crate) lot: Cell<u32>,
    pub(crate) now_ns: Cell<u64>,
    pub(crate) netns: Cell<u64>,
    pub(crate) socket: Cell<u64>,
    pub(crate) left_alone: RefCell<HashSet<u64>>,
    pub(crate) outcomes: RefCell<Vec<Outcome>>,
    pub(crate) sampling: Cell<Sampling>,
    pub(crate) told: RefCell<Vec<Event>>,
    /// Whether sockets can have state.
    pub(crate) out_of_memory: Cell<bool>,
}

impl Host {
    pub(crate) fn write(&mut self, write: &Write) {
        let none = Pool { range: 0, affinity_seconds: 0, zero: 0 };
        match write {
            Write::Slots { base, pool, endpoints } => {
                for (index, endpoint) in (*base..).zip(endpoints) {
                    self.slots.insert(index, Slot { endpoint: *endpoint, pool: *pool });
                }
            }
            Write::Pool { pool, affinity_seconds, is_new: _ } => {
                self.pools.entry(*pool).or_insert(none).affinity_seconds = *affinity_seconds;
            }
            Write::Range { pool, range } => {
                self.pools.entry(*pool).or_insert(none).range = range.word();
            }
            Write::AddMember(endpoint, pool) => {
                self.members.insert(Member { endpoint: *endpoint, pool: *pool });
            }
            Write::RemoveMember(endpoint, pool) => {
                self.members.remove(&Member { endpoint: *endpoint, pool: *pool });
            }
            Write::Frontend(key, pool) => {
                self.frontends.insert(*key, FrontendValue::new(key, *pool));
            }
            Write::RemoveFrontend(key) => {
                self.frontends.remove(key);
            }
        }
    }

    /// What a new daemon finds here.
    pub(crate) fn found(&self) -> Found {
        Found::read(
            self.frontends.iter().map(|(key, value)| (*key, *value)),
            self.members.iter().copied().collect(),
            |index| self.pools.get(&index).copied(),
            |index| self.slots.get(&index).copied(),
        )
    }

    /// Random numbers that fall on each slot of the pool that `key` leads to, once.
    pub(crate) fn lots(&self, key: &Address) -> Vec<u32> {
        let pool = self.frontends.get(key).and_then(|value| self.pools.get(&value.pool));
        let count = pool.map_or(1, |pool| Range::from_word(pool.range).count.max(1));
        let share = (1_u64 << 32) / u64::from(count);
        (0..u64::from(count))
            .map(|slot| u32::try_from(slot * share + share / 2).expect("a share of 32 bits"))
            .collect()
    }
}

impl Tables for Host {
    fn frontend(&self, key: &Address) -> Option<FrontendValue> {
        self.frontends.get(key).copied()
    }

    fn pool(&self, index: u32) -> Option<Pool> {
        self.pools.get(&index).copied()
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        self.slots.get(&index).copied()
    }

    fn is_member(&self, member: &Member) -> bool {
        self.members.contains(member)
    }

    fn is_left_alone(&self) -> bool {
        self.left_alone.borrow().contains(&self.netns.get())
    }

    fn affinity(&self, key: &AffinityKey) -> Option<AffinityValue> {
        self.affinity.borrow().get(key).copied()
    }

    fn remember(&self, key: &AffinityKey, value: &AffinityValue) {
        self.affinity.borrow_mut().insert(*key, *value);
    }

    fn netns(&self) -> u64 {
        self.netns.get()
    }

    fn socket(&self) -> u64 {
        self.socket.get()
    }

    fn random(&self) -> u32 {
        self.lot.get()
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn socket_state(&self) -> Option<SocketState> {
        self.sockets.borrow().get(&self.socket.get()).copied()
    }

    fn set_socket_state(&self, state: &SocketState) -> bool {
        if self.out_of_memory.get() {
            return false;
        }
        self.sockets.borrow_mut().insert(self.socket.get(), *state);
        true
    }

    fn clear_socket_state(&self) {
        self.sockets.borrow_mut().remove(&self.socket.get());
    }

    fn peer(&self, key: &PeerKey) -> Option<PeerValue> {
        self.peers.borrow().get(key).copied()
    }

    fn set_peer(&self, key: &PeerKey, value: &PeerValue) -> bool {
        self.peers.borrow_mut().insert(*key, *value);
        true
    }

    fn count(&self, _pool: u32, outcome: Outcome) {
        self.outcomes.borrow_mut().push(outcome);
    }

    fn told_one_in(&self) -> u32 {
        self.sampling.get().one_in
    }

    fn told_until_ns(&self) -> u64 {
        self.sampling.get().until_ns
    }

    fn caller(&self) -> (u32, [u8; COMMAND_BYTES]) {
        (42, *b"curl\0\0\0\0\0\0\0\0\0\0\0\0")
    }

    fn tell(&self, event: &Event) {
        self.told.borrow_mut().push(*event);
    }
}
