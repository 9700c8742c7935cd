//! What holds of every message that a client may send, however malformed.
//!
//! Shared by the property tests, the run of mutated messages and the fuzz target.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed; not every test file uses every helper"
)]

use hickory_proto::op::{Edns, Message, MessageType};
use hickory_proto::rr::{Record, RecordType};
use podway_dns_server::respond::{respond_directly, respond_generally};
use podway_dns_server::{Outcome, Policy, Transport, respond};
use podway_dns_zone::ZoneIndex;

/// What the server says of itself in all tests.
pub(crate) const POLICY: Policy = Policy { udp_payload_octets: 1232, recursion: true };

/// Largest reply to a datagram that offers nothing or less.
const CLASSIC_OCTETS: usize = 512;

/// Panics unless all invariants hold for `message`; says whether there is a reply.
pub(crate) fn check(zone: &ZoneIndex, message: &[u8], transport: Transport) -> bool {
    let mut octets = Vec::new();
    let outcome = respond(zone, message, transport, POLICY, &mut octets);
    let mut general_octets = Vec::new();
    let general = respond_generally(zone, message, transport, POLICY, &mut general_octets);
    assert_eq!(outcome, general, "the ways differ: {}", message.escape_ascii());
    let mut direct_octets = Vec::new();
    let direct = respond_directly(zone, message, transport, POLICY, &mut direct_octets);
    if !matches!(outcome, Outcome::Reply(_)) {
        assert_eq!(direct, None, "the direct way alone replies: {}", message.escape_ascii());
        return false;
    }
    let reply = readable(message, &octets);
    if transport == Transport::Udp {
        assert!(octets.len() <= limit(message), "reply too long: {}", message.escape_ascii());
    }
    if direct.is_some() {
        same(&readable(message, &direct_octets), &readable(message, &general_octets));
    }
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    true
}

/// Octets that a reply may have: at least the classic limit, at most ours.
fn limit(message: &[u8]) -> usize {
    let query = Message::from_vec(message).ok();
    let offered = query.and_then(|query| query.edns.as_ref().map(Edns::max_payload));
    // What is unreadable to the reference may have OPT all the same.
    let most = usize::from(POLICY.udp_payload_octets);
    offered.map_or(most, |offered| usize::from(offered).clamp(CLASSIC_OCTETS, most))
}

/// The reply as a reference reads it.
fn readable(message: &[u8], octets: &[u8]) -> Message {
    let reply = Message::from_vec(octets).unwrap_or_else(|error| {
        let (message, octets) = (message.escape_ascii(), octets.escape_ascii());
        panic!("{message} got {octets}, which cannot be read: {error}")
    });
    assert_eq!(reply.metadata.id.to_be_bytes(), message[..2], "{}", message.escape_ascii());
    reply
}

/// Panics unless both replies mean the same.
pub(crate) fn same(left: &Message, right: &Message) {
    assert_eq!(left.metadata, right.metadata);
    assert_eq!(left.edns, right.edns);
    assert_eq!(left.queries, right.queries);
    assert_eq!(ordered(&left.authorities), ordered(&right.authorities));
    assert_eq!(ordered(&left.additionals), ordered(&right.additionals));
    assert_eq!(left.answers.len(), right.answers.len());
    // What is left out of a truncated answer is a matter of chance.
    if !left.metadata.truncation {
        assert_eq!(ordered(&left.answers), ordered(&right.answers));
    }
    let of_type = |record: &Record, rtype: RecordType| record.record_type() == rtype;
    for (left, right) in left.answers.iter().zip(&right.answers) {
        assert!(of_type(left, right.record_type()), "{left} is of another type than {right}");
    }
}

/// Records as texts, in order: the order in a message has no meaning.
fn ordered(records: &[Record]) -> Vec<String> {
    let mut texts: Vec<_> = records.iter().map(ToString::to_string).collect();
    texts.sort_unstable();
    texts
}
