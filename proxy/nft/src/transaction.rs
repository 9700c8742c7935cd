//! A change of one table as data: what one commit does, and nothing else.

use std::collections::BTreeSet;
use std::fmt;

use podway_proxy_plan::plan::Family;

use crate::element::Element;
use crate::names::TABLE;
use crate::program::Affinities;
use crate::ruleset::Table;

/// A change of one table; applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The table's family.
    pub family: Family,
    /// What to do.
    pub change: Change,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts the table in place of whatever stands there.
    Replace {
        /// Sets, chains and rules.
        table: Table,
        /// All elements but the clients remembered.
        elements: Vec<Element>,
        /// Which of the clients that the kernel remembers are carried over.
        affinities: Affinities,
    },
    /// Changes elements of the table that stands there.
    Elements {
        /// To take out, before anything is put in.
        deleted: Vec<Element>,
        /// To put in.
        added: Vec<Element>,
        /// Which of the clients that the kernel remembers are forgotten: those that this forbids.
        narrowed: Affinities,
    },
}

impl Transaction {
    /// Whether it does nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.change {
            Change::Replace { .. } => false,
            Change::Elements { deleted, added, narrowed } => {
                deleted.is_empty() && added.is_empty() && narrowed.is_empty()
            }
        }
    }

    /// Times in seconds that clients are remembered for by what it adds.
    #[must_use]
    pub fn timeouts(&self) -> BTreeSet<u32> {
        match &self.change {
            Change::Replace { elements, .. } => timeouts(elements),
            Change::Elements { added, .. } => timeouts(added),
        }
    }

    /// Number of elements it adds or deletes.
    #[must_use]
    pub fn elements(&self) -> usize {
        match &self.change {
            Change::Replace { elements, .. } => elements.len(),
            Change::Elements { deleted, added, .. } => deleted.len() + added.len(),
        }
    }
}

/// Times in seconds that clients are remembered for by `elements`.
pub(crate) fn timeouts(elements: &[Element]) -> BTreeSet<u32> {
    let timeout = |element: &Element| match element {
        Element::AffinityTimeout { timeout_s, .. } => Some(*timeout_s),
        Element::Frontend { .. }
        | Element::Backend { .. }
        | Element::Hairpin(..)
        | Element::ClusterIp(_)
        | Element::Range { .. }
        | Element::AllowedSource { .. }
        | Element::AffinityId { .. }
        | Element::Learned(_)
        | Element::NodeLocalDns { .. }
        | Element::TranslatedClient { .. } => None,
    };
    elements.iter().filter_map(timeout).collect()
}

impl fmt::Display for Transaction {
    /// Writes the commands that `nft -f` would take.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.family.name();
        let mut element = |verb: &str, element: &Element| {
            writeln!(formatter, "{verb} element {family} {TABLE} {} {{ {element} }}", element.set())
        };
        match &self.change {
            Change::Elements { deleted, added, .. } => {
                deleted.iter().try_for_each(|one| element("delete", one))?;
                added.iter().try_for_each(|one| element("add", one))
            }
            Change::Replace { table, elements, .. } => {
                writeln!(formatter, "add table {family} {TABLE}")?;
                writeln!(formatter, "delete table {family} {TABLE}")?;
                table.write(formatter, |set| {
                    elements
                        .iter()
                        .filter(|element| element.set() == set)
                        .map(ToString::to_string)
                        .collect()
                })
            }
        }
    }
}
