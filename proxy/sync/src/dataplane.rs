//! What the loop needs of a kernel, and that Linux with nftables is one.

use std::error::Error;
use std::io;

use podway_proxy_nft::encode::Message;
use podway_proxy_nft::kernel::{BackendError, Kernel};
use podway_proxy_nft::monitor::{Alone, Silencer};
use podway_proxy_nft::transaction::{Change, Transaction};
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::stale_flows::Permitted;

use crate::beacon::Said;
use crate::bypass;
use crate::conntrack::Conntrack;
use crate::refusals::Verdict;

/// `EOPNOTSUPP`: what nf_tables says of a table of a family that it does not have.
const UNSUPPORTED_FAMILY: i32 = 95;

/// Takes transactions, each whole or not at all.
pub(crate) trait Dataplane {
    /// Why a transaction was not taken.
    type Error: Error + 'static;

    /// Writes `transaction`; says whether anybody else may have written meanwhile without being heard.
    ///
    /// # Errors
    /// Nothing of it was written.
    fn commit(&mut self, transaction: &Transaction) -> Result<Alone, Self::Error>;

    /// Whether `error` says that the kernel lacks the family of the transaction.
    fn lacks_family(error: &Self::Error) -> bool;

    /// Forgets the tracked flows of `family` that `permitted` forbids; gives how many there were.
    ///
    /// # Errors
    /// Some may be forgotten already.
    fn forget(&mut self, family: Family, permitted: &Permitted) -> io::Result<usize>;

    /// Packets that met each frontend of `family` with this verdict.
    ///
    /// # Errors
    /// The kernel could not be asked.
    fn counted(
        &mut self,
        family: Family,
        verdict: Verdict,
    ) -> Result<Vec<(FrontendKey, u64)>, Self::Error>;

    /// Packets that met `key` with this verdict; `None` where that is not its verdict.
    ///
    /// # Errors
    /// The kernel could not be asked.
    fn counted_at(
        &mut self,
        verdict: Verdict,
        key: &FrontendKey,
    ) -> Result<Option<u64>, Self::Error>;

    /// How many pods of `family` are kept tracked because rules translate what they send; `None` where
    /// none go untracked, and with a kernel that does not tell.
    ///
    /// # Errors
    /// The kernel could not be asked.
    fn translated_clients(&self, family: Family) -> Result<Option<u32>, Self::Error>;
}

/// The kernel's nftables.
pub(crate) struct Nftables {
    pub(crate) kernel: Kernel,
    pub(crate) silencer: Silencer,
    pub(crate) flows: Conntrack,
    pub(crate) said: Said,
}

impl Dataplane for Nftables {
    type Error = BackendError;

    fn commit(&mut self, transaction: &Transaction) -> Result<Alone, BackendError> {
        let Self { kernel, silencer, flows, said } = self;
        match transaction.change {
            Change::Elements { .. } => kernel.commit(transaction).map(|_| Alone::Yes),
            Change::Replace { ref table, ref elements, .. } => {
                let alone = said.during(transaction.family, |kept| {
                    let write = || kernel.commit_with(transaction, kept).map(drop);
                    match silencer.unheard(kernel, 1, write)? {
                        (Ok(()), Alone::Yes) => Ok(Alone::Yes),
                        // Nobody listened, so this may have been undone: once more, with the
                        // monitor on.
                        (Ok(()), Alone::No) => write().map(|()| Alone::No),
                        (Err(error), _) => Err(error),
                    }
                })?;
                if let Some(filled) = bypass::filled(flows, table, elements) {
                    kernel.commit(&filled)?;
                }
                Ok(alone)
            }
        }
    }

    fn lacks_family(error: &BackendError) -> bool {
        match error {
            BackendError::Rejected { at, source, .. } => {
                at.message == Some(Message::AddTable)
                    && source.raw_os_error() == Some(UNSUPPORTED_FAMILY)
            }
            BackendError::Open(_) | BackendError::Unavailable { .. } => false,
        }
    }

    fn forget(&mut self, family: Family, permitted: &Permitted) -> io::Result<usize> {
        self.flows.forget(family, permitted)
    }

    fn counted(
        &mut self,
        family: Family,
        verdict: Verdict,
    ) -> Result<Vec<(FrontendKey, u64)>, BackendError> {
        self.kernel.counted(family, verdict.set())
    }

    fn counted_at(
        &mut self,
        verdict: Verdict,
        key: &FrontendKey,
    ) -> Result<Option<u64>, BackendError> {
        self.kernel.counted_at(verdict.set(), key)
    }

    fn translated_clients(&self, family: Family) -> Result<Option<u32>, BackendError> {
        self.kernel.translated_clients(family)
    }
}
