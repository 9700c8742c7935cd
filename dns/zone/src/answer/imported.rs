//! SRV records of Services of other clusters.

use std::collections::{BTreeMap, BTreeSet};

use super::{Question, Sections, once_each};
use crate::imports::{ImportRecords, Target};
use crate::records;

impl Question<'_> {
    /// The ports of an imported Service, with the addresses of their targets.
    pub(super) fn imported_services(
        &self,
        records: &ImportRecords,
        targets: &[(Target<'_>, u16)],
    ) -> Sections {
        let weight = records::share_of_100(targets.len());
        let mut ports: BTreeMap<_, BTreeSet<u16>> = BTreeMap::new();
        for (target, port) in targets {
            ports.entry(target).or_default().insert(*port);
        }
        let mut sections = Sections::default();
        for (target, ports) in ports {
            let name = match target {
                Target::Import => self.origin.service(&records.name, None),
                Target::Member(cluster, label) => self.origin.member(&records.name, cluster, label),
            };
            let Some(name) = name else { continue };
            let srv = |port: &u16| self.origin.srv(self.name, weight, *port, name.clone());
            sections.answers.extend(ports.iter().map(srv));
            let addresses = once_each(records.addresses_at(target));
            sections.additionals.extend(addresses.map(|one| self.origin.address(&name, one)));
        }
        sections
    }
}
