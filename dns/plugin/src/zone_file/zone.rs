//! The names of a zone, and what stands at them.

use std::collections::BTreeMap;

use hickory_proto::rr::{Name, Record, RecordType};

/// A zone: whole, and never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    pub(super) origin: Name,
    /// Every name that exists, those between others too, in canonical order.
    pub(super) nodes: BTreeMap<Name, Node>,
    /// The SOA record as it stands in the file.
    pub(super) soa: Record,
    /// The SOA record of denials.
    pub(super) denial: Record,
    pub(super) serial: u32,
}

/// The records of a name; none for a name that stands only between others.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Node(Vec<(RecordType, Vec<Record>)>);

impl Node {
    /// All sets, in the order of the file.
    pub(super) fn sets(&self) -> &[(RecordType, Vec<Record>)] {
        &self.0
    }

    /// The records of a type.
    pub(super) fn set(&self, wanted: RecordType) -> &[Record] {
        let found = self.0.iter().find(|(record_type, _)| *record_type == wanted);
        found.map(|(_, records)| records.as_slice()).unwrap_or_default()
    }

    /// The records of a type, to be changed.
    pub(super) fn set_mut(&mut self, wanted: RecordType) -> &mut Vec<Record> {
        let found = self.0.iter().position(|(record_type, _)| *record_type == wanted);
        let at = found.unwrap_or_else(|| {
            self.0.push((wanted, Vec::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

impl Zone {
    /// The name of the zone, in lower case.
    #[must_use]
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// The serial of its SOA record.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Every name that exists, in canonical order; some have no records.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.nodes.keys()
    }

    /// All records in the order of a transfer (RFC 5936, section 2.2): the SOA record stands first
    /// and last.
    pub fn transfer(&self) -> impl Iterator<Item = &Record> {
        let sets = self.nodes.values().flat_map(Node::sets);
        let others = sets.filter(|(record_type, _)| *record_type != RecordType::SOA);
        let others = others.flat_map(|(_, records)| records);
        std::iter::once(&self.soa).chain(others).chain(std::iter::once(&self.soa))
    }
}
