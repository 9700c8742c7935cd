//! The records of a reply, one by one, as they stand in the upstream's message.

use std::ops::Range;

use crate::name;
use crate::response::ReadError;

/// Type numbers that are treated by name.
pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const SIG: u16 = 24;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const RRSIG: u16 = 46;
    pub(crate) const NSEC: u16 = 47;
    pub(crate) const NSEC3: u16 = 50;
    pub(crate) const TSIG: u16 = 250;
    pub(crate) const ANY: u16 = 255;
}

/// Octets of a message's header.
pub(crate) const HEADER_OCTETS: usize = 12;

/// Octets of the numbers of an SOA record, which end with the minimum.
const SOA_MINIMUM_OCTETS: usize = 4;

/// The section a record stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// Answer.
    Answer,
    /// Authority.
    Authority,
    /// Additional.
    Additional,
}

/// A record in the upstream's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) section: Section,
    /// Place of the owner's name.
    pub(crate) owner_at: usize,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    /// Time to live, in seconds.
    pub(crate) ttl: u32,
    /// Place of the data.
    pub(crate) data: Range<usize>,
}

/// What a reply says, its records still in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// All records but OPT and those that sign the message itself.
    pub(crate) records: Vec<Record>,
    /// Response code with the extension of OPT.
    pub(crate) rcode: u16,
}

/// Lists the records of `message`, whose question ends at `question_end`.
pub(crate) fn list(message: &[u8], question_end: usize) -> Result<Listing, ReadError> {
    let mut rcode = u16_at(message, 2)? & 0xF;
    let mut records = Vec::new();
    let mut at = question_end;
    let mut owner = Vec::new();
    for (section, count_at) in
        [(Section::Answer, 6), (Section::Authority, 8), (Section::Additional, 10)]
    {
        for _ in 0..u16_at(message, count_at)? {
            let owner_at = at;
            owner.clear();
            at = name::read(message, at, &mut owner)?;
            let (rtype, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
            let ttl = u32_at(message, at + 4)?;
            let data = at + 10..at + 10 + usize::from(u16_at(message, at + 8)?);
            if data.end > message.len() {
                return Err(ReadError::Short);
            }
            at = data.end;
            match rtype {
                rtype::OPT => rcode |= u16::from(ttl.to_be_bytes()[0]) << 4,
                // Signatures of the message hold for the upstream's hop alone.
                rtype::TSIG => {}
                rtype::SIG if section == Section::Additional => {}
                _ => records.push(Record { section, owner_at, rtype, class, ttl: sane(ttl), data }),
            }
        }
    }
    Ok(Listing { records, rcode })
}

/// A time to live with the highest bit set means none (RFC 2181 §8).
fn sane(ttl: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

impl Record {
    /// Time that the absence of a name may be kept, if this is an SOA record (RFC 2308 §5).
    pub(crate) fn denial_ttl(&self, message: &[u8]) -> Option<u32> {
        let is_soa = self.rtype == rtype::SOA && self.section == Section::Authority;
        let minimum_at = self.data.end.checked_sub(SOA_MINIMUM_OCTETS)?;
        let minimum = is_soa.then(|| u32_at(message, minimum_at).ok())??;
        Some(self.ttl.min(sane(minimum)))
    }

    /// Whether the record proves something to a validator and says nothing to others.
    pub(crate) fn is_proof(&self) -> bool {
        matches!(self.rtype, rtype::RRSIG | rtype::NSEC | rtype::NSEC3)
    }

    /// Whether the record leads to another name.
    pub(crate) fn is_alias(&self) -> bool {
        matches!(self.rtype, rtype::CNAME | rtype::DNAME)
    }
}

/// Reads a number of 16 bits.
pub(crate) fn u16_at(message: &[u8], at: usize) -> Result<u16, ReadError> {
    let octets = message.get(at..at + 2).ok_or(ReadError::Short)?;
    Ok(u16::from_be_bytes([octets[0], octets[1]]))
}

/// Reads a number of 32 bits.
pub(crate) fn u32_at(message: &[u8], at: usize) -> Result<u32, ReadError> {
    let octets = message.get(at..at + 4).ok_or(ReadError::Short)?;
    Ok(u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]))
}
