//! What of a reply is kept, and what a client gets of it.

use std::collections::BTreeSet;

use hickory_proto::op::Edns;
use hickory_proto::rr::rdata::{MX, NS, NULL, SRV};

use super::*;
use crate::{Kind, ReadError};

#[test]
fn each_record_keeps_its_own_time_and_counts_it_down() {
    let message = answer([
        alias(NAME, 300, "cdn.example.net."),
        address("cdn.example.net.", 20, 1),
        address("cdn.example.net.", 9999, 2),
    ]);
    let response = read(&message, &key(NAME));
    assert_eq!(response.lifetime(), seconds(20));
    for (age, expected) in [(0, [300, 20, 3600]), (7, [293, 13, 3593]), (19, [281, 1, 3581])] {
        assert_eq!(ttls(&rendered(&response, Ttls::Aged(age)).answers), expected, "after {age} s");
    }
    assert_eq!(ttls(&rendered(&response, Ttls::Fixed(30)).answers), [30, 30, 30]);
}

#[test]
fn kind_and_lifetime_follow_from_what_the_reply_says() {
    use ResponseCode::{NXDomain, NoError, ServFail};
    let ns = || Record::from_rdata(name("example.com."), 5, RData::NS(NS(name("ns.example.com."))));
    let half = answer([alias(NAME, 60, "cdn.example.net.")]);
    let mut ended = half.clone();
    ended.add_authority(soa("example.net.", 30, 10));
    let mut no_such_target = answer([alias(NAME, 4, "cdn.example.net.")]);
    no_such_target.metadata.response_code = NXDomain;
    no_such_target.add_authority(soa("example.net.", 30, 10));
    let mut cut = answer([address(NAME, 60, 1)]);
    cut.metadata.truncation = true;
    let rows = [
        ("data", answer([address(NAME, 60, 1)]), Kind::Success, 60),
        ("time beyond the cap", answer([address(NAME, 90_000, 1)]), Kind::Success, 3600),
        ("time with the highest bit", answer([address(NAME, 1 << 31, 1)]), Kind::Success, 0),
        ("no time at all", answer([address(NAME, 0, 1)]), Kind::Success, 0),
        ("truncated", cut, Kind::Success, 0),
        ("SOA lives shorter", denial(NXDomain, [soa("example.com.", 40, 300)]), Kind::Denial, 40),
        ("minimum is shorter", denial(NoError, [soa("example.com.", 400, 50)]), Kind::Denial, 50),
        ("denial beyond the cap", denial(NXDomain, [soa("com.", 9000, 9000)]), Kind::Denial, 900),
        ("NXDOMAIN without SOA", denial(NXDomain, []), Kind::Denial, 0),
        ("nothing at all", denial(NoError, []), Kind::Denial, 5),
        ("referral", denial(NoError, [ns()]), Kind::Denial, 0),
        ("alias that ends nowhere", half, Kind::Denial, 0),
        ("alias without data", ended, Kind::Denial, 10),
        ("alias shorter than the denial", no_such_target, Kind::Denial, 4),
        ("SERVFAIL", denial(ServFail, [soa("example.com.", 40, 300)]), Kind::Failure, 0),
    ];
    for (row, message, kind, lifetime) in rows {
        let response = read(&message, &key(NAME));
        assert_eq!((response.kind(), response.lifetime()), (kind, seconds(lifetime)), "{row}");
    }
}

#[test]
fn time_of_a_denial_is_that_of_its_soa() {
    let message = denial(ResponseCode::NXDomain, [soa("example.com.", 400, 50)]);
    let response = read(&message, &key(NAME));
    assert_eq!(ttls(&rendered(&response, Ttls::Aged(0)).authorities), [50]);
    assert_eq!(ttls(&rendered(&response, Ttls::Aged(20)).authorities), [30]);
}

