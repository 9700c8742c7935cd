//! Records to a zone, and what must not be in one.

use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use podway_dns_corefile::{Mistake, Place};

use super::Zone;
use super::zone::Node;

/// Most findings of a kind that are listed; a file with more is no zone.
const MOST_LISTED: usize = 100;

/// Types that may stand beside an alias (RFC 4034, sections 3 and 4).
const BESIDE_ALIAS: &[RecordType] = &[RecordType::CNAME, RecordType::RRSIG, RecordType::NSEC];

/// What is found wrong with a zone.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What refuses it.
    pub(super) mistakes: List,
    /// What has no effect.
    pub(super) warnings: List,
}

/// Findings of one kind.
#[derive(Debug, Default)]
pub(super) struct List {
    listed: Vec<Mistake>,
    more: usize,
}

impl List {
    /// Adds a finding.
    pub(super) fn add(&mut self, mistake: Mistake) {
        if self.listed.len() < MOST_LISTED {
            self.listed.push(mistake);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The findings in order of place; the last one says how many are not listed.
    pub(super) fn listed(mut self) -> Vec<Mistake> {
        self.listed.sort();
        if let (1.., Some(last)) = (self.more, self.listed.last_mut()) {
            last.text.push_str(&format!(" (and {} more)", self.more));
        }
        self.listed
    }
}

/// Collects the records of a zone.
#[derive(Debug)]
pub(super) struct Builder {
    origin: Name,
    nodes: BTreeMap<Name, Node>,
    /// Where aliases stand, by their names.
    aliases: BTreeMap<Name, Place>,
}

impl Builder {
    /// Nothing yet of the zone `origin`, which is of lower case.
    pub(super) fn new(origin: Name) -> Self {
        Self { origin, nodes: BTreeMap::new(), aliases: BTreeMap::new() }
    }

    /// Adds a record that stands at `place`.
    pub(super) fn add(&mut self, record: Record, place: Place, findings: &mut Findings) {
        let record_type = record.record_type();
        let find = |text: String| Mistake { place: place.clone(), text, accepted: None };
        let owner = &record.name;
        if record.dns_class != DNSClass::IN {
            let text = format!("{owner} {record_type} is of class {}", record.dns_class);
            findings.mistakes.add(Mistake { accepted: Some("IN".to_owned()), ..find(text) });
            return;
        }
        if !self.origin.zone_of(owner) {
            let text = format!("{owner} is not in the zone {} and left out", self.origin);
            findings.warnings.add(find(text));
            return;
        }
        if record_type == RecordType::SOA && *owner != self.origin {
            let text = format!("the SOA record is of {owner}, not of the zone {}", self.origin);
            findings.mistakes.add(find(text));
            return;
        }
        let node = self.nodes.entry(owner.clone()).or_default();
        let set = node.set_mut(record_type);
        if set.iter().any(|known| known.data == record.data) {
            return;
        }
        let single = matches!(record_type, RecordType::SOA | RecordType::CNAME | RecordType::DNAME);
        if single && !set.is_empty() {
            findings.mistakes.add(find(format!("{owner} has a second {record_type} record")));
            return;
        }
        if let Some(first) = set.first().filter(|first| first.ttl != record.ttl) {
            // All records of a set live equally long (RFC 2181, section 5.2).
            let ttl = first.ttl.min(record.ttl);
            let text =
                format!("{owner} {record_type} lives for {ttl} s as other records of the set do");
            findings.warnings.add(find(text));
            set.iter_mut().for_each(|known| known.ttl = ttl);
            let mut record = record;
            record.ttl = ttl;
            set.push(record);
            return;
        }
        if record_type == RecordType::CNAME {
            self.aliases.insert(owner.clone(), place);
        }
        set.push(record);
    }

    /// The zone; `None` if it is none, which the findings then say.
    pub(super) fn zone(self, file: &Arc<str>, findings: &mut Findings) -> Option<Zone> {
        let Self { origin, mut nodes, aliases } = self;
        for (owner, place) in aliases {
            let other = |(kind, _): &&(RecordType, Vec<Record>)| !BESIDE_ALIAS.contains(kind);
            let other = nodes.get(&owner).and_then(|node| node.sets().iter().find(other));
            if let Some((kind, _)) = other {
                let text = format!("{owner} has a CNAME record and {kind} records");
                let accepted = Some("a CNAME record alone".to_owned());
                findings.mistakes.add(Mistake { place, text, accepted });
            }
        }
        let place = || Place { file: Arc::clone(file), line: 1, column: 1 };
        let apex = nodes.get(&origin);
        let soa = apex.and_then(|node| node.set(RecordType::SOA).first()).cloned();
        if apex.is_some_and(|node| node.set(RecordType::NS).is_empty()) {
            let text = format!("the zone {origin} has no NS record");
            findings.warnings.add(Mistake { place: place(), text, accepted: None });
        }
        let denial = soa.clone().and_then(denial);
        let (Some(soa), Some((denial, serial))) = (soa, denial) else {
            let text = format!("the zone {origin} has no SOA record");
            let accepted = Some("@ SOA NS MAILBOX SERIAL REFRESH RETRY EXPIRE MINIMUM".to_owned());
            findings.mistakes.add(Mistake { place: place(), text, accepted });
            return None;
        };
        add_names_between(&origin, &mut nodes);
        Some(Zone { origin, nodes, soa, denial, serial })
    }
}

/// The SOA record of denials, which live no longer than it says (RFC 2308, section 3), and the
/// serial.
fn denial(mut soa: Record) -> Option<(Record, u32)> {
    let RData::SOA(data) = &soa.data else { return None };
    let serial = data.serial;
    soa.ttl = soa.ttl.min(data.minimum);
    Some((soa, serial))
}

/// Adds the names above others that have no records themselves.
fn add_names_between(origin: &Name, nodes: &mut BTreeMap<Name, Node>) {
    let owners: Vec<Name> = nodes.keys().cloned().collect();
    for owner in owners {
        let mut name = owner;
        while name.iter().len() > origin.iter().len() {
            name = name.base_name();
            if let Entry::Vacant(between) = nodes.entry(name.clone()) {
                between.insert(Node::default());
            } else {
                // What is there has its own names above already, or gets them.
                break;
            }
        }
    }
}
