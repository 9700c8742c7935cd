//! What the hooks do with a socket: connect, send, receive, name its peer.

use podway_ebpf_abi::address::{Address, UDP};
use podway_ebpf_abi::event::{CONNECT, SEND};
use podway_ebpf_abi::state::{CONNECTED, PeerKey, PeerValue, SocketState};

use crate::choose::{Choice, choose};
use crate::tables::{Outcome, Tables};
use crate::tell::{NO_ADDRESS, tell};

/// What becomes of the address that the kernel is about to use or to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Leave,
    /// The call fails: connection refused.
    Refuse,
    /// It becomes this one.
    Rewrite(Address),
}

/// `connect` to `destination`.
#[inline(always)]
pub fn connect(tables: &impl Tables, destination: &Address) -> Verdict {
    match choose(tables, destination) {
        Choice::Leave => {
            // The socket may have been connected before, to a Service.
            tables.clear_socket_state();
            Verdict::Leave
        }
        Choice::Refuse(pool) => refuse(tables, CONNECT, destination, pool),
        Choice::Endpoint(endpoint, pool) => {
            let state = SocketState { endpoint, frontend: *destination, pool };
            if !tables.set_socket_state(&state) {
                return Verdict::Leave;
            }
            if destination.protocol == UDP && !introduce(tables, destination, endpoint, CONNECTED) {
                tables.clear_socket_state();
                return Verdict::Leave;
            }
            tables.count(pool, Outcome::Connected);
            tell(tables, CONNECT, destination, endpoint);
            Verdict::Rewrite(endpoint)
        }
    }
}

/// A datagram to `destination`, given with it.
#[inline(always)]
pub fn send(tables: &impl Tables, destination: &Address) -> Verdict {
    match choose(tables, destination) {
        Choice::Leave => Verdict::Leave,
        Choice::Refuse(pool) => refuse(tables, SEND, destination, pool),
        Choice::Endpoint(endpoint, pool) => {
            // Without it the answer would come from an address that the program does not know.
            if !introduce(tables, destination, endpoint, 0) {
                return Verdict::Leave;
            }
            tables.count(pool, Outcome::Sent);
            tell(tables, SEND, destination, endpoint);
            Verdict::Rewrite(endpoint)
        }
    }
}

/// A datagram that came from `source`.
#[inline(always)]
pub fn receive(tables: &impl Tables, source: &Address) -> Verdict {
    if let Verdict::Rewrite(frontend) = peer_name(tables, source) {
        return Verdict::Rewrite(frontend);
    }
    let key = PeerKey::new(tables.socket(), *source);
    match tables.peer(&key) {
        Some(value) if value.is_for(&key) => Verdict::Rewrite(value.frontend),
        Some(_) | None => Verdict::Leave,
    }
}

/// The name of the peer `endpoint` of a connected socket.
#[inline(always)]
pub fn peer_name(tables: &impl Tables, endpoint: &Address) -> Verdict {
    match tables.socket_state() {
        Some(state) if state.endpoint.is(endpoint) => Verdict::Rewrite(state.frontend),
        Some(_) | None => Verdict::Leave,
    }
}

#[inline(always)]
fn refuse(tables: &impl Tables, hook: u32, frontend: &Address, pool: u32) -> Verdict {
    tables.count(pool, Outcome::Refused);
    tell(tables, hook, frontend, NO_ADDRESS);
    Verdict::Refuse
}

/// Remembers that the calling socket knows `endpoint` as `frontend`; says whether that worked.
#[inline(always)]
fn introduce(tables: &impl Tables, frontend: &Address, endpoint: Address, connected: u32) -> bool {
    let key = PeerKey::new(tables.socket(), endpoint);
    let value = PeerValue::new(&key, *frontend, connected);
    // Most datagrams go where the one before went: then nothing is written.
    tables.peer(&key) == Some(value) || tables.set_peer(&key, &value)
}
