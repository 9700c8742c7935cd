//! The decision about a message, without sockets: every transport shares it.
//!
//! There are two ways to it, the direct one with the general one behind it, and the general one
//! alone. Every test goes both.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType};
use podway_dns_server::respond::{Errand, respond, respond_generally};
use podway_dns_server::{Outcome, Policy, Transport};
use podway_dns_zone::ZoneIndex;

use self::support::{addresses, edns_query, local, query, unsynced, zone};

const POLICY: Policy = Policy { udp_payload_octets: 1232, recursion: true };

/// A way to the decision.
type Way = fn(&ZoneIndex, &[u8], Transport, Policy, &mut Vec<u8>) -> Outcome;

/// The outcome and, if there is one, the reply.
fn ask(way: Way, zone: &ZoneIndex, message: &Message) -> (Outcome, Option<Message>) {
    let mut out = Vec::new();
    let octets = message.to_vec().unwrap();
    let outcome = way(zone, &octets, Transport::Udp, POLICY, &mut out);
    let reply = matches!(outcome, Outcome::Reply(_)).then(|| Message::from_vec(&out).unwrap());
    (outcome, reply)
}

/// The reply, which must be there.
fn reply(way: Way, message: &Message) -> Message {
    ask(way, &zone(), message).1.unwrap()
}

fn owners(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.name.to_ascii()).collect()
}

/// Makes a test of each function for each way.
macro_rules! both_ways {
    ($($test:ident,)*) => {
        mod direct {
            $(#[test]
            fn $test() {
                super::$test(super::respond);
            })*
        }
        mod general {
            $(#[test]
            fn $test() {
                super::$test(super::respond_generally);
            })*
        }
    };
}

both_ways! {
    positive_answer_has_the_header_that_clients_expect,
    missing_type_and_missing_name_carry_the_soa,
    opt_is_replied_to_opt_with_our_size_and_without_the_clients_options,
    unknown_edns_version_gets_badvers_and_nothing_else,
    transfers_and_other_classes_of_our_names_are_refused,
    operations_other_than_query_are_not_implemented,
    names_of_others_are_forwarded_even_before_the_first_snapshot,
    unsynced_index_answers_servfail,
    alias_within_the_zone_is_followed_and_its_chain_comes_first,
    response_code_of_an_alias_is_that_of_its_last_name,
    circular_and_overlong_chains_of_aliases_end_in_servfail,
    alias_itself_is_answered_without_following_it,
    additional_records_that_do_not_fit_are_left_out_without_truncation,
    truncated_srv_answer_is_a_fair_sample,
    truncated_address_answer_is_as_large_as_it_may_be,
}

fn positive_answer_has_the_header_that_clients_expect(way: Way) {
    let mut asked = query(7, &local("WeB"), RecordType::A);
    asked.metadata.checking_disabled = true;
    let reply = reply(way, &asked);
    let header = reply.metadata;
    assert!(header.authoritative && header.recursion_desired && header.recursion_available);
    assert!(header.checking_disabled && !header.authentic_data && !header.truncation);
    assert_eq!((header.id, header.response_code), (7, ResponseCode::NoError));
    assert!(reply.queries[0].name().eq_case(asked.queries[0].name()));
    assert!(reply.answers[0].name.eq_case(asked.queries[0].name()));
    assert_eq!(addresses(&reply), ["10.96.5.5".parse::<std::net::IpAddr>().unwrap()]);
    assert!(reply.authorities.is_empty() && reply.additionals.is_empty() && reply.edns.is_none());
}

fn missing_type_and_missing_name_carry_the_soa(way: Way) {
    for (name, rcode) in [("web", ResponseCode::NoError), ("nosuch", ResponseCode::NXDomain)] {
        let reply = reply(way, &query(1, &local(name), RecordType::MX));
        assert_eq!(reply.metadata.response_code, rcode, "{name}");
        assert!(reply.metadata.authoritative && reply.answers.is_empty(), "{name}");
        assert!(matches!(reply.authorities[0].data, RData::SOA(_)), "{name}");
    }
}

fn opt_is_replied_to_opt_with_our_size_and_without_the_clients_options(way: Way) {
    let mut asked = edns_query(1, &local("web"), RecordType::A, 4096);
    let edns = asked.edns.as_mut().unwrap();
    edns.set_dnssec_ok(true);
    let cookie = hickory_proto::rr::rdata::opt::EdnsOption::Unknown(10, b"12345678".to_vec());
    edns.options_mut().insert(cookie);
    let edns = reply(way, &asked).edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
    assert!(edns.flags().dnssec_ok);
    assert!(edns.options().as_ref().is_empty());
}

