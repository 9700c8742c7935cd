//! EDGE: commits transactions to the kernel.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use podway_proxy_plan::plan::{Family, FrontendKey};
use thiserror::Error;

use crate::decode;
use crate::element::{Element, Learned};
use crate::encode::{Batch, Message, get_elements, get_frontend, get_set};
use crate::names::{SetName, TABLE};
use crate::program::Affinities;
use crate::socket::{Acknowledgement, NLMSG_DONE, NLMSG_ERROR, NetfilterSocket, messages};
use crate::transaction::{Change, Transaction};

/// Longest time the kernel may take to acknowledge a batch that it has already handled.
///
/// The acknowledgement is queued before the send returns, so waiting at all means that it was lost.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the kernel's table is not what it should be.
#[derive(Debug, Error)]
pub enum BackendError {
    /// No socket to the kernel.
    #[error("cannot open a netfilter socket")]
    Open(#[source] io::Error),
    /// The kernel refused the transaction; nothing changed.
    #[error("the kernel refused the transaction for table {family} {TABLE} at {at}", family = family.name())]
    Rejected {
        /// Family of the table.
        family: Family,
        /// What it refused.
        at: Refused,
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// The transaction could not be sent, or its outcome is not known.
    #[error("cannot commit the transaction for table {family} {TABLE} ({bytes} bytes)", family = family.name())]
    Unavailable {
        /// Family of the table.
        family: Family,
        /// Size of the batch.
        bytes: usize,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// What the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The first message it refused; `None` when it refused the whole.
    pub message: Option<Message>,
    /// The kernel's own words, where it had any.
    pub reason: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(formatter, "\"{message}\"")?,
            None => formatter.write_str("the commit")?,
        }
        match &self.reason {
            Some(reason) => write!(formatter, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Elements added and deleted.
    pub elements: usize,
    /// Size of the batch.
    pub bytes: usize,
    /// Time to encode it.
    pub encoding: Duration,
    /// Time the kernel took.
    pub kernel: Duration,
}

/// The kernel's nftables, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Kernel {
    socket: NetfilterSocket,
}

impl Kernel {
    /// Opens a socket to it.
    ///
    /// # Errors
    /// [`BackendError::Open`]: no netlink, or no memory. Want of privileges shows at the first commit.
    pub fn open() -> Result<Self, BackendError> {
        NetfilterSocket::open().map(|socket| Self { socket }).map_err(BackendError::Open)
    }

    /// The port id by which the kernel names this socket as the author of a change.
    ///
    /// # Errors
    /// [`BackendError::Open`]: the socket is unusable.
    pub fn port_id(&self) -> Result<u32, BackendError> {
        self.socket.port_id().map_err(BackendError::Open)
    }

    /// Applies `transaction` whole or not at all.
    ///
    /// # Errors
    /// [`BackendError::Rejected`]: the kernel refused it and nothing changed.
    /// [`BackendError::Unavailable`]: it could not be sent, or was not acknowledged.
    pub fn commit(&self, transaction: &Transaction) -> Result<Committed, BackendError> {
        self.commit_with(transaction, &[])
    }

    /// As [`Self::commit`]; `kept` are elements that stand in the table beside what is planned, for
    /// a transaction that replaces it.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub fn commit_with(
        &self,
        transaction: &Transaction,
        kept: &[Element],
    ) -> Result<Committed, BackendError> {
        let start = Instant::now();
        let learned = self.remembered(transaction)?;
        let kept = match transaction.change {
            Change::Replace { .. } => kept,
            Change::Elements { .. } => &[],
        };
        let remembered: Vec<Element> =
            learned.into_iter().map(Element::Learned).chain(kept.iter().cloned()).collect();
        let reading = start.elapsed();
        let batch = Batch::of(transaction, &remembered);
        let encoding = start.elapsed().saturating_sub(reading);
        self.commit_batch(transaction.family, &batch)?;
        let committed = Committed {
            elements: transaction.elements() + remembered.len(),
            bytes: batch.bytes().len(),
            encoding,
            kernel: start.elapsed().saturating_sub(encoding),
        };
        self.forget_late(transaction)?;
        Ok(committed)
    }

    /// The clients that `transaction` carries over to a new table, or makes the old one forget.
    fn remembered(&self, transaction: &Transaction) -> Result<Vec<Learned>, BackendError> {
        let (affinities, wanted): (_, fn(&Affinities, &Learned) -> bool) = match &transaction.change
        {
            Change::Replace { affinities, .. } => (affinities, Affinities::allows),
            Change::Elements { narrowed, .. } => (narrowed, Affinities::forbids),
        };
        if affinities.is_empty() {
            return Ok(Vec::new());
        }
        let mut learned = self.learned(transaction.family)?;
        learned.retain(|learned| wanted(affinities, learned));
        Ok(learned)
    }

    /// Forgets clients that were learned between the look and the commit.
    ///
    /// After the commit only a client remembered so is still sent to an endpoint that is gone.
    fn forget_late(&self, transaction: &Transaction) -> Result<(), BackendError> {
        let Transaction { family, change: Change::Elements { narrowed, .. } } = transaction else {
            return Ok(());
        };
        /// Each round finds only clients of connections under way since the one before.
        const MOST_ROUNDS: usize = 3;
        for _ in 0..MOST_ROUNDS {
            let late = self.remembered(transaction)?;
            if late.is_empty() {
                break;
            }
            let change = Change::Elements {
                deleted: Vec::new(),
                added: Vec::new(),
                narrowed: narrowed.clone(),
            };
            let forgetting = Transaction { family: *family, change };
            let late: Vec<_> = late.into_iter().map(Element::Learned).collect();
            match self.commit_batch(*family, &Batch::of(&forgetting, &late)) {
                Ok(()) => {}
                // One of them was forgotten in time: look again.
                Err(BackendError::Rejected { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The clients that the kernel remembers; none where there is no table, or no map in it.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]: the kernel could not be asked.
    pub fn learned(&self, family: Family) -> Result<Vec<Learned>, BackendError> {
        let elements = self.elements(family, SetName::Affinity)?;
        Ok(elements.iter().filter_map(|element| decode::learned(family, element)).collect())
    }

    /// How many pods are remembered whose packets rules translate; `None` where there is no such set,
    /// and with a kernel that does not tell: to read them all could take it seconds.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]: the kernel could not be asked.
    pub fn translated_clients(&self, family: Family) -> Result<Option<u32>, BackendError> {
        self.first(family, &get_set(family, SetName::TranslatedClients), decode::set_count)
    }

    /// Packets that met each frontend of a counted set.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]: the kernel could not be asked.
    pub fn counted(
        &self,
        family: Family,
        set: SetName,
    ) -> Result<Vec<(FrontendKey, u64)>, BackendError> {
        let elements = self.elements(family, set)?;
        Ok(elements.iter().filter_map(|element| decode::counted(family, element)).collect())
    }

    /// Packets that met `key` in a counted set; `None` where it is not in there.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`]: the kernel could not be asked.
    pub fn counted_at(&self, set: SetName, key: &FrontendKey) -> Result<Option<u64>, BackendError> {
        let family = Family::of(key.address);
        self.first(family, &get_frontend(set, key), |payload| {
            let elements = decode::elements(payload);
            let counted = elements.iter().find_map(|element| decode::counted(family, element));
            counted.map(|(_, packets)| packets)
        })
    }

    /// The first thing that `read` finds in the answer to `request`; `None` where what is asked for is
    /// not there.
    fn first<T>(
        &self,
        family: Family,
        request: &[u8],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, BackendError> {
        let bytes = request.len();
        let unavailable = |source| BackendError::Unavailable { family, bytes, source };
        let datagram = self.request(request).map_err(unavailable)?;
        for message in messages(&datagram) {
            if message.kind == NLMSG_ERROR {
                return absent(message.payload).map_err(unavailable).map(|()| None);
            }
            if let Some(found) = read(message.payload) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The attributes of each element of a set; none where there is no such set.
    fn elements(&self, family: Family, set: SetName) -> Result<Vec<Vec<u8>>, BackendError> {
        let request = get_elements(family, set);
        let bytes = request.len();
        let unavailable = |source| BackendError::Unavailable { family, bytes, source };
        self.send(&request).map_err(unavailable)?;
        let mut elements = Vec::new();
        loop {
            let datagram = self.receive().map_err(unavailable)?;
            for message in messages(&datagram) {
                match message.kind {
                    NLMSG_DONE => return Ok(elements),
                    NLMSG_ERROR => {
                        return absent(message.payload).map_err(unavailable).map(|()| elements);
                    }
                    _ => elements.extend(decode::elements(message.payload)),
                }
            }
        }
    }

    /// Gives `elements` of the table of `family` their whole time again, or puts them in.
    ///
    /// # Errors
    /// As [`Self::commit`]; also where there is no such table.
    pub fn renew(&self, family: Family, elements: &[Element]) -> Result<(), BackendError> {
        self.commit_batch(family, &Batch::renewing(family, elements))
    }

    /// Takes `elements` out of the table of `family`, if they are in there.
    ///
    /// # Errors
    /// As [`Self::commit`]; also where there is no such table.
    pub fn withdraw(&self, family: Family, elements: &[Element]) -> Result<(), BackendError> {
        self.commit_batch(family, &Batch::withdrawing(family, elements))
    }

    /// Deletes our tables; gives the families that had one.
    ///
    /// # Errors
    /// As [`Self::commit`]; a table that is not there is no error.
    pub fn delete_tables(&self) -> Result<Vec<Family>, BackendError> {
        let mut deleted = Vec::new();
        for family in Family::ALL {
            match self.commit_batch(family, &Batch::deleting_table(family)) {
                Ok(()) => deleted.push(family),
                Err(BackendError::Rejected { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    fn commit_batch(&self, family: Family, batch: &Batch) -> Result<(), BackendError> {
        let bytes = batch.bytes().len();
        let unavailable = |source| BackendError::Unavailable { family, bytes, source };
        self.send(batch.bytes()).map_err(unavailable)?;
        let refused = self.outcome(batch).map_err(unavailable)?;
        match refused {
            None => Ok(()),
            Some((message, Acknowledgement { error, reason })) => Err(BackendError::Rejected {
                family,
                at: Refused { message, reason },
                source: error.unwrap_or_else(|| io::ErrorKind::Other.into()),
            }),
        }
    }

    /// Sends one request that is no transaction and gives the first datagram of the answer.
    pub(crate) fn request(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.send(bytes)?;
        self.receive()
    }

    /// Sends `bytes` after forgetting what an earlier request left unread.
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        while self.socket.receive()?.is_some() {}
        self.socket.send(bytes)
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        loop {
            match self.socket.receive() {
                Ok(Some(datagram)) => return Ok(datagram),
                Ok(None) => {}
                // Later errors of the batch were lost; what came first is still there to read.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => continue,
                Err(error) => return Err(error),
            }
            if !self.socket.wait(ACKNOWLEDGEMENT_TIMEOUT)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Waits for the acknowledgement of `batch`, or for the first error of one of its messages.
    fn outcome(&self, batch: &Batch) -> io::Result<Option<(Option<Message>, Acknowledgement)>> {
        loop {
            let datagram = self.receive()?;
            for received in messages(&datagram).filter(|received| received.kind == NLMSG_ERROR) {
                let Some(acknowledgement) = Acknowledgement::read(received.payload) else {
                    continue;
                };
                if acknowledgement.error.is_some() {
                    // The commit as a whole is refused in the name of the message that opened it.
                    let message = batch
                        .message(received.sequence)
                        .filter(|message| *message != Message::BatchBegin);
                    return Ok(Some((message, acknowledgement)));
                }
                if received.sequence == batch.acknowledged() {
                    return Ok(None);
                }
            }
        }
    }
}

/// Takes an acknowledgement that says that something is not there, and no other error.
fn absent(acknowledgement: &[u8]) -> io::Result<()> {
    match Acknowledgement::read(acknowledgement).and_then(|read| read.error) {
        Some(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Some(_) | None => Ok(()),
    }
}
