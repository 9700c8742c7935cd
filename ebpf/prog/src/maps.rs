//! The maps, and the kernel as `datapath` wants it.

use core::ffi::c_void;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::{addr_of, read_volatile};

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_netns_cookie, bpf_get_prandom_u32,
    bpf_get_socket_cookie, bpf_ktime_get_boot_ns,
};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, RingBuf};
use aya_ebpf::programs::SockAddrContext;
use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::event::{COMMAND_BYTES, Event, Sampling};
use podway_ebpf_abi::name;
use podway_ebpf_abi::state::{
    AffinityKey, AffinityValue, Counters, PeerKey, PeerValue, SocketState,
};
use podway_ebpf_abi::table::{FrontendValue, Member, Pool, Slot};
use podway_ebpf_datapath::tables::{Outcome, Tables};
use podway_ebpf_datapath::tell::NO_ADDRESS;

#[map]
static FRONTENDS: HashMap<Address, FrontendValue> =
    HashMap::with_max_entries(name::MAX_FRONTENDS, BPF_F_NO_PREALLOC);

#[map]
static POOLS: Array<Pool> = Array::with_max_entries(name::MAX_POOLS, BPF_F_MMAPABLE);

#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(name::MAX_SLOTS, 0);

#[map]
static MEMBERS: HashMap<Member, u32> =
    HashMap::with_max_entries(name::MAX_MEMBERS, BPF_F_NO_PREALLOC);

#[map]
static PEERS: LruHashMap<PeerKey, PeerValue> = LruHashMap::with_max_entries(name::MAX_PEERS, 0);

#[map]
static AFFINITY: LruHashMap<AffinityKey, AffinityValue> =
    LruHashMap::with_max_entries(name::MAX_AFFINITY, 0);

/// Keys are cookies of network namespaces.
#[map]
static UNTRANSLATED: HashMap<u64, u32> =
    HashMap::with_max_entries(name::MAX_UNTRANSLATED, BPF_F_NO_PREALLOC);

#[map]
static COUNTERS: Array<Counters> = Array::with_max_entries(name::MAX_POOLS, 0);

#[map]
static SAMPLING: Array<Sampling> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(name::EVENTS_BYTES, 0);

#[btf_map]
static SOCKETS: SkStorage<SocketState> = SkStorage::new();

/// State that says that a socket was not translated.
const NO_STATE: SocketState = SocketState { endpoint: NO_ADDRESS, frontend: NO_ADDRESS, pool: 0 };

/// The kernel, for one call.
pub(crate) struct KernelTables<'a>(pub(crate) &'a SockAddrContext);

impl KernelTables<'_> {
    /// The context as helpers take it.
    #[inline(always)]
    fn raw(&self) -> *mut c_void {
        self.0.sock_addr.cast()
    }
}

