//! EDGE: says in the kernel at which addresses a DNS server of this node answers.
//!
//! What was said holds for [`LIFETIME`]; whoever says it has to prove it again and again. A whole
//! write of a table takes over what still holds. The loop's own changes and these take turns, so
//! that neither is mistaken for somebody else's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use podway_cluster_model::port::{Port, Protocol};
use podway_proxy_nft::element::Element;
use podway_proxy_nft::kernel::{BackendError, Kernel};
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::policy::DNS_PORT;

/// How long a server is taken to answer after it was last said to.
///
/// 1 s: as long as a killed daemon's queries are lost. Several proofs fit in, so that one that comes
/// late on a busy node changes nothing.
pub const LIFETIME: Duration = Duration::from_secs(1);

/// Says which addresses are answered at.
#[derive(Debug)]
pub struct Beacon {
    kernel: Kernel,
    said: Said,
}

/// Whether the kernel took what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It did.
    Yes,
    /// There is no table yet, or none that knows of such addresses.
    NoTable,
    /// It was not told: another process of ours speaks for this node.
    NotOurTurn,
}

/// What was said last, shared with who writes whole tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Last>>);

/// What was said last.
#[derive(Debug, Default)]
struct Last {
    keys: Vec<FrontendKey>,
    at: Option<Instant>,
    /// Whether another process of ours speaks for this node.
    silent: bool,
}

impl Beacon {
    /// Speaks through `kernel`; `said` is shared with who writes whole tables.
    pub(crate) fn new(kernel: Kernel, said: Said) -> Self {
        Self { kernel, said }
    }

    /// Says that `keys`, and no others, are answered at from now on.
    ///
    /// # Errors
    /// [`BackendError`]: the kernel did not take it, for one of the families at least.
    pub fn say(&self, keys: &[FrontendKey]) -> Result<Taken, BackendError> {
        let mut last = self.said.lock();
        last.forget();
        if last.silent {
            return Ok(Taken::NotOurTurn);
        }
        let at = Instant::now();
        let taken = for_each_family(keys, LIFETIME, |family, elements| {
            self.kernel.renew(family, elements)
        })?;
        if taken == Taken::Yes {
            (last.keys, last.at) = (keys.to_vec(), Some(at));
        }
        Ok(taken)
    }

    /// Takes back that `keys` are answered at; nothing else holds after that.
    ///
    /// # Errors
    /// [`BackendError`]: the kernel did not take it; it forgets them by itself after [`LIFETIME`].
    pub fn take_back(&self, keys: &[FrontendKey]) -> Result<Taken, BackendError> {
        let mut last = self.said.lock();
        last.forget();
        if last.silent {
            return Ok(Taken::NotOurTurn);
        }
        for_each_family(keys, LIFETIME, |family, elements| self.kernel.withdraw(family, elements))
    }
}

/// What clients send to the DNS server at an address, as rules know it.
pub fn frontends(address: std::net::IpAddr) -> impl Iterator<Item = FrontendKey> {
    let port = Port::new(DNS_PORT);
    [Protocol::Udp, Protocol::Tcp]
        .into_iter()
        .filter_map(move |protocol| Some(FrontendKey { address, protocol, port: port? }))
}

impl Last {
    fn forget(&mut self) {
        self.keys.clear();
        self.at = None;
    }
}

impl Said {
    /// Nothing is said any more: another process of ours speaks for this node.
    pub(crate) fn silence(&self) {
        let mut last = self.lock();
        last.forget();
        last.silent = true;
    }

    /// This process speaks for the node.
    pub(crate) fn speak(&self) {
        self.lock().silent = false;
    }

    /// Runs `write`, which puts a whole table of `family` in place, with what still holds; nobody
    /// says anything meanwhile.
    pub(crate) fn during<T>(&self, family: Family, write: impl FnOnce(&[Element]) -> T) -> T {
        let last = self.lock();
        let left = last.at.and_then(|at| LIFETIME.checked_sub(at.elapsed()));
        let kept = left.map_or_else(Vec::new, |left| elements(&last.keys, family, left));
        write(&kept)
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The elements of `family` for `keys`; none that hold for no time.
fn elements(keys: &[FrontendKey], family: Family, lifetime: Duration) -> Vec<Element> {
    let timeout_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
    keys.iter()
        .filter(|key| timeout_ms > 0 && Family::of(key.address) == family)
        .map(|key| Element::NodeLocalDns { key: *key, timeout_ms })
        .collect()
}

/// Has the elements of each family written; a table that is not there is told apart.
fn for_each_family(
    keys: &[FrontendKey],
    lifetime: Duration,
    write: impl Fn(Family, &[Element]) -> Result<(), BackendError>,
) -> Result<Taken, BackendError> {
    let mut taken = Taken::Yes;
    for family in Family::ALL {
        let elements = elements(keys, family, lifetime);
        if elements.is_empty() {
            continue;
        }
        match write(family, &elements) {
            Ok(()) => {}
            Err(BackendError::Rejected { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                taken = Taken::NoTable;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_write_takes_over_what_still_holds_and_for_no_longer() {
        let said = Said::default();
        let keys: Vec<_> = ["10.96.0.10", "fd00:96::a"]
            .into_iter()
            .flat_map(|one| frontends(one.parse().unwrap()))
            .collect();
        let count = |said: &Said, family| said.during(family, <[Element]>::len);
        assert_eq!(count(&said, Family::Ip), 0, "nothing was said");
        *said.lock() = Last { keys: keys.clone(), at: Some(Instant::now()), silent: false };
        said.during(Family::Ip6, |kept| {
            assert_eq!(kept.len(), 2, "both protocols of the one address");
            for element in kept {
                let Element::NodeLocalDns { timeout_ms, .. } = element else { panic!("{element}") };
                assert!(u128::from(*timeout_ms) <= LIFETIME.as_millis());
            }
        });
        *said.lock() = Last { keys, at: Instant::now().checked_sub(LIFETIME * 2), silent: false };
        assert_eq!(count(&said, Family::Ip), 0, "it is over");
    }
}
