//! Name and type in, answer out: the one place where it is decided what a name gets.

use hickory_proto::rr::{Name, Record, RecordType};

use crate::index::ZoneIndex;
use crate::qname::QName;
use crate::records;

/// What a question gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The name is in none of our zones, or is an address without a name in a reverse zone that is
    /// not ours alone: forward it, or refuse.
    NotOurs,
    /// The name is ours and nothing is known yet: SERVFAIL.
    NotSynced {
        /// For the authority section.
        soa: Record,
    },
    /// Records of the type asked.
    Records {
        /// The answer section.
        answers: Vec<Record>,
        /// The additional section; may be left out.
        additionals: Vec<Record>,
    },
    /// The name is an alias; what `target` answers to the same type belongs behind the CNAME.
    ///
    /// The target may be in our zones, and then another question to the index gives the rest.
    Alias {
        /// The CNAME record.
        cname: Record,
        /// The name it leads to.
        target: Name,
    },
    /// The name exists and has no records of the type asked: NOERROR without an answer.
    NoData {
        /// For the authority section.
        soa: Record,
    },
    /// The name does not exist.
    NxDomain {
        /// For the authority section.
        soa: Record,
    },
    /// A transfer of the zone, which is not offered.
    Refused,
}

/// What `name` answers to `record_type`.
///
/// Letter case does not matter for what is found; the answers are owned by `name` as it is spelled.
#[must_use]
pub fn answer(index: &ZoneIndex, name: &Name, record_type: RecordType) -> Answer {
    let qname = QName::new(name);
    let config = index.config();
    let Some(zone) = config.zone_of(&qname) else { return Answer::NotOurs };
    let soa = records::soa(&name.trim_to(zone.lowered.label_count()), index.serial(), config.ttl());
    if !index.is_synced() {
        return Answer::NotSynced { soa };
    }
    match record_type {
        RecordType::AXFR | RecordType::IXFR => Answer::Refused,
        _ => Answer::NxDomain { soa },
    }
}
