//! The NSEC record that says what a name does not have, or that it does not exist.
//!
//! It covers the one name that was asked and none beside it, so that it can be made without a look
//! at the other names of the zone, and tells nobody of them (RFC 9824).

use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The type that says "this name does not exist" in an NSEC record (RFC 9824 §3.2).
const NXNAME: RecordType = RecordType::Unknown(128);

/// Longest name in octets, and longest label (RFC 1035 §2.3.4).
const MAX_NAME_OCTETS: usize = 255;
const MAX_LABEL_OCTETS: usize = 63;

/// Types that are said to be at a name where nobody knows which are: all that are, are among them.
///
/// That more is promised than there is costs a resolver a question. Not among them are types whose
/// presence would turn the record into another proof: CNAME, DNAME, NS, SOA and DS (RFC 6840 §4).
const POSSIBLE: [RecordType; 17] = [
    RecordType::A,
    RecordType::HINFO,
    RecordType::MX,
    RecordType::TXT,
    RecordType::AAAA,
    RecordType::PTR,
    RecordType::Unknown(29), // LOC
    RecordType::SRV,
    RecordType::NAPTR,
    RecordType::CERT,
    RecordType::SSHFP,
    RecordType::TLSA,
    RecordType::SMIMEA,
    RecordType::OPENPGPKEY,
    RecordType::SVCB,
    RecordType::HTTPS,
    RecordType::CAA,
];

/// What is there at a name that lacks the type asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Exactly these types, perhaps none.
    Types(Vec<RecordType>),
    /// The name exists; with what is not known.
    Unknown,
    /// The apex of the zone, with more types perhaps.
    Apex,
    /// A zone of somebody else begins here, unsigned.
    Delegation,
    /// The name does not exist.
    Missing,
}

/// The NSEC record of `owner`, kept so many seconds; `None` if no name can follow.
pub(crate) fn nsec(
    owner: &Name,
    presence: Presence,
    lacking: RecordType,
    ttl: u32,
) -> Option<Record> {
    let mut types = match presence {
        Presence::Types(types) => types,
        Presence::Unknown => POSSIBLE.to_vec(),
        Presence::Apex => {
            let own = [RecordType::NS, RecordType::SOA, RecordType::DNSKEY];
            [&POSSIBLE[..], &own[..]].concat()
        }
        Presence::Delegation => vec![RecordType::NS],
        Presence::Missing => vec![NXNAME],
    };
    types.retain(|one| *one != lacking);
    let nsec = NSEC::new_cover_self(successor(owner)?, types);
    Some(Record::from_rdata(owner.clone(), ttl, RData::DNSSEC(DNSSECRData::NSEC(nsec))))
}

/// The first name after `name` in canonical order, as far as there is room for one (RFC 4471 §3.1).
fn successor(name: &Name) -> Option<Name> {
    let name = name.to_lowercase();
    let octets = name.iter().map(|label| 1 + label.len()).sum::<usize>() + 1;
    let mut labels: Vec<Vec<u8>> = name.iter().map(<[u8]>::to_vec).collect();
    if octets + 2 <= MAX_NAME_OCTETS {
        labels.insert(0, vec![0]);
        return Name::from_labels(labels.iter().map(Vec::as_slice)).ok();
    }
    // No name is below this one: the next is beside it.
    let first = labels.first_mut()?;
    if octets < MAX_NAME_OCTETS && first.len() < MAX_LABEL_OCTETS {
        first.push(0);
    } else {
        let at = first.iter().rposition(|octet| *octet < u8::MAX)?;
        // What would be an upper-case letter counts as the lower-case one.
        first[at] = match first[at] + 1 {
            b'A'..=b'Z' => b'[',
            next => next,
        };
        first.truncate(at + 1);
    }
    Name::from_labels(labels.iter().map(Vec::as_slice)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successor_is_the_first_name_below() {
        let name = Name::from_ascii("Web.cluster.local.").unwrap();
        assert_eq!(successor(&name).unwrap().to_ascii(), "\\000.web.cluster.local.");
    }

    #[test]
    fn successor_of_a_name_without_room_below_is_greater_and_still_a_name() {
        let long = |first: &[u8]| {
            let rest = [&[b'a'; 63][..], &[b'b'; 63], &[b'c'; 62]];
            Name::from_labels([first].into_iter().chain(rest)).unwrap()
        };
        for (first, next) in [
            (&[b'x'; 61][..], [&[b'x'; 61][..], &[0]].concat()),
            (&[b'x'; 62], [&[b'x'; 61][..], b"y"].concat()),
            (&[b'@'; 62], [&[b'@'; 61][..], b"["].concat()),
            (&[[b'x'; 61].as_slice(), &[255]].concat(), [&[b'x'; 60][..], b"y"].concat()),
        ] {
            let name = long(first);
            let after = successor(&name).unwrap();
            assert_eq!(after.iter().next().unwrap(), next, "{first:?}");
            assert!(name < after, "{name} is not before {after}");
        }
        assert_eq!(successor(&long(&[255; 62])), None);
    }
}
