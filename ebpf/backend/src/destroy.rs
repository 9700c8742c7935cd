//! Destroys connected UDP sockets whose endpoint is gone, so that their programs choose again.
//!
//! A connected socket hears nothing of an endpoint that went away, and no program of ours runs when
//! it sends. Only sockets that were translated when they were connected are destroyed, and only
//! while their Service does not offer their endpoint: who dialed a pod itself is left alone. A
//! thread of its own does it, since it visits every network namespace.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use podway_ebpf_abi::address::Address;
use podway_ebpf_abi::state::{CONNECTED, PeerKey};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tracing::{debug, info, warn};

use crate::diag::{self, Answer, SocketId};
use crate::load;
use crate::maps::Maps;

/// Largest datagram of the kernel that is read whole.
const DATAGRAM: usize = 65_536;

/// Tells the thread which endpoints went away.
#[derive(Debug)]
pub(crate) struct Destroyer {
    gone: mpsc::Sender<BTreeSet<Address>>,
    destroyed: Arc<AtomicU64>,
}

impl Destroyer {
    /// Starts the thread; `pins` is where the maps are pinned.
    pub(crate) fn start(pins: PathBuf) -> io::Result<Self> {
        let (gone, orders) = mpsc::channel();
        let destroyed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&destroyed);
        thread::Builder::new().name("sockets".to_owned()).spawn(move || {
            while let Ok(mut gone) = orders.recv() {
                // What came meanwhile is done in the same round.
                orders.try_iter().for_each(|more: BTreeSet<Address>| gone.extend(more));
                match load::pinned(&pins) {
                    Ok(maps) => {
                        counter.fetch_add(everywhere(&maps, &gone), Ordering::Relaxed);
                    }
                    Err(error) => debug!(%error, "maps are gone; no socket is destroyed"),
                }
            }
        })?;
        Ok(Self { gone, destroyed })
    }

    /// These UDP endpoints went away.
    pub(crate) fn endpoints_gone(&self, gone: BTreeSet<Address>) {
        if !gone.is_empty() && self.gone.send(gone).is_err() {
            warn!("the thread that destroys sockets is gone");
        }
    }

    /// Sockets destroyed so far.
    pub(crate) fn destroyed(&self) -> u64 {
        self.destroyed.load(Ordering::Relaxed)
    }
}

/// Visits every network namespace that a process of this machine is in; the sockets destroyed.
fn everywhere(maps: &Maps, gone: &BTreeSet<Address>) -> u64 {
    let mut destroyed = 0;
    for namespace in namespaces() {
        // A thread may leave its namespace only for good, so each visit has one of its own.
        let visit = thread::scope(|scope| {
            let work = || -> io::Result<u64> {
                let network = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), network)?;
                here(maps, gone)
            };
            scope.spawn(work).join()
        });
        match visit {
            Ok(Ok(here)) => destroyed += here,
            Ok(Err(error)) => debug!(%error, "sockets of a network namespace cannot be seen"),
            Err(_) => warn!("a visit to a network namespace broke down"),
        }
    }
    if destroyed > 0 {
        info!(sockets = destroyed, "connected UDP sockets of endpoints that are gone destroyed");
    }
    destroyed
}

/// Every network namespace of a process, once.
fn namespaces() -> Vec<File> {
    let mut seen = BTreeSet::new();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| {
            let path = entry.path().join("ns/net");
            let inode = fs::metadata(&path).ok()?.ino();
            if seen.insert(inode) { File::open(path).ok() } else { None }
        })
        .collect()
}

/// Destroys what is to be destroyed in the network namespace of the calling thread.
fn here(maps: &Maps, gone: &BTreeSet<Address>) -> io::Result<u64> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut destroyed = 0;
    for family in diag::FAMILIES {
        for (family, id) in connected(&socket, family)? {
            let endpoint = id.peer(family);
            if gone.contains(&endpoint) && is_ours(maps, &id, endpoint) {
                match ask(&socket, &diag::destroy(family, id))?.first() {
                    Some(Answer::Done) => destroyed += 1,
                    answer => debug!(?answer, "a socket could not be destroyed"),
                }
            }
        }
    }
    Ok(destroyed)
}

/// Whether the socket was translated to `endpoint`, and would not be any more.
fn is_ours(maps: &Maps, id: &SocketId, endpoint: Address) -> bool {
    let key = PeerKey::new(id.cookie(), endpoint);
    maps.peer(&key).is_some_and(|peer| {
        peer.is_for(&key) && peer.connected == CONNECTED && !maps.offers(&peer.frontend, &endpoint)
    })
}

/// The connected UDP sockets of `family`.
fn connected(socket: &Socket, family: u8) -> io::Result<Vec<(u8, SocketId)>> {
    let found = ask(socket, &diag::dump(family))?.into_iter();
    Ok(found
        .filter_map(|answer| match answer {
            Answer::Socket(family, id) => Some((family, id)),
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
