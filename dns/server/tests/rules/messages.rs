//! Malformed and odd messages, EDNS and sizes.

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::RecordType;

use super::cluster::{MANY, config};
use super::support::{UdpClient, edns_query, query};
use super::talk::{Stage, exchange, name};

/// Octets of a header.
const HEADER: usize = 12;

/// An OPT record that offers so many octets, with its options.
fn opt(payload: u16, ttl: [u8; 4], options: &[u8]) -> Vec<u8> {
    let length = u16::try_from(options.len()).unwrap().to_be_bytes();
    [&[0, 0, 41][..], &payload.to_be_bytes(), &ttl, &length, options].concat()
}

/// A query for `web` with what is appended, counted as so many additional records.
fn web_with(additionals: u8, more: &[u8]) -> Vec<u8> {
    let mut message = query(0x1234, &name("web.D"), RecordType::A).to_vec().unwrap();
    message[11] = additionals;
    message.extend_from_slice(more);
    message
}

/// Response code in the header.
fn rcode(reply: &[u8]) -> u8 {
    reply[3] & 0x0F
}

/// Operation code.
fn opcode(reply: &[u8]) -> u8 {
    (reply[2] >> 3) & 0x0F
}

const FORMERR: u8 = 1;
const NOTIMP: u8 = 4;

