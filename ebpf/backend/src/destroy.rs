//! Destroys connected sockets whose endpoint is gone, so that their programs choose again.
//!
//! A connected UDP socket hears nothing of an endpoint that went away, and no program of ours runs
//! when it sends. Only sockets that were translated when they were connected are destroyed, and only
//! while their Service does not offer their endpoint: who dialed a pod itself is left alone. TCP
//! finds out by itself, unless the operator wants connections to vanished endpoints to be reset;
//! then the plan says which. A thread of its own does it, since it visits every network namespace.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use podway_cluster_model::port::{Port, Protocol};
use podway_ebpf_abi::address::{Address, TCP, UDP};
use podway_ebpf_abi::state::{CONNECTED, PeerKey, SocketState};
use podway_proxy_plan::plan::FrontendKey;
use podway_proxy_plan::stale_flows::{Flow, Permitted};
use tracing::{debug, info, warn};

use crate::diag::{self, Answer, Found, Kind, SocketId};
use crate::load;
use crate::maps::Maps;
use crate::netns;
use crate::wanted::socket_address;

/// Largest datagram of the kernel that is read whole.
const DATAGRAM: usize = 65_536;

/// Time that sockets get after their endpoint was taken away.
///
/// 1 s: a question that is under way is answered within it, by an endpoint that is to get no more
/// or is about to end; a resolver's patience is five times as long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Tells the thread which endpoints went away.
#[derive(Debug)]
pub(crate) struct Destroyer {
    orders: mpsc::Sender<Order>,
    destroyed: Arc<AtomicU64>,
}

/// What sockets are looked for.
#[derive(Debug, Default)]
struct Order {
    /// UDP endpoints that some Service does not offer any more.
    gone: BTreeSet<Address>,
    /// TCP connections are judged by these.
    judges: Vec<Permitted>,
}

impl Order {
    fn join(&mut self, other: Self) {
        self.gone.extend(other.gone);
        self.judges.extend(other.judges);
    }

    /// The protocols whose sockets are looked for.
    fn protocols(&self) -> impl Iterator<Item = u8> {
        let udp = (!self.gone.is_empty()).then_some(UDP);
        udp.into_iter().chain((!self.judges.is_empty()).then_some(TCP))
    }
}

impl Destroyer {
    /// Starts the thread; `pins` is where the maps are pinned.
    pub(crate) fn start(pins: PathBuf) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel();
        let destroyed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&destroyed);
        thread::Builder::new().name("sockets".to_owned()).spawn(move || {
            while let Ok(mut order) = orders.recv() {
                thread::sleep(LAST_ANSWERS);
                // What came meanwhile is done in the same round.
                orders.try_iter().for_each(|more: Order| order.join(more));
                match load::pinned(&pins) {
                    Ok(maps) => {
                        counter.fetch_add(everywhere(&maps, &order), Ordering::Relaxed);
                    }
                    Err(error) => debug!(%error, "maps are gone; no socket is destroyed"),
                }
            }
        })?;
        Ok(Self { orders: sender, destroyed })
    }

    /// These UDP endpoints went away.
    pub(crate) fn endpoints_gone(&self, gone: BTreeSet<Address>) {
        if !gone.is_empty() {
            self.send(Order { gone, judges: Vec::new() });
        }
    }

    /// TCP connections that `permitted` forbids are to be reset.
    pub(crate) fn connections_forbidden(&self, permitted: &Permitted) {
        if permitted.frontends().any(|key| key.protocol == Protocol::Tcp) {
            self.send(Order { gone: BTreeSet::new(), judges: vec![permitted.clone()] });
        }
    }

    fn send(&self, order: Order) {
        if self.orders.send(order).is_err() {
            warn!("the thread that destroys sockets is gone");
        }
    }

    /// Sockets destroyed so far.
    pub(crate) fn destroyed(&self) -> u64 {
        self.destroyed.load(Ordering::Relaxed)
    }
}

/// Visits every network namespace that a process of this machine is in; the sockets destroyed.
fn everywhere(maps: &Maps, order: &Order) -> u64 {
    let mut destroyed = 0;
    for namespace in netns::all() {
        match netns::visit(&namespace, || here(maps, order)) {
            Ok(here) => destroyed += here,
            Err(error) => debug!(%error, "sockets of a network namespace cannot be seen"),
        }
    }
    if destroyed > 0 {
        info!(sockets = destroyed, "connected sockets of endpoints that are gone destroyed");
    }
    destroyed
}

/// Destroys what is to be destroyed in the network namespace of the calling thread.
fn here(maps: &Maps, order: &Order) -> io::Result<u64> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut destroyed = 0;
    for protocol in order.protocols() {
        for family in diag::FAMILIES {
            for found in connected(maps, &socket, Kind { family, protocol })? {
                let kind = Kind { family: found.family, protocol };
                if !is_stale(maps, order, &found, found.id.peer(kind)) {
                    continue;
                }
                match ask(&socket, &diag::destroy(kind, found.id))?.first() {
                    Some(Answer::Done) => destroyed += 1,
                    answer => debug!(?answer, "a socket could not be destroyed"),
                }
            }
        }
    }
    Ok(destroyed)
}

/// Whether the socket was translated to its `peer`, and may not speak with it any more.
fn is_stale(maps: &Maps, order: &Order, found: &Found, peer: Address) -> bool {
    if peer.protocol == UDP {
        return order.gone.contains(&peer) && is_ours(maps, &found.id, peer);
    }
    let Some(SocketState { endpoint, frontend, .. }) = found.state else { return false };
    let flow = || {
        let (address, answerer) = (socket_address(&frontend)?, socket_address(&endpoint)?);
        let port = Port::new(address.port())?;
        let destination = FrontendKey { address: address.ip(), protocol: Protocol::Tcp, port };
        Some(Flow { destination, answerer })
    };
    // A socket that was connected elsewhere since keeps no state, or that of then.
    endpoint.is(&peer)
        && flow().is_some_and(|flow| order.judges.iter().any(|judge| judge.forbids(&flow)))
}

/// Whether the socket was translated to `endpoint`, and would not be any more.
fn is_ours(maps: &Maps, id: &SocketId, endpoint: Address) -> bool {
    let key = PeerKey::new(id.cookie(), endpoint);
    maps.peer(&key).is_some_and(|peer| {
        peer.is_for(&key) && peer.connected == CONNECTED && !maps.offers(&peer.frontend, &endpoint)
    })
}

/// The connected sockets of `kind`.
fn connected(maps: &Maps, socket: &Socket, kind: Kind) -> io::Result<Vec<Found>> {
    let found = ask(socket, &diag::dump(kind, maps.socket_states()?))?.into_iter();
    Ok(found
        .filter_map(|answer| match answer {
            Answer::Socket(found) => Some(found),
            Answer::Done | Answer::Failed(_) => None,
        })
        .collect())
}

/// Sends `request` and gathers answers until the kernel has no more.
fn ask(socket: &Socket, request: &[u8]) -> io::Result<Vec<Answer>> {
    socket.send(request, 0)?;
    let mut answers = Vec::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut &mut buffer[..], 0)?;
        answers.extend(diag::answers(buffer.get(..length).unwrap_or_default()));
        let is_last = |answer: &Answer| !matches!(answer, Answer::Socket(..));
        if answers.iter().any(is_last) {
            return Ok(answers);
        }
    }
}
