//! Keeps the maps at the newest plan, and looks after them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use podway_cluster_model::chain::Chain;
use podway_cluster_model::name::ServiceName;
pub use podway_ebpf_abi::state::Counters;
use podway_proxy_plan::plan::ServicePlan;
use podway_proxy_plan::stale_flows::Permitted;
use tracing::{info, warn};

use crate::carry::Site;
use crate::destroy::Destroyer;
use crate::entries::{Entries, Write};
use crate::found::Found;
use crate::load::{self, LoadError, Place};
use crate::maps::{Maps, MapsError};
use crate::wanted::PoolName;

/// How often the maps are compared with what should be in them.
///
/// A minute: nobody else writes them, so this is a net below what nobody thought of.
const AUDIT_INTERVAL: Duration = Duration::from_secs(60);

/// Wait before maps that could not be written are compared and repaired.
const REPAIR_DELAY: Duration = Duration::from_secs(1);

/// A plan that changed; `None` is a Service that is gone.
pub type PlanChange = (ServiceName, Option<Arc<ServicePlan>>);

/// The maps of this node, with programs attached.
#[derive(Debug)]
pub struct Backend {
    site: Site,
    place: Place,
    /// What is in the maps; `None` while another process writes them, or may.
    entries: Option<Entries>,
    /// Whether another process was let in, which may have put its own programs into the links.
    stood_by: bool,
    maps: Maps,
    /// What waits for the rules of nftables.
    after: Vec<Write>,
    next_audit: Instant,
    counts: Counts,
    destroyer: Destroyer,
}

/// What the back end counts of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Writes that the kernel refused.
    pub failures: u64,
    /// Differences that audits found.
    pub repairs: u64,
    /// Connected sockets that were destroyed because their endpoint is gone.
    pub destroyed: u64,
}

impl Backend {
    /// Loads the programs at `place`; what is in their maps stays as it is.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn start(place: &Place, site: Site, now: Instant) -> Result<Self, LoadError> {
        let maps = load::load(place)?;
        info!(
            cgroup = %place.cgroup.display(),
            pins = %place.pins.display(),
            "eBPF programs run at the socket hooks"
        );
        Ok(Self {
            site,
            place: place.clone(),
            entries: None,
            stood_by: false,
            maps,
            after: Vec::new(),
            next_audit: now + AUDIT_INTERVAL,
            counts: Counts::default(),
            destroyer: Destroyer::start(place.pins.clone()).map_err(LoadError::Thread)?,
        })
    }

    /// Takes over what is in the maps and makes it what `plans`, which are all, want.
    pub fn take_over(&mut self, plans: Vec<PlanChange>, now: Instant) {
        if std::mem::take(&mut self.stood_by) {
            // Programs of another version run on maps that nobody would keep at the newest plan.
            match load::load(&self.place) {
                Ok(maps) => self.maps = maps,
                Err(error) => {
                    self.stood_by = true;
                    self.counts.failures += 1;
                    warn!(error = %Chain(&error), "eBPF programs cannot be put back");
                }
            }
        }
        let found = self.maps.found().unwrap_or_else(|error| {
            // The audit that this makes due removes what nobody knows of.
            self.failed(&error, now);
            Found::default()
        });
        info!(frontends = found.frontends.len(), "eBPF maps taken over");
        self.entries = Some(Entries::new(self.site.clone(), found));
        self.before_rules(plans, now);
    }

    /// Writes nothing until it takes over again.
    pub fn stand_by(&mut self) {
        self.entries = None;
        self.stood_by = true;
        self.after.clear();
    }

    /// Follows plans that changed, as far as the rules of nftables must not come first.
    pub fn before_rules(&mut self, changed: Vec<PlanChange>, now: Instant) {
        let Some(entries) = &mut self.entries else { return };
        let batch = entries.update(changed, now);
        self.write(&batch.before, now);
        self.after.extend(batch.after);
        self.destroyer.endpoints_gone(batch.gone);
    }

    /// Does what had to wait for the rules of nftables.
    pub fn after_rules(&mut self, now: Instant) {
        let after = std::mem::take(&mut self.after);
        self.write(&after, now);
    }

    /// When [`Self::tend`] is to be called next.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.entries.as_ref().map(|_| self.next_audit)
    }

    /// Compares the maps with what should be in them, if that is due.
    pub fn tend(&mut self, now: Instant) {
        let Some(entries) = self.entries.as_mut().filter(|_| self.next_audit <= now) else {
            return;
        };
        self.next_audit = now + AUDIT_INTERVAL;
        // Whoever listened and was killed has left the order to tell.
        self.maps.tell_nobody();
        let batch = entries.retry(now);
        self.write(&batch.before, now);
        self.write(&batch.after, now);
        match self.maps.found() {
            Ok(found) => {
                let repairs = self.entries.as_ref().map(|entries| entries.repairs(&found));
                let repairs = repairs.unwrap_or_default();
                if !repairs.is_empty() {
                    warn!(differences = repairs.len(), "eBPF maps differ from the plan; repaired");
                    self.counts.repairs += u64::try_from(repairs.len()).unwrap_or(u64::MAX);
                    self.write(&repairs, now);
                }
            }
            Err(error) => self.failed(&error, now),
        }
    }

    /// Resets the TCP connections that `permitted` forbids.
    pub fn forget(&self, permitted: &Permitted) {
        if self.entries.is_some() {
            self.destroyer.connections_forbidden(permitted);
        }
    }

    /// Decides from now on for another site; says whether that is another one, and then has to take
    /// over anew.
    pub fn set_site(&mut self, site: Site) -> bool {
        let is_other = site != self.site;
        self.site = site;
        is_other
    }

    /// What every pool has counted.
    pub fn counters(&self) -> impl Iterator<Item = (&PoolName, Counters)> {
        let counters = |index| self.maps.counters(index).unwrap_or_default();
        let pools = self.entries.iter().flat_map(Entries::pools);
        pools.map(move |(name, index)| (name, counters(index)))
    }

    /// What is in the maps; `None` while another process writes them.
    #[must_use]
    pub const fn entries(&self) -> Option<&Entries> {
        self.entries.as_ref()
    }

    /// What the back end counts of itself.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { destroyed: self.destroyer.destroyed(), ..self.counts }
    }

    fn write(&mut self, writes: &[Write], now: Instant) {
        for write in writes {
            if let Err(error) = self.maps.write(write) {
                self.failed(&error, now);
            }
        }
    }

    fn failed(&mut self, error: &MapsError, now: Instant) {
        self.counts.failures += 1;
        self.next_audit = self.next_audit.min(now + REPAIR_DELAY);
        warn!(error = %Chain(error), "an eBPF map cannot be used; nftables carries what is missing");
    }
}
