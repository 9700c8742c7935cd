//! TCP (RFC 7766): many queries on a connection, answers as they come, limits.

use std::collections::BTreeSet;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use podway_dns_server::{ServerConfig, StreamLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cluster::{config, index};
use super::support::{self, FakeUpstream, framed, query, read_framed, start, within};
use super::talk::{Stage, name};

/// A query with its length before it.
fn message(id: u16, asked: &str) -> Vec<u8> {
    framed(&query(id, &name(asked), RecordType::A).to_vec().unwrap())
}

#[tokio::test]
async fn rfc7766_6_2_1_1_hundreds_of_queries_at_once_are_answered_each_once() {
    let stage = Stage::new(config()).await;
    let mut stream = TcpStream::connect(stage.server.address).await.unwrap();
    let names = ["web.D", "www.example.com.", "nosuch.D", "ext.D", "down.example.com."];
    let all: Vec<u8> =
        (0..500_u16).flat_map(|id| message(id, names[usize::from(id) % names.len()])).collect();
    let (mut reader, mut writer) = stream.split();
    let send = async { writer.write_all(&all).await.unwrap() };
    let receive = async {
        let mut seen = BTreeSet::new();
        for _ in 0..500 {
            let octets = within("a length", reader.read_u16()).await.unwrap();
            let mut reply = vec![0; octets.into()];
            within("a reply", reader.read_exact(&mut reply)).await.unwrap();
            seen.insert(u16::from_be_bytes([reply[0], reply[1]]));
        }
        seen
    };
    let ((), seen) = tokio::join!(send, receive);
    assert_eq!(seen, (0..500).collect::<BTreeSet<_>>());
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc7766_6_2_1_1_an_answer_that_takes_its_time_holds_up_no_other() {
    let silent = FakeUpstream::silent().await;
    let server = start(support::config(&[&silent]), index(config()));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&message(1, "www.example.com.")).await.unwrap();
    silent.wait_for(1).await;
    for id in 2..50 {
        stream.write_all(&message(id, "web.D")).await.unwrap();
        assert_eq!(read_framed(&mut stream).await.metadata.id, id);
    }
    server.stop().await;
}

#[tokio::test]
async fn queries_that_wait_on_one_connection_are_limited_and_then_go_on() {
    let silent = FakeUpstream::silent().await;
    let streams = StreamLimits { in_flight: 2, ..StreamLimits::default() };
    let mut told = ServerConfig { streams, ..support::config(&[&silent]) };
    told.forward[0].limits.total = Duration::from_millis(600);
    told.forward[0].limits.per_try = Duration::from_millis(200);
    let server = start(told, index(config()));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for id in 0..6 {
        stream.write_all(&message(id, &format!("n{id}.example.com."))).await.unwrap();
    }
    let mut other = TcpStream::connect(server.address).await.unwrap();
    other.write_all(&message(9, "web.D")).await.unwrap();
    assert_eq!(read_framed(&mut other).await.metadata.id, 9, "another connection was held up");
    let mut seen = BTreeSet::new();
    for _ in 0..6 {
        seen.insert(read_framed(&mut stream).await.metadata.id);
    }
    assert_eq!(seen, (0..6).collect::<BTreeSet<_>>());
    server.stop().await;
}

#[tokio::test]
async fn rfc7766_6_2_3_connection_without_a_whole_query_is_closed_after_a_while() {
    // Long enough for a client on a busy machine.
    let idle = Duration::from_secs(1);
    let streams = StreamLimits { idle, ..StreamLimits::default() };
    let stage = Stage::new(config()).await;
    let server =
        start(ServerConfig { streams, ..support::config(&[&stage.upstream]) }, index(config()));
    for (case, octets) in [
        ("nothing", Vec::new()),
        ("a length", vec![0, 40]),
        ("half a query", message(1, "web.D")[..20].to_vec()),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&octets).await.unwrap();
        let mut rest = Vec::new();
        within(case, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{case}");
    }
    // One that asks stays, however long it takes in all.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let start = std::time::Instant::now();
    while start.elapsed() < 3 * idle {
        stream.write_all(&message(7, "web.D")).await.unwrap();
        assert_eq!(read_framed(&mut stream).await.metadata.id, 7);
        tokio::time::sleep(idle / 10).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn messages_that_need_no_reply_end_no_connection() {
    let stage = Stage::new(config()).await;
    let mut stream = TcpStream::connect(stage.server.address).await.unwrap();
    let mut reply = query(1, &name("web.D"), RecordType::A).to_vec().unwrap();
    reply[2] |= 0x80;
    for octets in [framed(&reply), framed(b""), framed(b"short"), message(2, "web.D")] {
        stream.write_all(&octets).await.unwrap();
    }
    assert_eq!(read_framed(&mut stream).await.metadata.id, 2);
    stage.server.stop().await;
}
