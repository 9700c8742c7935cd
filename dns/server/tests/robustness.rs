//! Whatever a client sends, the server goes on answering, and what it says can be read.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says with which seed"
)]

mod support;

use std::fs;
use std::path::Path;

use hickory_proto::rr::RecordType;
use podway_dns_server::Transport;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use self::support::invariants::check;
use self::support::{
    FakeUpstream, UdpClient, addresses, config, edns_query, framed, local, query, start, unsynced,
    zone,
};

/// Messages to mutate: every kind of name, with and without EDNS.
fn originals() -> Vec<Vec<u8>> {
    let names = ["web", "big", "ext", "inside", "nosuch", "_http._tcp.few", "10-244-0-1.big"];
    let types = [RecordType::A, RecordType::AAAA, RecordType::SRV, RecordType::ANY];
    let mut messages = Vec::new();
    for name in names.iter().map(|name| local(name)).chain(["www.example.com.".to_owned()]) {
        for qtype in types {
            messages.push(query(1, &name, qtype).to_vec().unwrap());
            messages.push(edns_query(2, &name, qtype, 4096).to_vec().unwrap());
        }
    }
    messages.push(query(3, "5.5.96.10.in-addr.arpa.", RecordType::PTR).to_vec().unwrap());
    messages
}

/// A message with a few octets changed, added or taken.
fn mutated(random: &mut fastrand::Rng, originals: &[Vec<u8>]) -> Vec<u8> {
    let mut message = random.choice(originals).unwrap().clone();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..=message.len());
        match random.u8(..5) {
            0 => message.truncate(at),
            1 => message.insert(at, random.u8(..)),
            2 => message.extend(std::iter::repeat_with(|| random.u8(..)).take(at)),
            _ if at < message.len() => message[at] = random.u8(..),
            _ => {}
        }
    }
    message
}

/// A generator whose seed is printed, and so is seen when the test fails.
fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn invariants_hold_for_mutated_messages() {
    let (zone, originals, mut random) = (zone(), originals(), random());
    let mut replies = 0;
    for _ in 0..20_000 {
        let message = mutated(&mut random, &originals);
        replies += usize::from(check(&zone, &message, Transport::Udp));
    }
    assert!(replies > 1000, "the mutations leave nothing to reply to");
}

#[test]
fn invariants_hold_for_what_was_found_before() {
    let (zone, unsynced) = (zone(), unsynced());
    let mut files = 0;
    for folder in ["seeds/message", "regressions/message"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz").join(folder);
        for file in fs::read_dir(folder).unwrap() {
            let message = fs::read(file.unwrap().path()).unwrap();
            for transport in [Transport::Udp, Transport::Tcp] {
                check(&zone, &message, transport);
                check(&unsynced, &message, transport);
            }
            files += 1;
        }
    }
    assert!(files > 0, "nothing was found");
}

#[tokio::test]
async fn server_answers_between_mutated_messages() {
    let upstream = FakeUpstream::with_address([203, 0, 113, 7].into()).await;
    let server = start(config(&[&upstream]), zone());
    let (originals, mut random) = (originals(), random());
    let ordinary = query(77, &local("web"), RecordType::A);
    for _ in 0..40 {
        let client = UdpClient::connect(server.address).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for _ in 0..25 {
            let message = mutated(&mut random, &originals);
            client.send(&message).await;
            // The server may have ended the connection already, and that is its right.
            stream.write_all(&framed(&message)).await.ok();
        }
        stream.write_all(&[random.u8(..), random.u8(..), random.u8(..)]).await.ok();
        assert_eq!(addresses(&server.udp(&ordinary).await).len(), 1);
        assert_eq!(addresses(&server.tcp(&ordinary).await).len(), 1);
    }
    server.stop().await;
}
