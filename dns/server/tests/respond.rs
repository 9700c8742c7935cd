//! The decision about a message, without sockets: every transport shares it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType};
use podway_dns_server::respond::Errand;
use podway_dns_server::{Outcome, Policy, Transport, respond};
use podway_dns_zone::ZoneIndex;

use self::support::{addresses, edns_query, local, query, unsynced, zone};

const POLICY: Policy = Policy { udp_payload_octets: 1232, recursion: true };

/// The outcome and, if there is one, the reply.
fn ask(zone: &ZoneIndex, message: &Message) -> (Outcome, Option<Message>) {
    let mut out = Vec::new();
    let octets = message.to_vec().unwrap();
    let outcome = respond(zone, &octets, Transport::Udp, POLICY, &mut out);
    let reply = matches!(outcome, Outcome::Reply(_)).then(|| Message::from_vec(&out).unwrap());
    (outcome, reply)
}

/// The reply, which must be there.
fn reply(message: &Message) -> Message {
    ask(&zone(), message).1.unwrap()
}

fn owners(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.name.to_ascii()).collect()
}

#[test]
fn positive_answer_has_the_header_that_clients_expect() {
    let mut asked = query(7, &local("WeB"), RecordType::A);
    asked.metadata.checking_disabled = true;
    let reply = reply(&asked);
    let header = reply.metadata;
    assert!(header.authoritative && header.recursion_desired && header.recursion_available);
    assert!(header.checking_disabled && !header.authentic_data && !header.truncation);
    assert_eq!((header.id, header.response_code), (7, ResponseCode::NoError));
    assert!(reply.queries[0].name().eq_case(asked.queries[0].name()));
    assert!(reply.answers[0].name.eq_case(asked.queries[0].name()));
    assert_eq!(addresses(&reply), ["10.96.5.5".parse::<std::net::IpAddr>().unwrap()]);
    assert!(reply.authorities.is_empty() && reply.additionals.is_empty() && reply.edns.is_none());
}

#[test]
fn missing_type_and_missing_name_carry_the_soa() {
    for (name, rcode) in [("web", ResponseCode::NoError), ("nosuch", ResponseCode::NXDomain)] {
        let reply = reply(&query(1, &local(name), RecordType::MX));
        assert_eq!(reply.metadata.response_code, rcode, "{name}");
        assert!(reply.metadata.authoritative && reply.answers.is_empty(), "{name}");
        assert!(matches!(reply.authorities[0].data, RData::SOA(_)), "{name}");
    }
}

#[test]
fn opt_is_replied_to_opt_with_our_size_and_without_the_clients_options() {
    let mut asked = edns_query(1, &local("web"), RecordType::A, 4096);
    let edns = asked.edns.as_mut().unwrap();
    edns.set_dnssec_ok(true);
    let cookie = hickory_proto::rr::rdata::opt::EdnsOption::Unknown(10, b"12345678".to_vec());
    edns.options_mut().insert(cookie);
    let edns = reply(&asked).edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
    assert!(edns.flags().dnssec_ok);
    assert!(edns.options().as_ref().is_empty());
}

#[test]
fn unknown_edns_version_gets_badvers_and_nothing_else() {
    let mut asked = edns_query(1, &local("web"), RecordType::A, 4096);
    asked.edns.as_mut().unwrap().set_version(1);
    let reply = reply(&asked);
    // The number has two names; the decoder gives it the other.
    assert_eq!(u16::from(reply.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!(reply.edns.unwrap().version(), 0);
    assert!(reply.answers.is_empty() && reply.queries.len() == 1);
}

#[test]
fn transfers_and_other_classes_of_our_names_are_refused() {
    for qtype in [RecordType::AXFR, RecordType::IXFR] {
        let reply = reply(&query(1, "cluster.local.", qtype));
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{qtype}");
    }
    let mut chaos = query(1, &local("web"), RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(reply(&chaos).metadata.response_code, ResponseCode::Refused);
}

#[test]
fn operations_other_than_query_are_not_implemented() {
    let mut update = query(5, &local("web"), RecordType::A);
    update.metadata.op_code = OpCode::Update;
    let reply = reply(&update);
    assert_eq!(reply.metadata.response_code, ResponseCode::NotImp);
    assert_eq!((reply.metadata.id, reply.metadata.op_code), (5, OpCode::Update));
    assert!(reply.queries.is_empty());
}

#[test]
fn names_of_others_are_forwarded_even_before_the_first_snapshot() {
    for zone in [zone(), unsynced()] {
        let (outcome, _) = ask(&zone, &query(1, "www.example.com.", RecordType::A));
        assert!(matches!(outcome, Outcome::Ask(ask) if ask.errand == Errand::Forward));
    }
}

#[test]
fn unsynced_index_answers_servfail() {
    let reply = ask(&unsynced(), &query(1, &local("web"), RecordType::A)).1.unwrap();
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(reply.metadata.authoritative && reply.answers.is_empty());
}

#[test]
fn alias_within_the_zone_is_followed_and_its_chain_comes_first() {
    let reply = reply(&query(1, &local("far"), RecordType::A));
    assert_eq!(owners(&reply), [local("far"), local("inside"), local("web")]);
    assert_eq!(addresses(&reply), ["10.96.5.5".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
}

#[test]
fn response_code_of_an_alias_is_that_of_its_last_name() {
    let missing = reply(&query(1, &local("missing"), RecordType::A));
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(owners(&missing), [local("missing")]);
    assert!(matches!(missing.authorities[0].data, RData::SOA(_)));
    let no_data = reply(&query(1, &local("inside"), RecordType::MX));
    assert_eq!(no_data.metadata.response_code, ResponseCode::NoError);
    assert_eq!(owners(&no_data), [local("inside")]);
}

#[test]
fn circular_and_overlong_chains_of_aliases_end_in_servfail() {
    for (name, aliases) in [("self", 1), ("ping", 2), ("step-0", 11)] {
        let reply = reply(&query(1, &local(name), RecordType::A));
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{name}");
        assert_eq!(reply.answers.len(), aliases, "{name}");
    }
}

#[test]
fn alias_itself_is_answered_without_following_it() {
    let reply = reply(&query(1, &local("ext"), RecordType::CNAME));
    assert_eq!(owners(&reply), [local("ext")]);
}

#[test]
fn additional_records_that_do_not_fit_are_left_out_without_truncation() {
    let name = format!("_http._tcp.{}", local("few"));
    let room = reply(&edns_query(1, &name, RecordType::SRV, 1232));
    assert_eq!((room.answers.len(), room.additionals.len()), (12, 12));
    let tight = reply(&edns_query(1, &name, RecordType::SRV, 850));
    assert_eq!(tight.answers.len(), 12);
    assert!(tight.additionals.len() < 12 && !tight.metadata.truncation);
}

#[test]
fn truncated_srv_answer_is_a_fair_sample() {
    let name = format!("_http._tcp.{}", local("few"));
    let mut targets = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let reply = reply(&query(1, &name, RecordType::SRV));
        assert!(reply.metadata.truncation && !reply.answers.is_empty());
        targets.extend(reply.answers.iter().map(|record| record.data.to_string()));
        if targets.len() == 12 {
            return;
        }
    }
    panic!("only {} of 12 targets ever came", targets.len());
}
