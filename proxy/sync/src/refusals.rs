//! How many packets of each Service port were refused or dropped, as the kernel counts them.
//!
//! The kernel counts at elements, which come and go with endpoints and with every whole write; what
//! is told here only rises while a Service is there. An element is read before it is taken out.
//! Kept is what was ever refused, so a cluster of healthy Services costs nothing.

use std::collections::{BTreeMap, HashMap};

use podway_cluster_model::name::{PortName, ServiceName};
use podway_proxy_nft::element::Element;
use podway_proxy_nft::names::SetName;
use podway_proxy_plan::plan::{Action, Family, FrontendKey, Origin, PortPlan, ServicePlan};
use podway_proxy_plan::planner::Changes;

use crate::per_family::PerFamily;

#[cfg(test)]
mod tests;

/// Why packets went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The Service has no endpoint.
    Reject,
    /// A traffic policy keeps this node from the endpoints.
    Drop,
    /// The source is in none of `loadBalancerSourceRanges`.
    SourceRange,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Reject, Self::Drop, Self::SourceRange];

    /// The verdict as a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Drop => "drop",
            Self::SourceRange => "source-range",
        }
    }

    /// The set whose elements count it.
    pub(crate) const fn set(self) -> SetName {
        match self {
            Self::Reject => SetName::Rejected,
            Self::Drop => SetName::Dropped,
            Self::SourceRange => SetName::RefusedSources,
        }
    }
}

/// Packets of one Service port that went no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The Service.
    pub service: ServiceName,
    /// Name of its port.
    pub port: PortName,
    /// Why.
    pub verdict: Verdict,
    /// How many, in both families together; at least 1.
    pub packets: u64,
}

/// What the kernel counted, by Service port.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Who has a frontend where packets may be refused.
    owners: HashMap<FrontendKey, (ServiceName, PortName)>,
    /// The newest count of each element that has counted anything.
    seen: HashMap<(FrontendKey, Verdict), u64>,
    totals: BTreeMap<ServiceName, BTreeMap<(PortName, Verdict), u64>>,
    /// Whether the table in the kernel is one of this run.
    known: PerFamily<bool>,
}

impl Refusals {
    /// Whether the table of `family` in the kernel is one of this run, not what an earlier one left.
    pub(crate) fn knows(&self, family: Family) -> bool {
        *self.known.of(family)
    }

    /// Takes in the count of an element that is in the kernel.
    ///
    /// One that has fallen began anew: somebody else emptied the table.
    pub(crate) fn saw(&mut self, verdict: Verdict, key: FrontendKey, packets: u64) {
        if packets == 0 {
            return;
        }
        let before = self.seen.insert((key, verdict), packets).unwrap_or(0);
        let new = packets.checked_sub(before).unwrap_or(packets);
        let Some((service, port)) = self.owners.get(&key).filter(|_| new > 0) else { return };
        let of_service = self.totals.entry(service.clone()).or_default();
        *of_service.entry((port.clone(), verdict)).or_default() += new;
    }

    /// Counts of these elements begin anew: they were taken out.
    pub(crate) fn forget(&mut self, elements: &[(Verdict, FrontendKey)]) {
        for (verdict, key) in elements {
            self.seen.remove(&(*key, *verdict));
        }
    }

    /// All counts of `family` begin anew: its table was replaced.
    pub(crate) fn forget_family(&mut self, family: Family) {
        self.seen.retain(|(key, _), _| Family::of(key.address) != family);
        *self.known.of_mut(family) = true;
    }

    /// Takes over changed plans, once their elements are in the kernel.
    pub(crate) fn follow(&mut self, changes: &Changes) {
        for (name, replaced) in &changes.replaced {
            for (key, _) in refusing(replaced) {
                if self.owners.get(&key).is_some_and(|(owner, _)| owner == name) {
                    self.owners.remove(&key);
                }
            }
        }
        for (name, plan) in &changes.plans {
            match plan {
                Some(plan) => self.owners.extend(
                    refusing(plan).map(|(key, port)| (key, (name.clone(), port.name.clone()))),
                ),
                None => drop(self.totals.remove(name)),
            }
        }
    }

    /// Everything that was refused, in order.
    pub(crate) fn all(&self) -> Vec<Refused> {
        let of_port =
            |service: &ServiceName, ((port, verdict), packets): (&(_, _), &u64)| Refused {
                service: service.clone(),
                port: PortName::clone(port),
                verdict: *verdict,
                packets: *packets,
            };
        self.totals
            .iter()
            .flat_map(|(service, ports)| ports.iter().map(move |port| of_port(service, port)))
            .collect()
    }
}

/// The frontends of a plan where packets may be refused.
fn refusing(plan: &ServicePlan) -> impl Iterator<Item = (FrontendKey, &PortPlan)> {
    plan.ports.iter().flat_map(|port| {
        let refuses = |action| match action {
            Action::Reject | Action::Drop => true,
            Action::Balance { .. } | Action::PreserveSource => false,
        };
        port.frontends
            .iter()
            .filter(move |frontend| {
                let guarded = port.sources.is_some() && frontend.origin == Origin::LoadBalancer;
                guarded || refuses(frontend.action)
            })
            .map(move |frontend| (frontend.key, port))
    })
}

/// The elements among `deleted` that count.
pub(crate) fn counting(deleted: &[Element]) -> Vec<(Verdict, FrontendKey)> {
    deleted
        .iter()
        .filter_map(|element| {
            let verdict = Verdict::ALL.into_iter().find(|one| one.set() == element.set())?;
            match element {
                Element::Frontend { key, .. } => Some((verdict, *key)),
                Element::Backend { .. }
                | Element::Hairpin(..)
                | Element::ClusterIp(_)
                | Element::Range { .. }
                | Element::AllowedSource { .. }
                | Element::AffinityId { .. }
                | Element::AffinityTimeout { .. }
                | Element::Learned(_)
                | Element::NodeLocalDns { .. }
                | Element::TranslatedClient { .. } => None,
            }
        })
        .collect()
}
