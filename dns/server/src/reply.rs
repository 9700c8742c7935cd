//! Lays out replies: header bits, order of records, OPT and truncation.
//!
//! Which records a name has is decided in `dns/zone`. Rules: RFC 1035 §4.1.1, RFC 2181 §9 (TC only
//! when something required is missing), RFC 6891 §7 (OPT in a reply exactly when in the query).

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, Record};

use crate::query::{AA, CD, CLASSIC_PAYLOAD_OCTETS, Malformed, OPCODE, QR, Query, RA, RD};
use crate::wire::{MessageWriter, OPT_OCTETS, Opt, Section};

/// What this server says of itself in every reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Largest datagram that is sent, and that clients are told they may send, in octets.
    pub udp_payload_octets: u16,
    /// Whether names outside the zones are forwarded: the RA bit.
    pub recursion: bool,
}

impl Policy {
    /// Octets that a reply by UDP may have to a client that offered so many: what both sides take,
    /// and at least what every client takes.
    #[must_use]
    pub fn udp_limit(self, offered: Option<u16>) -> usize {
        let offered = offered.unwrap_or(CLASSIC_PAYLOAD_OCTETS);
        usize::from(offered.min(self.udp_payload_octets).max(CLASSIC_PAYLOAD_OCTETS))
    }
}

/// The contents of a reply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Body {
    /// Response code.
    pub(crate) rcode: ResponseCode,
    /// Whether the answer is ours: the AA bit.
    pub(crate) authoritative: bool,
    /// Chain of CNAME records that comes first, in order.
    pub(crate) aliases: Vec<Record>,
    /// The rest of the answer section, in any order.
    pub(crate) answers: Vec<Record>,
    /// The authority section.
    pub(crate) authorities: Vec<Record>,
    /// The additional section, which may be shortened.
    pub(crate) additionals: Vec<Record>,
    /// Whether `answers` lacks something already.
    pub(crate) truncated: bool,
    /// Whether the order of addresses has a meaning, and must stay.
    pub(crate) ordered: bool,
    /// Options of OPT in wire form; they count only where the query has OPT.
    pub(crate) options: Vec<u8>,
}

impl Body {
    /// A reply without records.
    pub(crate) fn empty(rcode: ResponseCode, authoritative: bool) -> Self {
        Self {
            rcode,
            authoritative,
            aliases: Vec::new(),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            truncated: false,
            ordered: false,
            options: Vec::new(),
        }
    }
}

/// Order of the records behind the aliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As the zone or the upstream gave them.
    Given,
    /// At random, so that what a client takes first, or what still fits, is a fair sample.
    Random,
}

/// Where a reply goes and how large it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'q> {
    /// The query that it replies to.
    pub(crate) query: &'q Query,
    /// What this server says of itself.
    pub(crate) policy: Policy,
    /// Octets that it may have.
    pub(crate) limit: usize,
}

impl Envelope<'_> {
    /// Writes the reply with the contents `body` into `out`.
    ///
    /// The answers of `body` are left in another order.
    pub(crate) fn encode(self, body: &mut Body, out: &mut Vec<u8>) {
        let is_address = |record: &Record| matches!(record.data, RData::A(_) | RData::AAAA(_));
        let shuffled = !body.ordered && body.answers.iter().all(is_address);
        let order = if shuffled { Order::Random } else { Order::Given };
        let complete = self.attempt(body, order, out);
        if !complete && order == Order::Given && !body.ordered {
            self.attempt(body, Order::Random, out);
        }
    }

    /// Writes the reply with its answers in `order`; `false` if something required did not fit.
    fn attempt(self, body: &mut Body, order: Order, out: &mut Vec<u8>) -> bool {
        let Self { query, policy, limit } = self;
        let flags = flags(query.flags, body.rcode)
            | if body.authoritative { AA } else { 0 }
            | if policy.recursion { RA } else { 0 };
        let reserved = query.opt.map_or(0, |_| OPT_OCTETS + body.options.len());
        let mut writer = MessageWriter::begin(out, query.id, flags, limit, reserved);
        writer.question(&query.question);
        let complete = write_all(&mut writer, Section::Answer, &body.aliases)
            && write_answers(&mut writer, &mut body.answers, order)
            && write_all(&mut writer, Section::Authority, &body.authorities);
        if complete {
            // What does not fit is left out without TC: nobody has to come back for it.
            write_all(&mut writer, Section::Additional, &body.additionals);
        }
        let opt = reply_opt(query, policy, body.rcode).map(|opt| (opt, &*body.options));
        writer.finish(opt, body.truncated || !complete);
        complete
    }
}

/// Writes the answers behind the aliases; `false` if some did not fit.
///
/// At random order each step chooses among the records that are left, so the cost is that of the
/// records that fit, not of all.
fn write_answers(writer: &mut MessageWriter<'_>, answers: &mut [Record], order: Order) -> bool {
    for index in 0..answers.len() {
        if order == Order::Random {
            answers.swap(index, fastrand::usize(index..answers.len()));
        }
        if writer.record(Section::Answer, &answers[index]).is_err() {
            return false;
        }
    }
    true
}

/// Writes records in order until one does not fit; `false` then.
fn write_all(writer: &mut MessageWriter<'_>, section: Section, records: &[Record]) -> bool {
    records.iter().all(|record| writer.record(section, record).is_ok())
}

/// Writes the reply to a message that is no query.
pub(crate) fn encode_malformed(malformed: &Malformed, out: &mut Vec<u8>) {
    // The operation is repeated only to say that it is not known.
    let unknown = malformed.rcode == ResponseCode::NotImp;
    let opcode = if unknown { malformed.flags & OPCODE } else { 0 };
    let flags = flags(malformed.flags, malformed.rcode) | opcode;
    let limit = usize::from(CLASSIC_PAYLOAD_OCTETS);
    let mut writer = MessageWriter::begin(out, malformed.id, flags, limit, 0);
    if let Some(question) = &malformed.question {
        writer.question(question);
    }
    writer.finish(None, false);
}

/// The flags that every reply derives from its query.
pub(crate) fn flags(query_flags: u16, rcode: ResponseCode) -> u16 {
    QR | (query_flags & (RD | CD)) | u16::from(rcode.low())
}

/// OPT of the reply, if the query has one.
fn reply_opt(query: &Query, policy: Policy, rcode: ResponseCode) -> Option<Opt> {
    query.opt.map(|opt| Opt {
        payload_octets: policy.udp_payload_octets,
        rcode_high: rcode.high(),
        dnssec_ok: opt.dnssec_ok,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagram_limit_is_what_both_sides_take_and_at_least_the_classic_one() {
        let policy = Policy { udp_payload_octets: 1232, recursion: true };
        for (offered, limit) in
            [(None, 512), (Some(0), 512), (Some(900), 900), (Some(4096), 1232), (Some(1232), 1232)]
        {
            assert_eq!(policy.udp_limit(offered), limit, "{offered:?}");
        }
    }
}
