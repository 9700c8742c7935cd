//! Which records of an answer are signed, and what proves that something is missing.

use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::denial::{Presence, nsec};
use crate::signer::{Signer, UnixSeconds};

/// RRsets of the additional section that are signed; further ones are left out.
///
/// 64: more than fit into a datagram. A large headless Service has one for each endpoint, and nobody
/// who asks for its ports should make us sign thousands of them.
const MAX_ADDITIONAL_SETS: usize = 64;

/// Longest chain of aliases that is followed within an answer.
const MAX_ALIASES: usize = 16;

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'q> {
    /// The name.
    pub name: &'q Name,
    /// The type.
    pub qtype: RecordType,
    /// Whether the client said that it knows compact denial (the CO bit of RFC 9824): then it may
    /// be told NXDOMAIN.
    pub compact_ok: bool,
}

/// The parts of an answer that signing changes.
#[derive(Debug)]
pub struct Answer<'r> {
    /// The response code.
    pub rcode: &'r mut ResponseCode,
    /// The answer section.
    pub answers: &'r mut Vec<Record>,
    /// The authority section.
    pub authorities: &'r mut Vec<Record>,
    /// The additional section, without OPT.
    pub additionals: &'r mut Vec<Record>,
}

/// Tells the types that a name has; `None` where that is not known.
pub type Types<'t> = dyn Fn(&Name) -> Option<Vec<RecordType>> + 't;

impl Signer {
    /// Signs `answer`, and proves what it says is missing; `types` tells what names have.
    ///
    /// What belongs to no zone of ours, or has signatures already, stays as it is. So does an error
    /// other than NXDOMAIN.
    pub fn sign(
        &self,
        asked: Asked<'_>,
        answer: &mut Answer<'_>,
        types: &Types<'_>,
        now: UnixSeconds,
    ) {
        if !matches!(*answer.rcode, ResponseCode::NoError | ResponseCode::NXDomain) {
            return;
        }
        let cut = self.cut(answer.authorities);
        self.deny(asked, answer, cut.as_ref(), types);
        let is_cut = |owner: &Name| cut.as_ref().is_some_and(|cut| cut.zone_of(owner));
        for (section, most) in [
            (&mut *answer.answers, usize::MAX),
            (&mut *answer.authorities, usize::MAX),
            (&mut *answer.additionals, MAX_ADDITIONAL_SETS),
        ] {
            let covered = covered(section);
            let mut signed = Vec::with_capacity(2 * section.len());
            for set in sets(std::mem::take(section), most) {
                let (owner, rtype) = (&set[0].name, set[0].record_type());
                // Beyond a cut only the proof that it is one is ours.
                let ours = !is_cut(owner) || matches!(rtype, RecordType::NSEC | RecordType::DS);
                let is_signed = covered.iter().any(|(name, of)| *of == rtype && name == owner);
                let signatures = match self.zone(owner).filter(|_| ours && !is_signed) {
                    Some(zone) => self.signatures(zone, &set, now).unwrap_or_default(),
                    None => Vec::new(),
                };
                signed.extend(set);
                signed.extend(signatures);
            }
            *section = signed;
        }
    }

    /// Where somebody else's zone begins, if the answer refers to one.
    fn cut(&self, authorities: &[Record]) -> Option<Name> {
        let servers = authorities.iter().filter(|record| record.record_type() == RecordType::NS);
        let mut cuts = servers
            .filter(|record| self.zone(&record.name).is_some_and(|zone| zone.apex != record.name));
        cuts.next().map(|record| record.name.clone())
    }

    /// Adds the proof that what was asked is missing, if it is.
    fn deny(
        &self,
        asked: Asked<'_>,
        answer: &mut Answer<'_>,
        cut: Option<&Name>,
        types: &Types<'_>,
    ) {
        if let Some(cut) = cut {
            let has_ds = answer.authorities.iter().any(|one| one.record_type() == RecordType::DS);
            let ttl = answer.authorities.iter().map(|record| record.ttl).min().unwrap_or(0);
            if !has_ds {
                let proof = nsec(cut, Presence::Delegation, RecordType::DS, ttl);
                answer.authorities.extend(proof);
            }
            return;
        }
        let Some(last) = last_name(asked, answer.answers) else { return };
        let Some(zone) = self.zone(&last) else { return };
        // RFC 9077: no longer than a negative answer is kept.
        let soas = answer.authorities.iter().filter_map(|record| {
            let RData::SOA(soa) = &record.data else { return None };
            Some(record.ttl.min(soa.minimum))
        });
        let ttl = soas.min().unwrap_or(0);
        let missing = *answer.rcode == ResponseCode::NXDomain;
        let presence = match types(&last) {
            _ if missing => Presence::Missing,
            Some(types) => Presence::Types(types),
            None if zone.apex == last => Presence::Apex,
            None => Presence::Unknown,
        };
        if missing && !asked.compact_ok {
            *answer.rcode = ResponseCode::NoError;
        }
        let proof = nsec(&last, presence, asked.qtype, ttl);
        if asked.qtype == RecordType::NSEC {
            answer.authorities.clear();
            answer.answers.extend(proof);
        } else {
            answer.authorities.extend(proof);
        }
    }
}

/// The name at the end of the aliases, if it lacks what was asked.
fn last_name(asked: Asked<'_>, answers: &[Record]) -> Option<Name> {
    let mut name = asked.name.clone();
    for _ in 0..MAX_ALIASES {
        let mut own = answers.iter().filter(|record| record.name == name);
        let answers_it =
            |record: &Record| asked.qtype == RecordType::ANY || record.record_type() == asked.qtype;
        if own.clone().any(answers_it) {
            return None;
        }
        let alias = own.find_map(|record| {
            let RData::CNAME(target) = &record.data else { return None };
            Some(target.0.clone())
        });
        match alias {
            Some(target) => name = target,
            None => return Some(name),
        }
    }
    None
}

/// Owners and types that have signatures already.
fn covered(section: &[Record]) -> Vec<(Name, RecordType)> {
    let signatures = section.iter().filter_map(|record| {
        let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
        Some((record.name.clone(), signature.input().type_covered))
    });
    signatures.collect()
}

/// At most `most` RRsets of a section in the order of their first records, each with one time to
/// live.
fn sets(records: Vec<Record>, most: usize) -> Vec<Vec<Record>> {
    let mut sets: Vec<Vec<Record>> = Vec::new();
    for record in records {
        // Signatures stay single: they are no RRset, and have other times.
        let same = |set: &&mut Vec<Record>| {
            record.record_type() != RecordType::RRSIG
                && set[0].record_type() == record.record_type()
                && set[0].name == record.name
        };
        let room = sets.len() < most;
        match sets.iter_mut().rev().find(same) {
            Some(set) => set.push(record),
            None if room => sets.push(vec![record]),
            None => {}
        }
    }
    for set in &mut sets {
        let ttl = set.iter().map(|record| record.ttl).min().unwrap_or(0);
        if set[0].record_type() != RecordType::RRSIG {
            set.iter_mut().for_each(|record| record.ttl = ttl);
        }
    }
    sets
}