fn unknown_edns_version_gets_badvers_and_nothing_else(way: Way) {
    let mut asked = edns_query(1, &local("web"), RecordType::A, 4096);
    asked.edns.as_mut().unwrap().set_version(1);
    let reply = reply(way, &asked);
    // The number has two names; the decoder gives it the other.
    assert_eq!(u16::from(reply.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!(reply.edns.unwrap().version(), 0);
    assert!(reply.answers.is_empty() && reply.queries.len() == 1);
}

fn transfers_and_other_classes_of_our_names_are_refused(way: Way) {
    for qtype in [RecordType::AXFR, RecordType::IXFR] {
        let reply = reply(way, &query(1, "cluster.local.", qtype));
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{qtype}");
    }
    let mut chaos = query(1, &local("web"), RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(reply(way, &chaos).metadata.response_code, ResponseCode::Refused);
}

fn operations_other_than_query_are_not_implemented(way: Way) {
    let mut update = query(5, &local("web"), RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let reply = reply(way, &update);
    assert_eq!(reply.metadata.response_code, ResponseCode::NotImp);
    assert_eq!((reply.metadata.id, reply.metadata.op_code), (5, OpCode::Update));
    assert!(reply.queries.is_empty());
}

fn names_of_others_are_forwarded_even_before_the_first_snapshot(way: Way) {
    for zone in [zone(), unsynced()] {
        let (outcome, _) = ask(way, &zone, &query(1, "www.example.com.", RecordType::A));
        assert!(matches!(outcome, Outcome::Ask(ask) if ask.errand == Errand::Forward));
    }
}

fn unsynced_index_answers_servfail(way: Way) {
    let reply = ask(way, &unsynced(), &query(1, &local("web"), RecordType::A)).1.unwrap();
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(reply.metadata.authoritative && reply.answers.is_empty());
}

fn alias_within_the_zone_is_followed_and_its_chain_comes_first(way: Way) {
    let reply = reply(way, &query(1, &local("far"), RecordType::A));
    assert_eq!(owners(&reply), [local("far"), local("inside"), local("web")]);
    assert_eq!(addresses(&reply), ["10.96.5.5".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
}

fn response_code_of_an_alias_is_that_of_its_last_name(way: Way) {
    let missing = reply(way, &query(1, &local("missing"), RecordType::A));
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(owners(&missing), [local("missing")]);
    assert!(matches!(missing.authorities[0].data, RData::SOA(_)));
    let no_data = reply(way, &query(1, &local("inside"), RecordType::MX));
    assert_eq!(no_data.metadata.response_code, ResponseCode::NoError);
    assert_eq!(owners(&no_data), [local("inside")]);
}

fn circular_and_overlong_chains_of_aliases_end_in_servfail(way: Way) {
    for (name, aliases) in [("self", 1), ("ping", 2), ("step-0", 11)] {
        let reply = reply(way, &query(1, &local(name), RecordType::A));
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{name}");
        assert_eq!(reply.answers.len(), aliases, "{name}");
    }
}

fn alias_itself_is_answered_without_following_it(way: Way) {
    let reply = reply(way, &query(1, &local("ext"), RecordType::CNAME));
    assert_eq!(owners(&reply), [local("ext")]);
}

fn additional_records_that_do_not_fit_are_left_out_without_truncation(way: Way) {
    let name = format!("_http._tcp.{}", local("few"));
    let room = reply(way, &edns_query(1, &name, RecordType::SRV, 1232));
    assert_eq!((room.answers.len(), room.additionals.len()), (12, 12));
    let tight = reply(way, &edns_query(1, &name, RecordType::SRV, 850));
    assert_eq!(tight.answers.len(), 12);
    assert!(tight.additionals.len() < 12 && !tight.metadata.truncation);
}

fn truncated_srv_answer_is_a_fair_sample(way: Way) {
    let name = format!("_http._tcp.{}", local("few"));
    let mut targets = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let reply = reply(way, &query(1, &name, RecordType::SRV));
        assert!(reply.metadata.truncation && !reply.answers.is_empty());
        targets.extend(reply.answers.iter().map(|record| record.data.to_string()));
        if targets.len() == 12 {
            return;
        }
    }
    panic!("only {} of 12 targets ever came", targets.len());
}

fn truncated_address_answer_is_as_large_as_it_may_be(way: Way) {
    for (payload, addresses) in [(0, 28), (512, 28), (900, 52), (4096, 73)] {
        let reply = reply(way, &edns_query(1, &local("big"), RecordType::A, payload));
        assert!(reply.metadata.truncation, "{payload}");
        assert_eq!(reply.answers.len(), addresses, "{payload}");
    }
}