impl Tables for KernelTables<'_> {
    #[inline(always)]
    fn frontend(&self, key: &Address) -> Option<FrontendValue> {
        // SAFETY: the value may change while it is copied, and its checksum tells.
        FRONTENDS.get_ptr(key).map(|value| unsafe { read_volatile(value) })
    }

    #[inline(always)]
    fn pool(&self, index: u32) -> Option<Pool> {
        let pool = POOLS.get_ptr(index)?;
        // SAFETY: elements of an array live as long as the map; the range is loaded as one word.
        unsafe {
            Some(Pool {
                range: read_volatile(addr_of!((*pool).range)),
                affinity_seconds: read_volatile(addr_of!((*pool).affinity_seconds)),
                zero: 0,
            })
        }
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        SLOTS.get(index).copied()
    }

    #[inline(always)]
    fn is_member(&self, member: &Member) -> bool {
        MEMBERS.get_ptr(member).is_some()
    }

    #[inline(always)]
    fn is_left_alone(&self) -> bool {
        UNTRANSLATED.get_ptr(&self.netns()).is_some()
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey) -> Option<AffinityValue> {
        // SAFETY: the value may change while it is copied, and its checksum tells.
        AFFINITY.get_ptr(key).map(|value| unsafe { read_volatile(value) })
    }

    #[inline(always)]
    fn remember(&self, key: &AffinityKey, value: &AffinityValue) {
        // A client that cannot be remembered chooses anew.
        let _ = AFFINITY.insert(key, value, 0);
    }

    #[inline(always)]
    fn netns(&self) -> u64 {
        // SAFETY: the helper takes the context of this program type.
        unsafe { bpf_get_netns_cookie(self.raw()) }
    }

    #[inline(always)]
    fn socket(&self) -> u64 {
        // SAFETY: the helper takes the context of this program type.
        unsafe { bpf_get_socket_cookie(self.raw()) }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: the helper takes nothing.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper takes nothing.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    #[inline(always)]
    fn socket_state(&self) -> Option<SocketState> {
        // SAFETY: the context's socket is valid for the call, and so is its storage.
        unsafe { SOCKETS.get_ptr_mut(self.0).as_ref().copied() }
    }

    #[inline(always)]
    fn set_socket_state(&self, state: &SocketState) -> bool {
        let mut state = *state;
        // SAFETY: the context's socket is valid for the call, and so is its storage.
        unsafe {
            let kept = SOCKETS.get_or_insert_ptr_mut(self.0, Some(&mut state));
            match kept.as_mut() {
                Some(kept) => {
                    // What was there before is not replaced by the helper.
                    *kept = state;
                    true
                }
                None => false,
            }
        }
    }

    #[inline(always)]
    fn clear_socket_state(&self) {
        // SAFETY: the context's socket is valid for the call, and so is its storage.
        if let Some(kept) = unsafe { SOCKETS.get_ptr_mut(self.0).as_mut() } {
            *kept = NO_STATE;
        }
    }

    #[inline(always)]
    fn peer(&self, key: &PeerKey) -> Option<PeerValue> {
        // SAFETY: the value may change while it is copied, and its checksum tells.
        PEERS.get_ptr(key).map(|value| unsafe { read_volatile(value) })
    }

    #[inline(always)]
    fn set_peer(&self, key: &PeerKey, value: &PeerValue) -> bool {
        PEERS.insert(key, value, 0).is_ok()
    }

    #[inline(always)]
    fn count(&self, pool: u32, outcome: Outcome) {
        let Some(counters) = COUNTERS.get_ptr_mut(pool) else { return };
        // SAFETY: elements of an array live as long as the map, and the fields are aligned.
        unsafe {
            let counter = match outcome {
                Outcome::Connected => &raw mut (*counters).connects,
                Outcome::Sent => &raw mut (*counters).datagrams,
                Outcome::Refused => &raw mut (*counters).refusals,
            };
            // The target has no type for it, but an instruction.
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1);
        }
    }

    #[inline(always)]
    fn told_one_in(&self) -> u32 {
        let Some(sampling) = SAMPLING.get_ptr(0) else { return 0 };
        // SAFETY: elements of an array live as long as the map; the field is loaded as one word.
        unsafe { read_volatile(addr_of!((*sampling).one_in)) }
    }

    #[inline(always)]
    fn told_until_ns(&self) -> u64 {
        let Some(sampling) = SAMPLING.get_ptr(0) else { return 0 };
        // SAFETY: elements of an array live as long as the map; the field is loaded as one word.
        unsafe { read_volatile(addr_of!((*sampling).until_ns)) }
    }

    #[inline(always)]
    fn caller(&self) -> (u32, [u8; COMMAND_BYTES]) {
        let process = (bpf_get_current_pid_tgid() >> 32) as u32;
        // Only a kernel that has no task to name fails, and then there is no name.
        (process, bpf_get_current_comm().unwrap_or_default())
    }

    #[inline(always)]
    fn tell(&self, event: &Event) {
        if EVENTS.output::<Event>(event, 0).is_ok() {
            return;
        }
        let Some(sampling) = SAMPLING.get_ptr_mut(0) else { return };
        // SAFETY: elements of an array live as long as the map, and the field is aligned.
        unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*sampling).lost, 1);
        }
    }
}
