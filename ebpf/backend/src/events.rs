//! Decisions about single sockets as programs tell them, while somebody listens.
//!
//! The listener is any process that can open the pinned maps. It says one in how many decisions it
//! wants and for how long, and renews that while it lives; a ring of bounded size holds what it has
//! not read yet, and what finds the ring full is counted. There is one listener at a time: the
//! kernel keeps one place where reading goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aya::maps::{MapData, MapError, RingBuf};
use podway_cluster_model::port::Protocol;
use podway_ebpf_abi::address::UDP;
use podway_ebpf_abi::event::{Event, SEND};
use podway_ebpf_abi::name;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

use crate::load::{folder_of_maps, pinned_map};
use crate::maps::MapsError;
use crate::netns;
use crate::sampler::Sampler;
use crate::syscall;
use crate::wanted::socket_address;

/// How long decisions are told without being renewed.
///
/// 2 s: a listener renews four times as often, and of one that was killed programs are rid soon.
const LEASE: Duration = Duration::from_secs(2);

/// Longest wait for an event.
const RENEWAL: Duration = Duration::from_millis(500);

/// Why nobody can listen.
#[derive(Debug, Error)]
pub enum EventsError {
    /// There are no maps.
    #[error(
        "no eBPF programs of podway are pinned below {}: \
         none runs with --proxy-mode ebpf, or with another --bpffs-root", .0.display()
    )]
    Absent(PathBuf),
    /// The maps are those of a podway that tells nothing.
    #[error("the podway whose maps are pinned below {} is too old to tell events", .0.display())]
    TooOld(PathBuf),
    /// Somebody else listens.
    #[error("another podway events listens to the programs pinned below {}", .0.display())]
    Taken(PathBuf),
    /// A file or the kernel.
    #[error("{path}")]
    File {
        /// Which.
        path: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A map.
    #[error(transparent)]
    Maps(#[from] MapsError),
    /// The ring.
    #[error("map {}", name::EVENTS)]
    Ring(#[from] MapError),
}

/// What a socket did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// It was connected.
    Connect,
    /// It sent a datagram without being connected.
    Send,
}

/// One decision about one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub time: SystemTime,
    /// What the socket did.
    pub hook: Hook,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where its program wanted to go.
    pub frontend: SocketAddr,
    /// The endpoint that it got; `None` when it was refused, for there is none.
    pub endpoint: Option<SocketAddr>,
    /// Cookie of its network namespace.
    pub netns: u64,
    /// Its own cookie.
    pub socket: u64,
    /// Number of the calling process.
    pub process: u32,
    /// Name of the calling thread's command.
    pub command: String,
}

/// A listener; programs tell nothing any more when it is gone, however it ends.
#[derive(Debug)]
pub struct Listener {
    ring: Ring,
    sampler: Sampler,
    one_in: NonZeroU32,
    /// When the machine was started, by the clock of today.
    boot: SystemTime,
    lost_before: u64,
    /// What an earlier listener did not read.
    left_behind: u64,
    /// Held as long as the listener is there: who is killed does not hold it either.
    _turn: File,
}

struct Ring(RingBuf<MapData>);

impl std::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Listener {
    /// Has one decision of `one_in` told, by the programs that are pinned below `pins`.
    ///
    /// # Errors
    /// [`EventsError`].
    pub fn start(pins: &Path, one_in: NonZeroU32) -> Result<Self, EventsError> {
        let folder = folder_of_maps(pins);
        let failed = |source| EventsError::File { path: folder.display().to_string(), source };
        let turn = match File::open(&folder) {
            Ok(turn) => turn,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EventsError::Absent(pins.to_path_buf()));
            }
            Err(error) => return Err(failed(error)),
        };
        match flock(&turn, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(EventsError::Taken(pins.to_path_buf()));
            }
            Err(error) => return Err(failed(error.into())),
        }
        let too_old = || EventsError::TooOld(pins.to_path_buf());
        let sampler = Sampler::open(pinned_map(pins, name::SAMPLING).ok_or_else(too_old)?)?;
        let ring = pinned_map(pins, name::EVENTS).ok_or_else(too_old)?;
        let mut ring = Ring(RingBuf::try_from(ring)?);
        let mut left_behind = 0;
        while ring.0.next().is_some() {
            left_behind += 1;
        }
        let lost_before = sampler.lost();
        let boot = SystemTime::now() - Duration::from_nanos(syscall::since_boot_ns());
        sampler.renew(one_in, LEASE);
        Ok(Self { ring, sampler, one_in, boot, lost_before, left_behind, _turn: turn })
    }

    /// Waits a while for decisions, and has them told further on; says whether they were not for a
    /// time, because this was not called in time.
    ///
    /// # Errors
    /// The kernel does not let us wait.
    pub fn wait(&mut self) -> io::Result<bool> {
        let was_over = self.sampler.renew(self.one_in, LEASE);
        let patience = Timespec::try_from(RENEWAL).map_err(io::Error::other)?;
        let mut ring = [PollFd::from_borrowed_fd(self.ring.0.as_fd(), PollFlags::IN)];
        match poll(&mut ring, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(was_over),
            Err(error) => Err(error.into()),
        }
    }

    /// The next decision, if one was told.
    pub fn next_decision(&mut self) -> Option<Decision> {
        loop {
            let record = self.ring.0.next()?;
            // Another layout has another folder, so this never fails; nothing is made of what does.
            if let Ok(event) = bytemuck::try_pod_read_unaligned::<Event>(&record)
                && let Some(decision) = decision(&event, self.boot)
            {
                return Some(decision);
            }
        }
    }

    /// How many decisions an earlier listener had told and did not read; they are thrown away.
    #[must_use]
    pub const fn left_behind(&self) -> u64 {
        self.left_behind
    }

    /// How many decisions found no room since this was last asked.
    pub fn lost(&mut self) -> u64 {
        let lost = self.sampler.lost();
        lost - std::mem::replace(&mut self.lost_before, lost)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.sampler.stop();
    }
}

/// Cookie and addresses of every network namespace of this machine that can be seen.
#[must_use]
pub fn namespaces() -> BTreeMap<u64, BTreeSet<IpAddr>> {
    netns::addresses()
}

/// Cookie of the network namespace that this process is in.
///
/// # Errors
/// There is no socket to be had.
pub fn own_namespace() -> io::Result<u64> {
    syscall::netns_cookie()
}

/// What `event` says; `None` where it makes no sense.
fn decision(event: &Event, boot: SystemTime) -> Option<Decision> {
    let name = event.command.split(|octet| *octet == 0).next().unwrap_or_default();
    Some(Decision {
        time: boot + Duration::from_nanos(event.time_ns),
        hook: if event.hook == SEND { Hook::Send } else { Hook::Connect },
        protocol: if event.frontend.protocol == UDP { Protocol::Udp } else { Protocol::Tcp },
        frontend: socket_address(&event.frontend)?,
        endpoint: socket_address(&event.endpoint),
        netns: event.netns,
        socket: event.socket,
        process: event.process,
        command: String::from_utf8_lossy(name).into_owned(),
    })
}
