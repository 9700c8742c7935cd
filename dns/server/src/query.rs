//! Reads a query and decides whether it can be one.
//!
//! Owns the checks that need no zone: silence, FORMERR and NOTIMP (RFC 1035 §4.1, RFC 6891 §6.1,
//! RFC 8906 §3). Records other than OPT are stepped over, not decoded: nothing in them changes an
//! answer, so nothing in them can make a query malformed.

use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::wire::{HEADER_OCTETS, OPT_TYPE};

/// The QR bit of the flags.
pub(crate) const QR: u16 = 0x8000;
/// The AA bit of the flags.
pub(crate) const AA: u16 = 0x0400;
/// The TC bit of the flags.
pub(crate) const TC: u16 = 0x0200;
/// The RD bit of the flags.
pub(crate) const RD: u16 = 0x0100;
/// The RA bit of the flags.
pub(crate) const RA: u16 = 0x0080;
/// The CD bit of the flags.
pub(crate) const CD: u16 = 0x0010;
/// The operation code within the flags.
pub(crate) const OPCODE: u16 = 0x7800;
/// The TC bit within the third octet of a message.
pub(crate) const TC_IN_OCTET_2: u8 = 0x02;

/// Class IN.
pub(crate) const CLASS_IN: u16 = 1;

/// Smallest datagram that every resolver takes (RFC 1035 §4.2.1).
pub(crate) const CLASSIC_PAYLOAD_OCTETS: u16 = 512;

/// The one question of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Name asked for, with the letters' case as asked.
    pub name: Name,
    /// Type asked for.
    pub qtype: RecordType,
    /// Class asked for, as its number.
    pub class: u16,
}

/// What the OPT record of a query says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryOpt {
    /// Largest datagram that the client takes, in octets, as it said.
    pub payload_octets: u16,
    /// Version of EDNS; only 0 exists.
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// Where `payload_octets` stands in the query.
    pub(crate) payload_at: usize,
}

/// A well-formed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Number that the reply must repeat.
    pub id: u16,
    /// Flags as received.
    pub(crate) flags: u16,
    /// The question.
    pub question: Question,
    /// Octet after the question.
    pub(crate) question_end: usize,
    /// OPT, if the client speaks EDNS.
    pub opt: Option<QueryOpt>,
    /// Options of OPT that upstreams get with the question, in wire form.
    pub(crate) onward: Option<Arc<[u8]>>,
}

/// A message that gets an error and no further thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Number that the reply must repeat.
    pub(crate) id: u16,
    /// Flags as received.
    pub(crate) flags: u16,
    /// FORMERR or NOTIMP.
    pub(crate) rcode: ResponseCode,
    /// The question, if it could be read.
    pub(crate) question: Option<Question>,
}

/// What a message from a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A query to answer.
    Query(Query),
    /// A message to refuse.
    Malformed(Malformed),
    /// A message that must stay without reply: too short to have an id, or itself a reply.
    Silence,
}

/// Why the body of a message cannot be read.
struct Unreadable;

/// Reads a message from a client.
pub(crate) fn parse(message: &[u8]) -> Parsed {
    let (Some(id), Some(flags), Some(counts)) =
        (u16_at(message, 0), u16_at(message, 2), counts(message))
    else {
        return Parsed::Silence;
    };
    if flags & QR != 0 {
        return Parsed::Silence;
    }
    let malformed = |rcode, question| Parsed::Malformed(Malformed { id, flags, rcode, question });
    if flags & OPCODE != 0 {
        return malformed(ResponseCode::NotImp, None);
    }
    let [questions, answers, authorities, additionals] = counts;
    if questions != 1 || answers > 1 || authorities > 1 || additionals > 2 {
        return malformed(ResponseCode::FormErr, None);
    }
    let mut decoder = BinDecoder::new(message);
    let Ok((question, question_end)) = read_question(&mut decoder) else {
        return malformed(ResponseCode::FormErr, None);
    };
    match read_opt(&mut decoder, answers + authorities, additionals) {
        Ok(opt) => Parsed::Query(Query { id, flags, question, question_end, opt, onward: None }),
        Err(Unreadable) => malformed(ResponseCode::FormErr, Some(question)),
    }
}

/// Reads the number of records of each section.
fn counts(message: &[u8]) -> Option<[u16; 4]> {
    Some([u16_at(message, 4)?, u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?])
}

/// Reads a big-endian number of 16 bits.
pub(crate) fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let octets = message.get(at..at + 2)?;
    Some(u16::from_be_bytes([octets[0], octets[1]]))
}

/// Reads the question; the place after it comes with it.
///
/// A compressed name has nothing to point to there but the header, and is no name.
fn read_question(decoder: &mut BinDecoder<'_>) -> Result<(Question, usize), Unreadable> {
    read_slice(decoder, HEADER_OCTETS)?;
    let name = Name::read(decoder).map_err(|_malformed| Unreadable)?;
    let spelled_out = name.iter().map(|label| 1 + label.len()).sum::<usize>() + 1;
    if decoder.index() != HEADER_OCTETS + spelled_out {
        return Err(Unreadable);
    }
    let qtype = RecordType::from(read_u16(decoder)?);
    let class = read_u16(decoder)?;
    Ok((Question { name, qtype, class }, decoder.index()))
}

/// Steps over `skipped` records and finds OPT among the `additionals` that follow.
///
/// OPT elsewhere, twice, with an owner or with options that do not add up is malformed.
fn read_opt(
    decoder: &mut BinDecoder<'_>,
    skipped: u16,
    additionals: u16,
) -> Result<Option<QueryOpt>, Unreadable> {
    let mut found = None;
    for index in 0..skipped + additionals {
        let owner = Name::read(decoder).map_err(|_malformed| Unreadable)?;
        let rtype = read_u16(decoder)?;
        let payload_at = decoder.index();
        let payload_octets = read_u16(decoder)?;
        let ttl = read_slice(decoder, 4)?;
        let data_octets = usize::from(read_u16(decoder)?);
        let data = read_slice(decoder, data_octets)?;
        if rtype != OPT_TYPE {
            continue;
        }
        if index < skipped || found.is_some() || !owner.is_root() || !options_add_up(data) {
            return Err(Unreadable);
        }
        let (version, dnssec_ok) = (ttl[1], ttl[2] & 0x80 != 0);
        found = Some(QueryOpt { payload_octets, version, dnssec_ok, payload_at });
    }
    Ok(found)
}

/// Whether the lengths of the options fill the data exactly.
pub(crate) fn options_add_up(mut data: &[u8]) -> bool {
    while !data.is_empty() {
        let Some(octets) = u16_at(data, 2) else { return false };
        let Some(rest) = data.get(4 + usize::from(octets)..) else { return false };
        data = rest;
    }
    true
}

/// Reads a number of 16 bits.
fn read_u16(decoder: &mut BinDecoder<'_>) -> Result<u16, Unreadable> {
    Ok(decoder.read_u16().map_err(|_short| Unreadable)?.unverified(/* any number will do */))
}

/// Reads `octets` octets.
fn read_slice<'m>(decoder: &mut BinDecoder<'m>, octets: usize) -> Result<&'m [u8], Unreadable> {
    Ok(decoder.read_slice(octets).map_err(|_short| Unreadable)?.unverified(/* opaque */))
}

impl Query {
    /// The largest datagram that the client takes, if it said.
    #[must_use]
    pub fn offered_octets(&self) -> Option<u16> {
        self.opt.map(|opt| opt.payload_octets)
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