#[tokio::test]
async fn rfc1035_4_1_1_messages_that_are_no_query_stay_without_reply() {
    let stage = Stage::new(config()).await;
    let client = UdpClient::connect(stage.server.address).await;
    let whole = web_with(0, &[]);
    for cut in 0..HEADER {
        client.send(&whole[..cut]).await;
    }
    for flags in [0x80, 0x84, 0xA8] {
        let mut reply = whole.clone();
        reply[2] |= flags;
        client.send(&reply).await;
    }
    client.send(&whole).await;
    // One socket's datagrams are answered in order: anything else would come first.
    let reply = client.receive_message().await;
    assert_eq!((reply.metadata.id, reply.answers.len()), (0x1234, 1));
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc1035_4_1_what_cannot_be_read_gets_formerr_with_what_could_be() {
    let stage = Stage::new(config()).await;
    let question = web_with(0, &[]);
    let changed = |at: usize, value: u8| {
        let mut message = question.clone();
        message[at] = value;
        message
    };
    let opt_twice = [opt(1232, [0; 4], &[]), opt(1232, [0; 4], &[])].concat();
    let owned = [&[1, b'x'][..], &opt(1232, [0; 4], &[])].concat();
    let cut_option = opt(1232, [0; 4], &[0, 10, 0, 9, 1]);
    let cut_opt = &opt(1232, [0; 4], &[0, 0, 0, 0])[..12];
    for (case, message, questions) in [
        ("header alone", question[..HEADER].to_vec(), 0),
        ("question cut", question[..question.len() - 1].to_vec(), 0),
        ("name points to itself", [&question[..HEADER], &[0xC0, 12, 0, 1, 0, 1]].concat(), 0),
        ("name points to the header", [&question[..HEADER], &[0xC0, 0, 0, 1, 0, 1]].concat(), 0),
        ("label of a kind unknown", changed(HEADER, 0x43), 0),
        ("name without end", [&question[..HEADER], &[1, b'a'].repeat(200)].concat(), 0),
        ("no question", changed(5, 0), 0),
        ("two questions", changed(5, 2), 0),
        ("two answers", changed(7, 2), 0),
        ("two authorities", changed(9, 2), 0),
        ("three additionals", changed(11, 3), 0),
        ("additional missing", changed(11, 1), 1),
        ("answer missing", changed(7, 1), 1),
        ("two OPT", web_with(2, &opt_twice), 1),
        ("OPT with an owner", web_with(1, &owned), 1),
        ("option longer than its data", web_with(1, &cut_option), 1),
        ("OPT cut", web_with(1, cut_opt), 1),
    ] {
        let reply = exchange(&stage.server, &message).await;
        assert_eq!(reply[..2], message[..2], "{case}: id");
        assert_eq!((rcode(&reply), opcode(&reply)), (FORMERR, 0), "{case}");
        assert_eq!(reply[4..HEADER], [0, questions, 0, 0, 0, 0, 0, 0], "{case}: counts");
        assert!(reply.len() <= message.len(), "{case}: the reply is longer than the query");
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn octets_behind_the_last_record_are_ignored() {
    let stage = Stage::new(config()).await;
    for more in [&b"x"[..], &[0; 300]] {
        let reply = exchange(&stage.server, &web_with(0, more)).await;
        assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc2181_11_names_may_have_any_octets_and_such_do_not_exist() {
    let stage = Stage::new(config()).await;
    for octet in [0, b' ', b'.', b'/', 0x7F, 0xC3, 0xFF] {
        let mut message = web_with(0, &[]);
        message[HEADER + 1] = octet;
        let reply = Message::from_vec(&exchange(&stage.server, &message).await).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain, "{octet}");
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc8906_3_1_4_other_operations_are_not_implemented_whatever_they_carry() {
    let stage = Stage::new(config()).await;
    for operation in 1..16_u8 {
        for counts in [[1, 0, 0, 0], [0, 0, 0, 0], [1, 9, 9, 9]] {
            let mut message = web_with(0, &[]);
            message[2] = operation << 3 | 1;
            for (at, count) in [5, 7, 9, 11].into_iter().zip(counts) {
                message[at] = count;
            }
            let reply = exchange(&stage.server, &message).await;
            assert_eq!((rcode(&reply), opcode(&reply)), (NOTIMP, operation), "{operation}");
            assert_eq!(reply.len(), HEADER, "{operation}");
        }
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc6895_3_2_other_classes_of_our_names_are_refused_and_of_others_forwarded() {
    let stage = Stage::new(config()).await;
    for class in [3_u8, 4, 254, 255] {
        let mut message = web_with(0, &[]);
        *message.last_mut().unwrap() = class;
        let reply = Message::from_vec(&exchange(&stage.server, &message).await).unwrap();
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{class}");
        assert_eq!((reply.queries.len(), reply.authorities.len()), (1, 0), "{class}");
    }
    assert!(stage.upstream.seen().is_empty());
    let mut chaos = query(1, "version.bind.", RecordType::TXT).to_vec().unwrap();
    *chaos.last_mut().unwrap() = 3;
    exchange(&stage.server, &chaos).await;
    assert_eq!(stage.upstream.seen().len(), 1);
    stage.server.stop().await;
}

#[tokio::test]
async fn types_that_are_no_data_get_what_the_name_has() {
    let stage = Stage::new(config()).await;
    let rows = [41_u16, 249, 250, 128, 0].map(|rtype| (rtype, web_with(0, &[])));
    for (rtype, mut message) in rows {
        let at = message.len() - 4;
        message[at..at + 2].copy_from_slice(&rtype.to_be_bytes());
        let reply = exchange(&stage.server, &message).await;
        assert_eq!(rcode(&reply), 0, "{rtype}");
        assert_eq!(reply[6..10], [0, 0, 0, 1], "{rtype}: NODATA");
    }
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc6891_6_1_3_other_versions_get_badvers_with_ours() {
    let stage = Stage::new(config()).await;
    for name in ["web.D", "www.example.com."] {
        for version in [1, 255] {
            let mut message = query(9, &super::talk::name(name), RecordType::A).to_vec().unwrap();
            message[11] = 1;
            message.extend(opt(4096, [0, version, 0x80, 0], &[]));
            let reply = Message::from_vec(&exchange(&stage.server, &message).await).unwrap();
            let edns = reply.edns.as_ref().unwrap();
            // 16 is BADSIG as well.
            let rcode = u16::from(reply.metadata.response_code);
            assert_eq!(rcode, ResponseCode::BADVERS.into(), "{name} {version}");
            assert_eq!((edns.version(), edns.max_payload()), (0, 1232));
            assert_eq!((reply.queries.len(), reply.answers.len()), (1, 0));
        }
    }
    assert!(stage.upstream.seen().is_empty());
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc6891_7_opt_is_given_for_opt_and_says_nothing_that_was_not_asked() {
    let stage = Stage::new(config()).await;
    // Cookie, client subnet, keepalive, padding, name server id, expire, and one that nobody knows.
    let options: &[&[u8]] = &[
        &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2],
        &[0, 11, 0, 0],
        &[0, 12, 0, 4, 0, 0, 0, 0],
        &[0, 3, 0, 0],
        &[0, 9, 0, 0],
        &[0xFF, 0xFE, 0, 1, 9],
    ];
    for option in options.iter().copied().chain([&options.concat()[..], &[]]) {
        for (ttl, dnssec_ok) in [([0, 0, 0, 0], false), ([0, 0, 0xFF, 0xFF], true)] {
            let reply = exchange(&stage.server, &web_with(1, &opt(1400, ttl, option))).await;
            // OPT is the last record: root, type, our size, version 0, DO alone, no options.
            let expected = opt(1232, [0, 0, u8::from(dnssec_ok) << 7, 0], &[]);
            assert_eq!(reply[reply.len() - 11..], expected, "{option:?}");
            assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1, "{option:?}");
        }
    }
    let plain = exchange(&stage.server, &web_with(0, &[])).await;
    assert!(Message::from_vec(&plain).unwrap().edns.is_none());
    stage.server.stop().await;
}

#[tokio::test]
async fn datagrams_up_to_4096_octets_are_read_whole() {
    let stage = Stage::new(config()).await;
    let padding = [&[0, 12][..], &3900_u16.to_be_bytes(), &[0; 3900]].concat();
    let reply = exchange(&stage.server, &web_with(1, &opt(1232, [0; 4], &padding))).await;
    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    stage.server.stop().await;
}

/// As many records as fit: header, question and OPT, then so many octets for each.
fn fitting(octets: usize, opt: bool, record: usize) -> usize {
    let question = HEADER + name("fat.D").len() + 1 + 4;
    (octets - question - if opt { 11 } else { 0 }) / record
}

#[tokio::test]
async fn large_answers_fill_what_the_client_takes_and_say_that_there_is_more() {
    let stage = Stage::new(config()).await;
    for (service, rtype, record) in [("fat.D", RecordType::A, 16), ("six.D", RecordType::AAAA, 28)]
    {
        for (offered, limit) in [
            (None, 512),
            (Some(0), 512),
            (Some(511), 512),
            (Some(512), 512),
            (Some(900), 900),
            (Some(1232), 1232),
            (Some(4096), 1232),
            (Some(65_535), 1232),
        ] {
            let message = match offered {
                None => query(1, &name(service), rtype),
                Some(offered) => edns_query(1, &name(service), rtype, offered),
            };
            let octets = exchange(&stage.server, &message.to_vec().unwrap()).await;
            let reply = Message::from_vec(&octets).unwrap();
            assert!(octets.len() <= limit && reply.metadata.truncation, "{service} {offered:?}");
            let expected = fitting(limit, offered.is_some(), record);
            assert_eq!(reply.answers.len(), expected, "{service} {offered:?}");
            assert_eq!(reply.edns.is_some(), offered.is_some());
        }
        // Not even a stream holds them all.
        let reply = stage.server.tcp(&query(1, &name(service), rtype)).await;
        assert_eq!(reply.answers.len(), fitting(65_535, false, record), "{service}");
        assert!(reply.answers.len() < usize::from(MANY) && reply.metadata.truncation);
    }
    // Of the capacities that are told of CoreDNS.
    assert_eq!([fitting(512, false, 16), fitting(1232, true, 16)], [29, 73]);
    assert_eq!([fitting(512, false, 28), fitting(1232, true, 28)], [16, 41]);
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc2181_9_addresses_of_targets_are_left_out_without_saying_so() {
    let stage = Stage::new(config()).await;
    let message = query(1, &name("_p._tcp.mid.D"), RecordType::SRV);
    let whole = stage.server.tcp(&message).await;
    assert_eq!((whole.answers.len(), whole.additionals.len()), (7, 7));
    let octets = exchange(&stage.server, &message.to_vec().unwrap()).await;
    let reply = Message::from_vec(&octets).unwrap();
    assert!(octets.len() <= 512 && reply.additionals.len() < 7, "there was room for all");
    assert_eq!((reply.answers.len(), reply.metadata.truncation), (7, false));
    stage.server.stop().await;
}

#[tokio::test]
async fn no_reply_to_a_datagram_is_larger_than_was_offered() {
    let stage = Stage::new(config()).await;
    let names =
        ["web.D", "fat.D", "_p._tcp.fat.D", "nosuch.D", "cluster.local.", "www.example.com."];
    for asked in names.map(name) {
        for rtype in [RecordType::A, RecordType::SRV, RecordType::ANY, RecordType::TXT] {
            for offered in [512, 800, 1232, 4000] {
                let mut message = edns_query(1, &asked, rtype, offered);
                message.edns.as_mut().map(|edns: &mut Edns| edns.set_dnssec_ok(true));
                let octets = exchange(&stage.server, &message.to_vec().unwrap()).await;
                assert!(
                    octets.len() <= usize::from(offered.min(1232)),
                    "{asked} {rtype} {offered}"
                );
            }
        }
    }
    stage.server.stop().await;
}
