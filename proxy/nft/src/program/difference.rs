//! What differs between the kernel and a new plan, for each family.

use std::collections::HashSet;

use podway_proxy_plan::plan::Family;

use crate::element::Element;
use crate::program::affinity::Affinities;
use crate::program::programmed::Programmed;
use crate::transaction::{Change, Transaction};

/// What differs, for each family.
#[derive(Debug, Default)]
pub(super) struct Difference {
    families: [Edits; 2],
}

/// Elements of one family that differ.
#[derive(Debug, Default)]
struct Edits {
    deleted: Vec<Element>,
    added: Vec<Element>,
    /// What clients may be remembered with, where that has become less.
    narrowed: Affinities,
}

impl Difference {
    fn family(&mut self, family: Family) -> &mut Edits {
        let [ip, ip6] = &mut self.families;
        match family {
            Family::Ip => ip,
            Family::Ip6 => ip6,
        }
    }

    /// Adds an element that was not there.
    pub(super) fn add(&mut self, element: Element) {
        for family in Family::ALL.into_iter().filter(|family| element.is_of_family(*family)) {
            self.family(family).added.push(element.clone());
        }
    }

    /// Deletes an element that was there.
    pub(super) fn delete(&mut self, element: Element) {
        for family in Family::ALL.into_iter().filter(|family| element.is_of_family(*family)) {
            self.family(family).deleted.push(element.clone());
        }
    }

    /// Takes in what differs between one Service before and after.
    pub(super) fn compare(&mut self, before: Option<&Programmed>, after: Option<&Programmed>) {
        for family in Family::ALL {
            let elements = |programmed: Option<&Programmed>| {
                let mut elements = Vec::new();
                if let Some(programmed) = programmed {
                    programmed.elements(family, &mut elements);
                }
                elements
            };
            self.compare_elements(family, elements(before), elements(after));
            let affinities = |programmed: Option<&Programmed>| {
                let mut affinities = Affinities::default();
                if let Some(programmed) = programmed {
                    programmed.affinities(family, &mut affinities);
                }
                affinities
            };
            self.family(family).narrowed.note_losses(affinities(before), &affinities(after));
        }
    }

    fn compare_elements(&mut self, family: Family, before: Vec<Element>, after: Vec<Element>) {
        if before == after {
            return;
        }
        let edits = self.family(family);
        let kept: HashSet<&Element> = before.iter().collect();
        let added: Vec<_> =
            after.iter().filter(|element| !kept.contains(element)).cloned().collect();
        let wanted: HashSet<Element> = after.into_iter().collect();
        edits.deleted.extend(before.into_iter().filter(|element| !wanted.contains(element)));
        edits.added.extend(added);
    }

    pub(super) fn transactions(self) -> [Transaction; 2] {
        let [ip, ip6] = self.families;
        [(Family::Ip, ip), (Family::Ip6, ip6)].map(|(family, edits)| {
            let Edits { deleted, added, narrowed } = edits;
            Transaction { family, change: Change::Elements { deleted, added, narrowed } }
        })
    }
}
