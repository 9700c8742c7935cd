//! EDGE: makes the kernel forget flows that go where they may not any more.
//!
//! Which those are, `proxy/plan` says (`stale_flows`); this reads the table of tracked flows and
//! deletes entries, by ctnetlink. Rules see the first packet of a flow only, so a forgotten flow is
//! sent by the new rules from its next packet on. Never is the table flushed.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use podway_cluster_model::port::Protocol;
use podway_proxy_nft::socket::{
    Acknowledgement, NLMSG_DONE, NLMSG_ERROR, NetfilterSocket, messages,
};
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::stale_flows::Permitted;

use self::message::{Selection, Tracked};

mod message;

/// Longest time the kernel may take for the next part of its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most frontends that are asked for one by one.
///
/// The kernel walks its whole table for each, which is cheap beside telling us of every flow of a
/// protocol, but not for nothing.
const MAX_SELECTIONS: usize = 4;

/// Entries deleted with one datagram: some 60 KiB.
const DELETIONS: usize = 512;

/// The table of tracked flows, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Conntrack {
    socket: NetfilterSocket,
}

impl Conntrack {
    /// Opens a socket to it.
    ///
    /// # Errors
    /// No netlink, or no memory. Want of privileges or of the module shows at the first request.
    pub fn open() -> io::Result<Self> {
        NetfilterSocket::open().map(|socket| Self { socket })
    }

    /// Forgets the flows of `family` that `permitted` forbids; gives how many there were.
    ///
    /// # Errors
    /// The kernel could not be asked, or would not do it; some flows may be forgotten already.
    pub fn forget(&self, family: Family, permitted: &Permitted) -> io::Result<usize> {
        let mut stale = Vec::new();
        for selection in selections(family, permitted) {
            self.dump(family, &selection, |payload| {
                let tracked = message::tracked(payload);
                stale.extend(tracked.filter(|tracked| permitted.forbids(&tracked.flow())));
            })?;
        }
        let mut forgotten = 0;
        for stale in stale.chunks(DELETIONS) {
            forgotten += self.delete(stale)?;
        }
        Ok(forgotten)
    }

    /// Clients whose packets are translated, and where replies are sent to that have to be.
    ///
    /// # Errors
    /// The kernel could not be asked.
    pub fn translated_clients(&self, family: Family) -> io::Result<BTreeSet<IpAddr>> {
        let mut clients = BTreeSet::new();
        self.dump(family, &Selection::All, |payload| {
            clients.extend(message::translated_client(payload).into_iter().flatten());
        })?;
        Ok(clients)
    }

    /// Reads the selected flows. A kernel before 5.8 gives all of the family.
    fn dump(
        &self,
        family: Family,
        selection: &Selection,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.send(&message::dump(family, selection))?;
        loop {
            let datagram = self.receive()?;
            for received in messages(&datagram) {
                match received.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return error(received.payload).map_or(Ok(()), Err),
                    message::TRACKED => take(received.payload),
                    _ => {}
                }
            }
        }
    }

    /// Deletes entries and gives how many were still there.
    fn delete(&self, stale: &[Tracked]) -> io::Result<usize> {
        self.send(&message::deletions(stale))?;
        let (mut gone, mut answered) = (0, 0);
        while answered < stale.len() {
            let datagram = self.receive()?;
            for received in messages(&datagram).filter(|one| one.kind == NLMSG_ERROR) {
                answered += 1;
                match error(received.payload) {
                    None => {}
                    // It ended by itself meanwhile.
                    Some(error) if error.kind() == io::ErrorKind::NotFound => gone += 1,
                    Some(error) => return Err(error),
                }
            }
        }
        Ok(stale.len() - gone)
    }

    /// Sends `bytes` after forgetting what an earlier request left unread.
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        while self.socket.receive()?.is_some() {}
        self.socket.send(bytes)
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(datagram) = self.socket.receive()? {
                return Ok(datagram);
            }
            if !self.socket.wait(PATIENCE)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// The error that an acknowledgement brings.
fn error(payload: &[u8]) -> Option<io::Error> {
    match Acknowledgement::read(payload) {
        Some(acknowledgement) => acknowledgement.error,
        None => Some(io::ErrorKind::InvalidData.into()),
    }
}

/// What to ask the kernel for, so that every flow of `family` that is spoken of comes.
fn selections(family: Family, permitted: &Permitted) -> Vec<Selection> {
    let frontends = |protocol| {
        permitted.frontends().copied().filter(move |key: &FrontendKey| {
            Family::of(key.address) == family && key.protocol == protocol
        })
    };
    let of_protocol = |protocol| match frontends(protocol).count() {
        0 => Vec::new(),
        1..=MAX_SELECTIONS => frontends(protocol).map(Selection::Frontend).collect(),
        _ => vec![Selection::Protocol(protocol)],
    };
    Protocol::ALL.into_iter().flat_map(of_protocol).collect()
}
