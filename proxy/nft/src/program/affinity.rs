//! Numbers that clients are remembered under, and which of them may still be.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;

use podway_proxy_plan::plan::{Pool, PortPlan, ServicePlan};

use crate::element::{AffinityId, Learned};

/// The number that the clients of a Service port's pool are remembered under.
///
/// A hash of its names: the same after a restart, so that what the kernel remembers stays good. Two
/// ports that share a number remember their clients together; a client whose endpoint is the other
/// port's is then sent to the wrong one, with a chance of one in 10^9 for a hundred such ports.
pub(super) fn affinity_id(service: &ServicePlan, port: &PortPlan, pool: Pool) -> AffinityId {
    /// FNV-1a, 32 bits: <https://www.rfc-editor.org/rfc/rfc9923>.
    const OFFSET_BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let text =
        format!("{}/{}/{}/{}/{pool}", port.family.name(), service.name, port.name, port.protocol);
    let hash = text
        .bytes()
        .fold(OFFSET_BASIS, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(PRIME));
    AffinityId(NonZeroU32::new(hash).unwrap_or(NonZeroU32::MIN))
}

/// Which endpoints clients may be remembered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affinities(HashMap<AffinityId, Allowed>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Allowed {
    timeout_s: u32,
    endpoints: HashSet<SocketAddr>,
}

impl Affinities {
    /// Lets clients be remembered under `id` with `endpoints`.
    pub(super) fn allow(
        &mut self,
        id: AffinityId,
        timeout_s: u32,
        endpoints: impl Iterator<Item = SocketAddr>,
    ) {
        let allowed = self.0.entry(id).or_default();
        allowed.timeout_s = timeout_s;
        allowed.endpoints.extend(endpoints);
    }

    /// Whether nobody is to be remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `learned` may be kept: its port still remembers clients so long, with that endpoint.
    #[must_use]
    pub fn allows(&self, learned: &Learned) -> bool {
        self.0.get(&learned.id).is_some_and(|allowed| {
            u64::from(allowed.timeout_s) * 1_000 == learned.timeout_ms
                && allowed.endpoints.contains(&learned.endpoint)
        })
    }

    /// Whether `learned` must be forgotten: its number is spoken of, and it is not allowed.
    #[must_use]
    pub fn forbids(&self, learned: &Learned) -> bool {
        self.0.contains_key(&learned.id) && !self.allows(learned)
    }

    /// Adds, out of `after`, every number for which something was allowed `before` and is no more.
    pub(super) fn note_losses(&mut self, before: Self, after: &Self) {
        for (id, old) in before.0 {
            let new = after.0.get(&id).cloned().unwrap_or_default();
            if old.timeout_s != new.timeout_s || !old.endpoints.is_subset(&new.endpoints) {
                self.0.insert(id, new);
            }
        }
    }
}
