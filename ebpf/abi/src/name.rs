//! Names and capacities of the maps, and names of the programs.

/// Frontends: [`Address`](crate::address::Address) to
/// [`FrontendValue`](crate::table::FrontendValue).
pub const FRONTENDS: &str = "FRONTENDS";

/// Pools: index to [`Pool`](crate::table::Pool).
pub const POOLS: &str = "POOLS";

/// Slots: index to [`Slot`](crate::table::Slot).
pub const SLOTS: &str = "SLOTS";

/// Members of pools with affinity: [`Member`](crate::table::Member) to nothing.
pub const MEMBERS: &str = "MEMBERS";

/// State of connected sockets: [`SocketState`](crate::state::SocketState).
pub const SOCKETS: &str = "SOCKETS";

/// Peers of UDP sockets: [`PeerKey`](crate::state::PeerKey) to
/// [`PeerValue`](crate::state::PeerValue).
pub const PEERS: &str = "PEERS";

/// Affinity: [`AffinityKey`](crate::state::AffinityKey) to
/// [`AffinityValue`](crate::state::AffinityValue).
pub const AFFINITY: &str = "AFFINITY";

/// Network namespaces whose sockets are left alone: cookie to nothing.
pub const UNTRANSLATED: &str = "UNTRANSLATED";

/// Counters: index of the pool to [`Counters`](crate::state::Counters).
pub const COUNTERS: &str = "COUNTERS";

/// Whether decisions are told: one [`Sampling`](crate::event::Sampling).
pub const SAMPLING: &str = "SAMPLING";

/// Ring of decisions: [`Event`](crate::event::Event)s.
pub const EVENTS: &str = "EVENTS";

/// Most frontends: ClusterIPs, external addresses and node ports together.
pub const MAX_FRONTENDS: u32 = 65_536;

/// Most pools: one for each Service port, family and traffic policy in use.
pub const MAX_POOLS: u32 = 65_536;

/// Most slots: endpoints of all pools, with room for ranges that are being replaced.
pub const MAX_SLOTS: u32 = 262_144;

/// Most members of pools with affinity.
pub const MAX_MEMBERS: u32 = 65_536;

/// Peers remembered; the least recently used go first.
pub const MAX_PEERS: u32 = 65_536;

/// Most network namespaces whose sockets are left alone.
///
/// 4,096: far more than a node has pods.
pub const MAX_UNTRANSLATED: u32 = 4_096;

/// Clients remembered; the least recently used go first.
pub const MAX_AFFINITY: u32 = 65_536;

/// Bytes of the ring of decisions; what finds it full is counted and lost.
///
/// 256 KiB: 2,730 events, which a reader that is late by a tenth of a second loses none of at 27,000 a
/// second. A power of two and a multiple of any page's size, as the kernel wants it.
pub const EVENTS_BYTES: u32 = 256 * 1024;

/// The programs, by the hook that each is attached to.
pub const PROGRAMS: [&str; 8] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
];
