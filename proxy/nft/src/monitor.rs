//! EDGE: tells when somebody else changes our tables.
//!
//! The kernel tells every change of nftables to a multicast group, with the port of its author.
//! While somebody listens, it prepares a message for each element, which for a whole table costs
//! more than the table; so a full write happens unheard ([`Silencer`]), and the kernel's generation
//! counter, which every commit raises by one, says whether anybody else wrote meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use podway_proxy_plan::plan::Family;

use crate::decode::attributes;
use crate::encode::{family_number, get_generation};
use crate::kernel::{BackendError, Kernel};
use crate::names::TABLE;
use crate::socket::{NetfilterSocket, messages};

/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;

/// `NFNL_SUBSYS_NFTABLES` as the high octet of a message type.
const SUBSYSTEM: u16 = 10 << 8;

/// `NFT_MSG_NEWGEN`: a commit is complete.
const NEW_GENERATION: u16 = SUBSYSTEM | 15;

/// Length of `struct nfgenmsg` in bytes.
const FAMILY_HEADER_BYTES: usize = 4;

/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE`, `NFTA_SET_TABLE` and
/// `NFTA_SET_ELEM_LIST_TABLE` alike.
const ATTRIBUTE_TABLE: u16 = 1;

/// `NFTA_GEN_ID`, `NFTA_GEN_PROC_PID`, `NFTA_GEN_PROC_NAME`.
const ATTRIBUTE_GENERATION: u16 = 1;
const ATTRIBUTE_PROCESS_ID: u16 = 2;
const ATTRIBUTE_PROCESS_NAME: u16 = 3;

/// Somebody else changed our tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intrusion {
    /// Families of the tables changed.
    pub families: BTreeSet<Family>,
    /// Who did it; `None` where the kernel did not say, or messages were lost.
    pub process: Option<Process>,
}

/// A process that committed a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id, in the kernel's first pid namespace.
    pub id: u32,
    /// Its name (`comm`).
    pub name: String,
}

/// Listens for changes by others.
#[derive(Debug)]
pub struct Monitor {
    socket: Arc<NetfilterSocket>,
    own_ports: Vec<u32>,
    /// Families that the commit being told of has changed so far.
    touched: BTreeSet<Family>,
}

/// Lets full writes go unheard.
#[derive(Debug, Clone)]
pub struct Silencer {
    socket: Arc<NetfilterSocket>,
}

/// Whether a write was the only one while nobody listened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// It was.
    Yes,
    /// Others committed too, perhaps to our tables.
    No,
}

impl Monitor {
    /// Starts to listen; changes by `kernel` are not told.
    ///
    /// # Errors
    /// [`BackendError::Open`]: no socket, or it may not listen.
    pub fn open(kernel: &Kernel) -> Result<Self, BackendError> {
        let socket = NetfilterSocket::open().map_err(BackendError::Open)?;
        socket.listen(GROUP, true).map_err(BackendError::Open)?;
        let own_ports = vec![kernel.port_id()?];
        Ok(Self { socket: Arc::new(socket), own_ports, touched: BTreeSet::new() })
    }

    /// Changes by `kernel` are not told either.
    ///
    /// # Errors
    /// [`BackendError::Open`]: the socket is unusable.
    pub fn disregard(&mut self, kernel: &Kernel) -> Result<(), BackendError> {
        self.own_ports.push(kernel.port_id()?);
        Ok(())
    }

    /// A handle that lets full writes go unheard.
    #[must_use]
    pub fn silencer(&self) -> Silencer {
        Silencer { socket: Arc::clone(&self.socket) }
    }

    /// Waits until somebody else has changed our tables; `None` when `timeout` has passed first.
    ///
    /// # Errors
    /// The socket's own, other than lost messages: those count as a change of both tables.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<Intrusion>> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.socket.receive() {
                Ok(Some(datagram)) => {
                    if let Some(intrusion) = self.read(&datagram) {
                        return Ok(Some(intrusion));
                    }
                }
                Ok(None) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if !self.socket.wait(left)? {
                        return Ok(None);
                    }
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                    return Ok(Some(Intrusion {
                        families: Family::ALL.into_iter().collect(),
                        process: None,
                    }));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one datagram; gives the intrusion that it completes.
    fn read(&mut self, datagram: &[u8]) -> Option<Intrusion> {
        let mut complete = None;
        for message in messages(datagram) {
            if self.own_ports.contains(&message.port) {
                continue;
            }
            let Some(content) = message.payload.get(FAMILY_HEADER_BYTES..) else { continue };
            if message.kind == NEW_GENERATION {
                let families = std::mem::take(&mut self.touched);
                if !families.is_empty() {
                    complete = Some(Intrusion { families, process: process(content) });
                }
            } else if message.kind & 0xff00 == SUBSYSTEM && is_ours(content) {
                let number = message.payload.first();
                let family =
                    Family::ALL.into_iter().find(|one| number == Some(&family_number(*one)));
                self.touched.extend(family);
            }
        }
        complete
    }
}

impl Silencer {
    /// Runs `write`, which makes `commits` commits by `kernel`, while nobody listens.
    ///
    /// # Errors
    /// [`BackendError::Open`]: the group or the generation counter cannot be reached.
    pub fn unheard<T>(
        &self,
        kernel: &Kernel,
        commits: u32,
        write: impl FnOnce() -> T,
    ) -> Result<(T, Alone), BackendError> {
        self.socket.listen(GROUP, false).map_err(BackendError::Open)?;
        let before = generation(kernel);
        let result = write();
        // Listen again before looking at the counter: what comes later is heard.
        self.socket.listen(GROUP, true).map_err(BackendError::Open)?;
        let alone = before?.wrapping_add(commits) == generation(kernel)?;
        Ok((result, if alone { Alone::Yes } else { Alone::No }))
    }
}

/// The kernel's count of commits to nftables in this network namespace.
fn generation(kernel: &Kernel) -> Result<u32, BackendError> {
    let datagram = kernel.request(&get_generation()).map_err(BackendError::Open)?;
    messages(&datagram)
        .filter(|message| message.kind == NEW_GENERATION)
        .find_map(|message| {
            let value =
                attribute(message.payload.get(FAMILY_HEADER_BYTES..)?, ATTRIBUTE_GENERATION)?;
            Some(u32::from_be_bytes(*value.first_chunk()?))
        })
        .ok_or_else(|| BackendError::Open(io::ErrorKind::InvalidData.into()))
}

fn attribute(content: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(content).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn is_ours(content: &[u8]) -> bool {
    attribute(content, ATTRIBUTE_TABLE)
        .is_some_and(|name| name.strip_suffix(&[0]) == Some(TABLE.as_bytes()))
}

fn process(content: &[u8]) -> Option<Process> {
    let id = attribute(content, ATTRIBUTE_PROCESS_ID)?;
    let name = attribute(content, ATTRIBUTE_PROCESS_NAME)?;
    Some(Process {
        id: u32::from_be_bytes(*id.first_chunk()?),
        name: String::from_utf8_lossy(name).trim_end_matches('\0').to_owned(),
    })
}
