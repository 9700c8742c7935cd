//! Names of others, asked of upstreams that behave well, badly or not at all.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_dns_server::{ForwardLimits, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use self::support::{
    FakeUpstream, UdpClient, addresses, asking, closed_port, config, edns_query, framed, local,
    query, read_framed, reply_to, start, unsynced, within, zone,
};

const NAME: &str = "www.example.com.";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn expected() -> Vec<IpAddr> {
    vec![ADDRESS.into()]
}

fn answering(address: Ipv4Addr) -> impl Fn(&mut Message) + Send + Sync + 'static {
    move |message| {
        let name = message.queries[0].name().clone();
        message.add_answer(Record::from_rdata(name, 60, RData::A(address.into())));
    }
}

#[tokio::test]
async fn query_goes_out_under_id_port_spelling_and_opt_of_its_own() {
    let upstream = FakeUpstream::with_address(ADDRESS).await;
    let mut config = config(&[&upstream]);
    config.forward[0].cache = None;
    let server = start(config, unsynced());
    let mut query = edns_query(0x1234, "WwW.eXample.com.", RecordType::A, 4096);
    let edns = query.edns.as_mut().unwrap();
    edns.set_dnssec_ok(true);
    edns.options_mut().insert(EdnsOption::Unknown(10, b"a cookie".to_vec()));
    query.metadata.checking_disabled = true;
    for _ in 0..16 {
        let reply = server.udp(&query).await;
        assert_eq!((reply.metadata.id, addresses(&reply)), (0x1234, expected()));
        assert!(reply.metadata.recursion_available && !reply.metadata.authoritative);
        assert!(reply.queries[0].name().eq_case(query.queries[0].name()));
        assert!(reply.answers[0].name.eq_case(query.queries[0].name()));
    }
    let seen = upstream.seen();
    for seen in &seen {
        let seen = seen.message();
        assert_eq!(seen.queries, query.queries);
        assert!(seen.metadata.recursion_desired && seen.metadata.checking_disabled);
        let edns = seen.edns.unwrap();
        assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (1232, true));
        assert!(edns.options().as_ref().is_empty(), "an option of the client went out");
    }
    let ids: BTreeSet<_> = seen.iter().map(|seen| [seen.octets[0], seen.octets[1]]).collect();
    let ports: BTreeSet<_> = seen.iter().map(|seen| seen.client.port()).collect();
    let spellings: BTreeSet<_> = seen.iter().map(|seen| seen.octets[12..29].to_vec()).collect();
    assert!(ids.len() > 8 && ports.len() > 8, "{ids:?} {ports:?}");
    assert!(spellings.len() > 8, "{spellings:?}");
    server.stop().await;
}

#[tokio::test]
async fn silent_upstream_is_passed_over_and_then_left_alone() {
    let (silent, good) = (FakeUpstream::silent().await, FakeUpstream::with_address(ADDRESS).await);
    let server = start(config(&[&silent, &good]), zone());
    for id in 0..5 {
        let name = format!("{id}.example.com.");
        assert_eq!(addresses(&server.udp(&query(id, &name, RecordType::A)).await), expected());
    }
    assert_eq!((silent.seen().len(), good.seen().len()), (1, 5));
    server.stop().await;
}

#[tokio::test]
async fn closed_port_is_passed_over() {
    let good = FakeUpstream::with_address(ADDRESS).await;
    let server = start(asking([closed_port().await, good.address]), zone());
    assert_eq!(addresses(&server.udp(&query(1, NAME, RecordType::A)).await), expected());
    server.stop().await;
}

#[tokio::test]
async fn failing_and_refusing_upstreams_are_passed_over() {
    for rcode in [ResponseCode::ServFail, ResponseCode::Refused] {
        let bad =
            FakeUpstream::replying(move |message| message.metadata.response_code = rcode).await;
        let good = FakeUpstream::with_address(ADDRESS).await;
        let server = start(config(&[&bad, &good]), zone());
        let reply = server.udp(&query(1, NAME, RecordType::A)).await;
        assert_eq!(addresses(&reply), expected(), "{rcode}");
        server.stop().await;
    }
}

#[tokio::test]
async fn without_any_good_upstream_the_client_gets_servfail() {
    let refusing = FakeUpstream::replying(|message| {
        message.metadata.response_code = ResponseCode::Refused;
    })
    .await;
    let failing = FakeUpstream::replying(|message| {
        message.metadata.response_code = ResponseCode::ServFail;
    })
    .await;
    let closed = closed_port().await;
    for upstreams in [
        vec![],
        vec![closed],
        vec![refusing.address],
        vec![failing.address],
        vec![refusing.address, closed, failing.address],
    ] {
        let server = start(asking(upstreams.clone()), zone());
        let query = edns_query(3, NAME, RecordType::A, 1232);
        for reply in [server.udp(&query).await, server.tcp(&query).await] {
            assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{upstreams:?}");
            assert_eq!(reply.metadata.recursion_available, !upstreams.is_empty());
            assert!(reply.edns.is_some() && reply.queries.len() == 1);
        }
        server.stop().await;
    }
    // One that said no is not asked again: two lists have it, and that they failed is kept.
    assert_eq!((refusing.seen().len(), failing.seen().len()), (2, 2));
}