#[test]
fn names_end_as_the_present_client_spells_the_question() {
    // Written without pointers and in mixed case, as some upstreams do.
    let mixed = question("wWw.eXAMple.COM.", RecordType::A);
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
    message.extend_from_slice(&mixed);
    for last in [1, 2] {
        message.extend_from_slice(&mixed);
        message.extend_from_slice(&[0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    }
    let response = Response::read(&message, &key("www.example.com."), &policy()).unwrap();
    for spelling in ["WWW.example.com.", "www.Example.COM."] {
        let question = question(spelling, RecordType::A);
        let written = octets(&response, &request(&question), Ttls::Aged(0));
        assert!(!written.windows(3).any(|octets| octets == b"wWw"), "{spelling}");
        let read = Message::from_vec(&written).unwrap();
        assert!(read.queries[0].name().eq_case(&name(spelling)));
        assert_eq!(read.answers.len(), 2);
        assert!(read.answers.iter().all(|record| record.name.eq_case(&name(spelling))));
        assert_eq!(read.metadata.id, 0xBEEF);
    }
}

#[test]
fn flags_are_the_clients_and_authority_is_never_claimed() {
    let mut message = answer([address(NAME, 60, 1)]);
    message.metadata.authoritative = true;
    message.metadata.recursion_available = false;
    message.metadata.authentic_data = true;
    let response = read(&message, &key(NAME));
    let question = question(NAME, RecordType::A);
    let plain = Request { opt: None, flags: 0, ..request(&question) };
    let dnssec_ok = Some(OptOut { payload_octets: 1232, dnssec_ok: true });
    for (flags, opt, expected) in [
        (0x0000, None, 0x8080),
        (0x0110, None, 0x8190),
        (0x0020, None, 0x80A0),
        (0x0000, dnssec_ok, 0x80A0),
    ] {
        let written = octets(&response, &Request { flags, opt, ..plain }, Ttls::Aged(0));
        assert_eq!(u16::from_be_bytes([written[2], written[3]]), expected, "{flags:#06x} {opt:?}");
    }
}

#[test]
fn opt_of_the_upstream_is_replaced_by_ours_or_by_none() {
    let mut message = answer([address(NAME, 60, 1)]);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    let response = read(&message, &key(NAME));
    let ours = rendered(&response, Ttls::Aged(0)).edns.unwrap();
    assert_eq!((ours.max_payload(), ours.options().as_ref().len()), (1232, 0));
    let question = question(NAME, RecordType::A);
    let without = Request { opt: None, ..request(&question) };
    let without = Message::from_vec(&octets(&response, &without, Ttls::Aged(0))).unwrap();
    assert!(without.edns.is_none() && without.additionals.is_empty());
}

#[test]
fn response_code_extended_by_opt_is_no_success() {
    let mut message = answer([]);
    message.set_edns(Edns::new());
    message.metadata.response_code = ResponseCode::BADVERS;
    let response = read(&message, &key(NAME));
    assert_eq!((response.kind(), response.rcode()), (Kind::Failure, 16));
}

#[test]
fn proofs_are_kept_only_for_those_who_want_them() {
    let proof = |rtype: u16| {
        let data = RData::Unknown { code: rtype.into(), rdata: NULL::with(vec![1, 2, 3]) };
        Record::from_rdata(name(NAME), 60, data)
    };
    let records = || [address(NAME, 60, 1), proof(46), proof(47), proof(50)];
    let mut message = answer(records());
    message.add_authorities(records());
    let without = read(&message, &key(NAME));
    let flags = KeyFlags { dnssec_ok: true, ..KeyFlags::default() };
    let with = read(&message, &key_of(NAME, RecordType::A, flags));
    let proofs = read(&message, &key_of(NAME, RecordType::RRSIG, KeyFlags::default()));
    let counts = |response: &Response| {
        let question = question(NAME, RecordType::A);
        let written = octets(response, &request(&question), Ttls::Aged(0));
        (written[7], written[9])
    };
    assert_eq!([counts(&without), counts(&with), counts(&proofs)], [(1, 1), (4, 4), (2, 2)]);
}

#[test]
fn records_beside_the_answer_do_not_outlive_their_own_time() {
    let mut message = answer([address(NAME, 60, 1)]);
    message.add_additional(address("short.example.com.", 5, 2));
    message.add_additional(address("long.example.com.", 61, 3));
    let response = read(&message, &key(NAME));
    assert_eq!(response.lifetime(), seconds(60));
    assert_eq!(ttls(&rendered(&response, Ttls::Aged(0)).additionals), [61]);
}

#[test]
fn aliases_come_first_and_names_in_data_survive() {
    let message = reply("example.com.", RecordType::MX, |message| {
        let data = |target| RData::MX(MX::new(10, name(target)));
        message.add_answer(Record::from_rdata(name("b.example."), 60, data("mail.b.example.")));
        message.add_answer(alias("example.com.", 60, "b.example."));
        let srv = RData::SRV(SRV::new(1, 2, 3, name("x.mail.b.example.")));
        message.add_additional(Record::from_rdata(name("_a.b.example."), 60, srv));
        message.add_additional(address6("mail.b.example.", 60, 9));
    });
    let response = read(&message, &key_of("example.com.", RecordType::MX, KeyFlags::default()));
    let question = question("example.com.", RecordType::MX);
    let written = octets(&response, &request(&question), Ttls::Aged(0));
    let read = Message::from_vec(&written).unwrap();
    let mut answers = message.answers.clone();
    answers.reverse();
    assert_eq!((read.answers, read.additionals), (answers, message.additionals));
    // RFC 2782: the target of SRV has no pointer.
    assert!(written.windows(8).any(|octets| octets == b"\x01x\x04mail\x01"));
}

#[test]
fn addresses_of_one_owner_come_in_every_order() {
    let message = answer([
        address(NAME, 60, 1),
        address(NAME, 60, 2),
        address(NAME, 60, 3),
        address("other.example.com.", 60, 4),
    ]);
    let response = read(&message, &key(NAME));
    let question = question(NAME, RecordType::A);
    let mut random = fastrand::Rng::with_seed(1);
    let mut orders = BTreeSet::new();
    for _ in 0..200 {
        let mut out = Vec::new();
        response.write(&request(&question), Ttls::Aged(0), &mut random, &mut out);
        let read = Message::from_vec(&out).unwrap();
        let last = |record: &Record| match record.data.ip_addr() {
            Some(std::net::IpAddr::V4(address)) => address.octets()[3],
            other => panic!("{other:?}"),
        };
        let order: Vec<_> = read.answers.iter().map(last).collect();
        assert_eq!(order[3], 4, "an address went to another owner");
        orders.insert(order);
    }
    assert_eq!(orders.len(), 6);
}

#[test]
fn what_does_not_fit_is_left_out_from_the_end() {
    let mut message = answer((0..60).map(|last| address(NAME, 60, last)));
    message.add_authority(soa("example.com.", 60, 60));
    message.add_additional(address("ns.example.com.", 60, 99));
    let response = read(&message, &key(NAME));
    let question = question(NAME, RecordType::A);
    // Header, question and OPT leave room for so many addresses of 16 octets.
    let start = 12 + question.len() + 11;
    for (limit, answers, truncated) in
        [(512, (512 - start) / 16, true), (start + 60 * 16, 60, false), (1232, 60, false)]
    {
        let written = octets(&response, &Request { limit, ..request(&question) }, Ttls::Aged(0));
        assert!(written.len() <= limit);
        let read = Message::from_vec(&written).unwrap();
        assert_eq!((read.answers.len(), read.metadata.truncation), (answers, truncated), "{limit}");
        assert!(read.edns.is_some());
        assert_eq!(read.authorities.len(), usize::from(limit == 1232));
    }
}

#[test]
fn denial_that_cannot_carry_its_soa_is_truncated() {
    let authority = [address("com.", 60, 1), soa("example.com.", 60, 60)];
    let response = read(&denial(ResponseCode::NXDomain, authority), &key(NAME));
    let question = question(NAME, RecordType::A);
    // The first of the two would fit.
    let limit = 12 + question.len() + 11 + 20;
    let written = octets(&response, &Request { limit, ..request(&question) }, Ttls::Aged(0));
    let read = Message::from_vec(&written).unwrap();
    assert!(read.metadata.truncation && read.authorities.is_empty());
    assert_eq!(read.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn name_of_255_octets_is_read_and_no_longer_one() {
    let question = question(NAME, RecordType::A);
    let reply_of = |labels: &[usize]| {
        let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(&question);
        for octets in labels {
            message.push(u8::try_from(*octets).unwrap());
            message.extend(std::iter::repeat_n(b'a', *octets));
        }
        message.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        Response::read(&message, &key(NAME), &policy()).map(|_| ())
    };
    assert_eq!(reply_of(&[63, 63, 63, 61]), Ok(()));
    assert_eq!(reply_of(&[63, 63, 63, 62]), Err(ReadError::Name));
}

#[test]
fn malformed_replies_are_errors() {
    let good = answer([alias(NAME, 60, "cdn.example.net.")]).to_vec().unwrap();
    let question_end = 12 + question(NAME, RecordType::A).len();
    let data_at = question_end + 12;
    let change = |at: usize, octets: &[u8]| {
        let mut message = good.clone();
        message[at..at + octets.len()].copy_from_slice(octets);
        message
    };
    let forward = u8::try_from(data_at + 3).unwrap();
    let rows = [
        ("cut short", good[..good.len() - 1].to_vec(), ReadError::Short),
        ("pointer to itself", change(question_end, &[0xC0, 33]), ReadError::Name),
        ("pointer forward", change(question_end, &[0xC0, forward]), ReadError::Name),
        ("label of unknown kind", change(question_end, &[0x80]), ReadError::Name),
        ("name beyond its data", change(data_at - 1, &[1]), ReadError::Data { rtype: 5 }),
    ];
    assert_eq!(question_end, 33);
    for (row, message, error) in rows {
        assert_eq!(Response::read(&message, &key(NAME), &policy()), Err(error), "{row}");
    }
}
