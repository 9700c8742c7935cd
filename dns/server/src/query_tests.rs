//! Messages that clients send, and some that they should not.

use super::*;

/// The header of a query with one question.
const HEADER: [u8; 12] = [0xAB, 0xCD, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, 0];

/// The question `WeB. A IN`.
const QUESTION: [u8; 9] = *b"\x03WeB\0\0\x01\0\x01";

/// OPT with 4096 octets, version 0 and DO.
const OPT: [u8; 11] = [0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0];

fn message(header: impl FnOnce(&mut [u8; 12]), body: &[&[u8]]) -> Vec<u8> {
    let mut octets = HEADER;
    header(&mut octets);
    [&octets[..], &body.concat()].concat()
}

fn rcode(message: &[u8]) -> Option<ResponseCode> {
    match parse(message) {
        Parsed::Malformed(malformed) => Some(malformed.rcode),
        Parsed::Query(_) | Parsed::Silence => None,
    }
}

#[test]
fn query_with_opt_is_read_and_letters_keep_their_case() {
    let message = message(|header| header[11] = 1, &[&QUESTION, &OPT]);
    let Parsed::Query(query) = parse(&message) else { panic!("not a query") };
    assert_eq!(query.id, 0xABCD);
    assert_eq!(query.flags, RD | CD);
    assert!(query.question.name.eq_case(&Name::from_ascii("WeB.").unwrap()));
    assert_eq!((query.question.qtype, query.question.class), (RecordType::A, CLASS_IN));
    assert_eq!(query.question_end, 21);
    let opt = query.opt.unwrap();
    assert_eq!((opt.payload_octets, opt.version, opt.dnssec_ok), (4096, 0, true));
    assert_eq!(u16_at(&message, opt.payload_at), Some(4096));
}

#[test]
fn what_has_no_id_or_is_a_reply_stays_without_reply() {
    let query = message(|_| {}, &[&QUESTION]);
    for octets in 0..HEADER_OCTETS {
        assert_eq!(parse(&query[..octets]), Parsed::Silence, "{octets} octets");
    }
    let reply = message(|header| header[2] |= 0x80, &[&QUESTION]);
    assert_eq!(parse(&reply), Parsed::Silence);
}

#[test]
fn other_operations_are_not_implemented_whatever_their_body() {
    for opcode in 1..16 {
        let message = message(
            |header| {
                header[2] = opcode << 3;
                header[5] = 7;
            },
            &[b"\xFF"],
        );
        assert_eq!(rcode(&message), Some(ResponseCode::NotImp), "operation {opcode}");
    }
}

#[test]
fn counts_that_no_query_has_are_malformed() {
    for (at, count) in [(5, 0), (5, 2), (7, 2), (9, 2), (11, 3)] {
        let message = message(|header| header[at] = count, &[&QUESTION, &OPT]);
        assert_eq!(rcode(&message), Some(ResponseCode::FormErr), "octet {at} is {count}");
    }
}

#[test]
fn malformed_bodies_are_malformed_and_keep_a_readable_question() {
    let cookie_too_long = [0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 4, 0, 10, 0, 9];
    let named_opt = [1, b'x', 0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0];
    let one = |header: &mut [u8; 12]| header[11] = 1;
    let cases: [(&str, Vec<u8>, bool); 8] = [
        ("nothing after the header", message(|_| {}, &[]), false),
        ("name without end", message(|_| {}, &[b"\x03we"]), false),
        ("name that points at the header", message(|_| {}, &[b"\xC0\x04\0\x01\0\x01"]), false),
        ("label of 64 octets", message(|_| {}, &[b"\x40", &[b'a'; 64], b"\0\0\x01\0\x01"]), false),
        ("two OPT", message(|header| header[11] = 2, &[&QUESTION, &OPT, &OPT]), true),
        ("OPT with an owner", message(one, &[&QUESTION, &named_opt]), true),
        ("option longer than its record", message(one, &[&QUESTION, &cookie_too_long]), true),
        ("OPT as an answer", message(|header| header[7] = 1, &[&QUESTION, &OPT]), true),
    ];
    for (case, message, readable) in cases {
        let Parsed::Malformed(malformed) = parse(&message) else { panic!("{case}: accepted") };
        assert_eq!(malformed.rcode, ResponseCode::FormErr, "{case}");
        assert_eq!(malformed.question.is_some(), readable, "{case}");
    }
}

#[test]
fn octets_after_the_last_record_and_unknown_records_are_ignored() {
    let tsig_like = [0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 2, 0xFF, 0xFF];
    let message = message(|header| header[11] = 2, &[&QUESTION, &OPT, &tsig_like, b"rest"]);
    assert!(matches!(parse(&message), Parsed::Query(Query { opt: Some(_), .. })));
}