#[tokio::test]
async fn time_of_a_client_is_limited_when_no_upstream_speaks() {
    let silent = FakeUpstream::silent().await;
    let mut config = config(&[&silent]);
    config.forward[0].limits = ForwardLimits {
        patience: std::time::Duration::from_millis(20),
        per_try: std::time::Duration::from_millis(60),
        // Long enough for a second try on a busy machine.
        total: std::time::Duration::from_secs(1),
        ..ForwardLimits::default()
    };
    let server = start(config, zone());
    let reply = server.udp(&query(1, NAME, RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    assert!(silent.seen().len() > 1, "a lost datagram was not sent again");
    server.stop().await;
}

#[tokio::test]
async fn replies_to_other_queries_are_ignored() {
    let upstream = FakeUpstream::start(|query, _| {
        let wrong = Ipv4Addr::new(198, 51, 100, 66);
        let other_id = reply_to(query, |message| {
            message.metadata.id = message.metadata.id.wrapping_add(1);
            answering(wrong)(message);
        });
        let other_name = reply_to(query, |message| {
            message.queries = vec![Query::query("evil.example.".parse().unwrap(), RecordType::A)];
            answering(wrong)(message);
        });
        let no_reply = query.to_vec().unwrap();
        vec![other_id, other_name, no_reply, vec![0; 5], reply_to(query, answering(ADDRESS))]
    })
    .await;
    let server = start(config(&[&upstream]), zone());
    assert_eq!(addresses(&server.udp(&query(1, NAME, RecordType::A)).await), expected());
    assert_eq!(upstream.seen().len(), 1);
    server.stop().await;
}

/// An upstream whose whole answer is only to be had by TCP.
async fn truncating() -> FakeUpstream {
    FakeUpstream::start(|query, transport| {
        vec![reply_to(query, |message| match transport {
            Transport::Udp => message.metadata.truncation = true,
            Transport::Tcp => answering(ADDRESS)(message),
        })]
    })
    .await
}

#[tokio::test]
async fn truncated_reply_is_completed_by_tcp_and_kept() {
    let upstream = truncating().await;
    let server = start(config(&[&upstream]), zone());
    let query = query(1, NAME, RecordType::A);
    for reply in [server.udp(&query).await, server.tcp(&query).await] {
        assert!(!reply.metadata.truncation);
        assert_eq!(addresses(&reply), expected());
    }
    let by: Vec<_> = upstream.seen().iter().map(|seen| seen.transport).collect();
    assert_eq!(by, [Transport::Udp, Transport::Tcp]);
    server.stop().await;
}

#[tokio::test]
async fn truncated_reply_is_passed_on_and_not_kept_where_tcp_does_not_work() {
    let upstream = FakeUpstream::start(|query, transport| {
        let truncated = || reply_to(query, |message| message.metadata.truncation = true);
        // By TCP it says nothing.
        if transport == Transport::Udp { vec![truncated()] } else { Vec::new() }
    })
    .await;
    let server = start(config(&[&upstream]), zone());
    for asked in 1..=2 {
        let short = server.udp(&query(1, NAME, RecordType::A)).await;
        assert!(short.metadata.truncation && short.answers.is_empty());
        let by_udp = upstream.seen().iter().filter(|s| s.transport == Transport::Udp).count();
        assert!(by_udp >= asked, "a truncated reply was kept");
    }
    server.stop().await;
}

#[tokio::test]
async fn reply_larger_than_the_client_takes_becomes_a_truncated_one() {
    let upstream = FakeUpstream::replying(|message| {
        let name = message.queries[0].name().clone();
        let text = TXT::new(vec!["x".repeat(250); 3]);
        message.add_answer(Record::from_rdata(name, 60, RData::TXT(text)));
    })
    .await;
    let server = start(config(&[&upstream]), zone());
    let small = server.udp(&query(1, NAME, RecordType::TXT)).await;
    assert!(small.metadata.truncation && small.answers.is_empty() && small.edns.is_none());
    let large = server.udp(&edns_query(2, NAME, RecordType::TXT, 1232)).await;
    assert!(!large.metadata.truncation);
    assert_eq!(large.answers.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn too_many_queries_at_once_get_servfail_at_once() {
    let silent = FakeUpstream::silent().await;
    let mut config = config(&[&silent]);
    config.forward[0].limits.in_flight = 1;
    let server = start(config, zone());
    let first = UdpClient::connect(server.address).await;
    first.send(&query(1, NAME, RecordType::A).to_vec().unwrap()).await;
    silent.wait_for(1).await;
    for name in [NAME.to_owned(), local("ext")] {
        let reply = server.udp(&query(2, &name, RecordType::A)).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{name}");
    }
    assert_eq!(silent.seen().len(), 1, "the limit did not hold");
    drop(first);
    within("the end of the server", server.order_stop()).await.unwrap().unwrap();
}

#[tokio::test]
async fn slow_name_holds_up_no_other_on_the_same_connection() {
    let silent = FakeUpstream::silent().await;
    let server = start(config(&[&silent]), zone());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for (id, name) in [(1, NAME.to_owned()), (2, local("web"))] {
        let message = query(id, &name, RecordType::A).to_vec().unwrap();
        stream.write_all(&framed(&message)).await.unwrap();
    }
    assert_eq!(read_framed(&mut stream).await.metadata.id, 2);
    server.stop().await;
}

#[tokio::test]
async fn reply_that_is_owed_comes_after_the_order_to_stop() {
    let upstream = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = start(asking([upstream.local_addr().unwrap()]), zone());
    let address = server.address;
    let datagrams = UdpClient::connect(address).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    datagrams.send(&query(1, NAME, RecordType::A).to_vec().unwrap()).await;
    let other = query(2, "other.example.com.", RecordType::A).to_vec().unwrap();
    stream.write_all(&framed(&other)).await.unwrap();
    let mut owed = Vec::new();
    for _ in 0..2 {
        let mut buffer = [0; 512];
        let (octets, from) = within("a query", upstream.recv_from(&mut buffer)).await.unwrap();
        owed.push((buffer[..octets].to_vec(), from));
    }
    let end = server.order_stop();
    within("the listener to be closed", async {
        while TcpStream::connect(address).await.is_ok() {}
    })
    .await;
    for (query, from) in owed {
        let reply = reply_to(&Message::from_vec(&query).unwrap(), answering(ADDRESS));
        upstream.send_to(&reply, from).await.unwrap();
    }
    assert_eq!(addresses(&datagrams.receive_message().await), expected());
    assert_eq!(addresses(&read_framed(&mut stream).await), expected());
    within("the end of the server", end).await.unwrap().unwrap();
}

#[tokio::test]
async fn alias_outside_is_answered_with_what_the_upstream_has() {
    let upstream = FakeUpstream::replying(|message| {
        let (name, cdn) = (message.queries[0].name().clone(), Name::from_ascii("cdn.example.net."));
        let cdn = cdn.unwrap();
        message.add_answer(Record::from_rdata(cdn.clone(), 60, RData::A(ADDRESS.into())));
        message.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(cdn.clone()))));
        message.add_authority(Record::from_rdata(cdn.clone(), 60, RData::A(ADDRESS.into())));
    })
    .await;
    let server = start(config(&[&upstream]), zone());
    let query = query(1, &local("ext"), RecordType::A);
    for reply in [server.udp(&query).await, server.tcp(&query).await] {
        let owners: Vec<_> = reply.answers.iter().map(|record| record.name.to_ascii()).collect();
        assert_eq!(owners, [local("ext"), NAME.to_owned(), "cdn.example.net.".to_owned()]);
        assert_eq!(addresses(&reply), expected());
        assert!(reply.metadata.authoritative && reply.authorities.is_empty());
    }
    let seen = Message::from_vec(&upstream.seen()[0].octets).unwrap();
    assert_eq!(seen.queries[0].name().to_lowercase().to_ascii(), NAME);
    assert!(seen.metadata.recursion_desired);
    server.stop().await;
}

#[tokio::test]
async fn alias_outside_has_the_response_code_of_its_target() {
    for (said, expected) in [
        (ResponseCode::NXDomain, ResponseCode::NXDomain),
        (ResponseCode::NoError, ResponseCode::NoError),
        (ResponseCode::ServFail, ResponseCode::ServFail),
        (ResponseCode::Refused, ResponseCode::ServFail),
        (ResponseCode::FormErr, ResponseCode::ServFail),
    ] {
        let upstream =
            FakeUpstream::replying(move |message| message.metadata.response_code = said).await;
        let server = start(config(&[&upstream]), zone());
        let reply = server.udp(&query(1, &local("ext"), RecordType::A)).await;
        assert_eq!(reply.metadata.response_code, expected, "{said}");
        assert_eq!(reply.answers.len(), 1, "{said}");
        server.stop().await;
    }
}

#[tokio::test]
async fn answer_behind_an_alias_is_kept_but_the_alias_is_not() {
    let upstream = truncating().await;
    let server = start(config(&[&upstream]), zone());
    let query = query(1, &local("ext"), RecordType::A);
    for reply in [server.udp(&query).await, server.tcp(&query).await] {
        assert_eq!(addresses(&reply), expected());
        assert!(reply.metadata.authoritative && !reply.metadata.truncation);
    }
    assert_eq!(upstream.seen().len(), 2, "once by UDP and once by TCP");
    // The alias is gone, and nothing stands in for it.
    server.zone.store(std::sync::Arc::new(unsynced()));
    let reply = server.udp(&query).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    server.stop().await;
}
