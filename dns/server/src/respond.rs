//! One message from a client in, what to do about it out.
//!
//! Pure: no socket, clock or configuration is read, so that every transport gives the same answers. Order of the checks: silence, operation, counts, question, OPT
//! (in `query`), then EDNS version, transfer, zone, class.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use podway_dns_zone::{Answer, ZoneIndex, answer};

use crate::alias::{Chase, Followed, follow};
pub use crate::direct::respond_directly;
use crate::query::{CLASS_IN, Malformed, Parsed, Query, parse};
use crate::reply::{Body, Envelope, Policy, encode_malformed};

/// Largest message on a stream: its length is a number of 16 bits (RFC 1035 §4.2.2).
pub(crate) const STREAM_OCTETS: usize = 65_535;

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a stream.
    Tcp,
}

/// Who made a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The zone index.
    Zone,
    /// An upstream, or the lack of one.
    Upstream,
    /// Another plugin.
    Plugin,
    /// The protocol: the message could not be a question to anybody.
    Protocol,
}

/// What a reply was, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replied {
    /// Response code.
    pub rcode: ResponseCode,
    /// Type asked for, if a question could be read.
    pub qtype: Option<RecordType>,
    /// Who made it.
    pub source: Source,
    /// Whether the query has the DO bit.
    pub dnssec_ok: bool,
}

/// What to do about a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The reply stands in the buffer: send it.
    Reply(Replied),
    /// An upstream has to be asked first.
    Ask(Box<Ask>),
    /// Stay silent.
    Drop,
}

/// A query whose reply needs an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The query.
    pub query: Query,
    /// What the upstream is needed for.
    pub errand: Errand,
}

/// Why an upstream is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Errand {
    /// The name is not ours: the query goes out as it is.
    Forward,
    /// The name is ours and an alias of one that is not.
    Follow(Alias),
}

/// An alias that leads out of our zones.
#[derive(Debug, Clone, PartialEq)]
pub struct Alias(pub(crate) Chase);

/// Decides what to do about `message`, and writes the reply into `out` if there is one yet.
///
/// Plain questions go the direct way, all others the general one.
#[must_use]
pub fn respond(
    zone: &ZoneIndex,
    message: &[u8],
    transport: Transport,
    policy: Policy,
    out: &mut Vec<u8>,
) -> Outcome {
    match respond_directly(zone, message, transport, policy, out) {
        Some(replied) => Outcome::Reply(replied),
        None => respond_generally(zone, message, transport, policy, out),
    }
}

/// Does what [`respond`] does, by way of records, for every message.
#[must_use]
pub fn respond_generally(
    zone: &ZoneIndex,
    message: &[u8],
    transport: Transport,
    policy: Policy,
    out: &mut Vec<u8>,
) -> Outcome {
    let query = match parse(message) {
        Parsed::Silence => return Outcome::Drop,
        Parsed::Malformed(malformed) => {
            return Outcome::Reply(refuse_malformed(malformed, out));
        }
        Parsed::Query(query) => query,
    };
    match decide(Some(zone), &query) {
        Decision::Reply(mut body, source) => {
            envelope(&query, transport, policy).encode(&mut body, out);
            let qtype = Some(query.question.qtype);
            let dnssec_ok = query.opt.is_some_and(|opt| opt.dnssec_ok);
            Outcome::Reply(Replied { rcode: body.rcode, qtype, source, dnssec_ok })
        }
        Decision::Ask(errand) => Outcome::Ask(Box::new(Ask { query, errand })),
    }
}

/// Where the reply to `query` goes.
pub(crate) fn envelope(query: &Query, transport: Transport, policy: Policy) -> Envelope<'_> {
    let limit = match transport {
        Transport::Udp => policy.udp_limit(query.offered_octets()),
        Transport::Tcp => STREAM_OCTETS,
    };
    Envelope { query, policy, limit }
}

/// What a well-formed query gets.
pub(crate) enum Decision {
    /// This.
    Reply(Body, Source),
    /// What an upstream says.
    Ask(Errand),
}

/// The error that a well-formed query gets whatever it asks for, if any.
pub(crate) fn refusal(query: &Query) -> Option<ResponseCode> {
    if query.opt.is_some_and(|opt| opt.version != 0) {
        return Some(ResponseCode::BADVERS);
    }
    let is_transfer = matches!(query.question.qtype, RecordType::AXFR | RecordType::IXFR);
    is_transfer.then_some(ResponseCode::Refused)
}

/// Decides what a well-formed query gets from the index, where there is one.
pub(crate) fn decide(zone: Option<&ZoneIndex>, query: &Query) -> Decision {
    let question = &query.question;
    let protocol = |rcode| Decision::Reply(Body::empty(rcode, false), Source::Protocol);
    if let Some(rcode) = refusal(query) {
        return protocol(rcode);
    }
    let Some(zone) = zone else { return Decision::Ask(Errand::Forward) };
    let found = answer(zone, &question.name, question.qtype);
    if matches!(found, Answer::NotOurs) {
        return Decision::Ask(Errand::Forward);
    }
    if question.class != CLASS_IN {
        return protocol(ResponseCode::Refused);
    }
    let body = match found {
        Answer::NotOurs => return Decision::Ask(Errand::Forward),
        Answer::Refused => return protocol(ResponseCode::Refused),
        Answer::NotSynced { soa } => negative(ResponseCode::ServFail, soa),
        Answer::NoData { soa } => negative(ResponseCode::NoError, soa),
        Answer::NxDomain { soa } => negative(ResponseCode::NXDomain, soa),
        Answer::Records { answers, additionals } => {
            Body { answers, additionals, ..Body::empty(ResponseCode::NoError, true) }
        }
        Answer::Alias { cname, target } => match follow(zone, question, cname, target) {
            Followed::Known(body) => body,
            Followed::Outside(chase) => return Decision::Ask(Errand::Follow(Alias(chase))),
        },
    };
    Decision::Reply(body, Source::Zone)
}

/// The reply to a message that is no query, written into `out`.
pub(crate) fn refuse_malformed(malformed: Malformed, out: &mut Vec<u8>) -> Replied {
    encode_malformed(&malformed, out);
    let qtype = malformed.question.map(|question| question.qtype);
    Replied { rcode: malformed.rcode, qtype, source: Source::Protocol, dnssec_ok: false }
}

/// A reply without answers.
fn negative(rcode: ResponseCode, soa: hickory_proto::rr::Record) -> Body {
    Body { authorities: vec![soa], ..Body::empty(rcode, true) }
}
