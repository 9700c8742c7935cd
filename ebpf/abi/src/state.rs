//! What programs write: the state of sockets, affinity, counters.

use bytemuck::{Pod, Zeroable};

use crate::address::Address;
use crate::fold;

/// What a connected socket was translated from and to; lives and ends with the socket.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct SocketState {
    /// Where the socket really goes; all zero when it was not translated.
    pub endpoint: Address,
    /// Where its program believes that it goes.
    pub frontend: Address,
    /// Index of the pool.
    pub pool: u32,
}

const _: () = assert!(size_of::<SocketState>() == 44);

/// Key of the map of peers: a UDP socket and an endpoint that it was sent to.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct PeerKey {
    /// Cookie of the socket.
    pub socket: u64,
    /// The endpoint.
    pub endpoint: Address,
    /// Always zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<PeerKey>() == 32);

/// Value of the map of peers.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct PeerValue {
    /// Checksum of the key and of the fields below.
    pub check: u64,
    /// Where the socket's program sent to.
    pub frontend: Address,
    /// [`CONNECTED`], or 0.
    pub connected: u32,
}

const _: () = assert!(size_of::<PeerValue>() == 32);

/// Value of [`PeerValue::connected`]: the socket was translated when it was connected.
pub const CONNECTED: u32 = 1;

/// Key of the affinity map: a client, which is a network namespace, and a pool.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct AffinityKey {
    /// Cookie of the network namespace.
    pub netns: u64,
    /// Index of the pool.
    pub pool: u32,
    /// Always zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<AffinityKey>() == 16);

/// Value of the affinity map.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct AffinityValue {
    /// Checksum of the key and of the endpoint.
    pub check: u64,
    /// Nanoseconds since boot at the last new connection.
    pub last_used_ns: u64,
    /// The endpoint that the client had.
    pub endpoint: Address,
    /// Always zero.
    pub zero: u32,
}

const _: () = assert!(size_of::<AffinityValue>() == 40);

/// Element of the array of counters, one for each pool.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
pub struct Counters {
    /// Sockets that were connected to an endpoint.
    pub connects: u64,
    /// Datagrams of unconnected sockets that were sent to an endpoint.
    pub datagrams: u64,
    /// Sockets and datagrams that were refused.
    pub refusals: u64,
}

const _: () = assert!(size_of::<Counters>() == 24);

impl PeerKey {
    /// The key of `endpoint` as `socket` knows it.
    #[inline(always)]
    #[must_use]
    pub const fn new(socket: u64, endpoint: Address) -> Self {
        Self { socket, endpoint, zero: 0 }
    }

    #[inline(always)]
    const fn fold(&self, seed: u64) -> u64 {
        self.endpoint.fold(fold_wide(seed, self.socket))
    }
}

impl PeerValue {
    /// The value that leads from `key` back to `frontend`.
    #[inline(always)]
    #[must_use]
    pub const fn new(key: &PeerKey, frontend: Address, connected: u32) -> Self {
        Self { check: Self::checksum(key, &frontend, connected), frontend, connected }
    }

    /// Whether this was written for `key`, whole.
    #[inline(always)]
    #[must_use]
    pub const fn is_for(&self, key: &PeerKey) -> bool {
        self.check == Self::checksum(key, &self.frontend, self.connected)
    }

    #[inline(always)]
    const fn checksum(key: &PeerKey, frontend: &Address, connected: u32) -> u64 {
        fold(frontend.fold(key.fold(1)), connected)
    }
}

impl AffinityKey {
    /// The key of the client `netns` at `pool`.
    #[inline(always)]
    #[must_use]
    pub const fn new(netns: u64, pool: u32) -> Self {
        Self { netns, pool, zero: 0 }
    }
}

impl AffinityValue {
    /// The value that gives `endpoint` to `key`, used at `now_ns`.
    #[inline(always)]
    #[must_use]
    pub const fn new(key: &AffinityKey, endpoint: Address, now_ns: u64) -> Self {
        Self { check: Self::checksum(key, &endpoint), last_used_ns: now_ns, endpoint, zero: 0 }
    }

    /// Whether this was written for `key`, whole.
    #[inline(always)]
    #[must_use]
    pub const fn is_for(&self, key: &AffinityKey) -> bool {
        self.check == Self::checksum(key, &self.endpoint)
    }

    #[inline(always)]
    const fn checksum(key: &AffinityKey, endpoint: &Address) -> u64 {
        fold(endpoint.fold(fold_wide(2, key.netns)), key.pool)
    }
}

/// Folds both halves of `word` into a running checksum.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "each half of the word is folded apart")]
const fn fold_wide(sum: u64, word: u64) -> u64 {
    fold(fold(sum, word as u32), (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{TCP, UDP};

    #[test]
    fn peer_of_another_socket_is_told() {
        let key = PeerKey::new(5, Address::v4(1, 2, UDP));
        let value = PeerValue::new(&key, Address::v4(3, 4, UDP), CONNECTED);
        assert!(value.is_for(&key));
        assert!(!value.is_for(&PeerKey { socket: 5 << 32, ..key }));
        assert!(!PeerValue { connected: 0, ..value }.is_for(&key));
    }

    #[test]
    fn remembered_endpoint_of_another_client_is_told() {
        let key = AffinityKey::new(9, 3);
        let value = AffinityValue::new(&key, Address::v4(1, 2, TCP), 10);
        assert!(value.is_for(&key));
        assert!(!value.is_for(&AffinityKey::new(9, 4)));
    }
}
