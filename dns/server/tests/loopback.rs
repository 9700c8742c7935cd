//! The server over real sockets on the loopback interface, with what the zone knows.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use podway_dns_server::{BindError, ClientLimits, Server, ServerConfig, StreamLimits};
use prometheus_client::registry::Registry;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use self::support::{
    BIG, UdpClient, addresses, big_address, changed_zone, config, edns_query, framed, local, query,
    read_framed, start, unsynced, within, zone,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn service_is_answered_by_udp_and_tcp() {
    let server = start(config(&[]), zone());
    for (qtype, address) in [(RecordType::A, "10.96.5.5"), (RecordType::AAAA, "fd00:96::55")] {
        let query = query(41, &local("web"), qtype);
        for reply in [server.udp(&query).await, server.tcp(&query).await] {
            assert_eq!(reply.metadata.id, 41);
            assert!(reply.metadata.authoritative);
            assert_eq!(addresses(&reply), [ip(address)]);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn queries_share_a_tcp_connection_however_they_are_cut() {
    let server = start(config(&[]), zone());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let message = |id| framed(&query(id, &local("web"), RecordType::A).to_vec().unwrap());
    stream.write_all(&[message(1), message(2)].concat()).await.unwrap();
    for octet in message(3) {
        stream.write_all(&[octet]).await.unwrap();
        stream.flush().await.unwrap();
    }
    for id in [1, 2, 3] {
        let reply = read_framed(&mut stream).await;
        assert_eq!((reply.metadata.id, addresses(&reply)), (id, vec![ip("10.96.5.5")]));
    }
    server.stop().await;
}

#[tokio::test]
async fn half_closed_connection_still_gets_its_reply() {
    let server = start(config(&[]), zone());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let message = query(1, &local("web"), RecordType::A).to_vec().unwrap();
    stream.write_all(&framed(&message)).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_framed(&mut stream).await.metadata.id, 1);
    server.stop().await;
}

#[tokio::test]
async fn large_service_is_truncated_fairly_by_udp_and_whole_by_tcp() {
    let server = start(config(&[]), zone());
    let name = local("big");
    let classic = server.udp(&query(1, &name, RecordType::A)).await;
    assert!(classic.metadata.truncation);
    assert!(classic.to_vec().unwrap().len() <= 512 && classic.answers.len() >= 25);
    let modern = edns_query(2, &name, RecordType::A, 4096);
    let client = UdpClient::connect(server.address).await;
    let mut seen = BTreeSet::new();
    for _ in 0..3000 {
        client.send(&modern.to_vec().unwrap()).await;
        let octets = client.receive().await;
        assert!(octets.len() <= 1232, "{} octets", octets.len());
        let reply = hickory_proto::op::Message::from_vec(&octets).unwrap();
        assert!(reply.metadata.truncation && reply.edns.is_some() && reply.answers.len() > 65);
        seen.extend(addresses(&reply));
        if seen.len() == usize::from(BIG) {
            break;
        }
    }
    assert_eq!(seen.len(), usize::from(BIG), "some addresses never came");
    let whole = server.tcp(&query(3, &name, RecordType::A)).await;
    assert!(!whole.metadata.truncation);
    let expected: BTreeSet<IpAddr> = (0..BIG).map(|index| big_address(index).into()).collect();
    assert_eq!(addresses(&whole).into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(whole.answers.len(), usize::from(BIG));
    server.stop().await;
}

#[tokio::test]
async fn reply_comes_from_the_address_that_was_asked() {
    for (everywhere, asked) in [
        ("0.0.0.0:0", ip("127.0.0.1")),
        ("0.0.0.0:0", ip("127.0.0.2")),
        ("0.0.0.0:0", ip("127.83.1.9")),
        ("[::]:0", ip("::1")),
    ] {
        let listen = vec![everywhere.parse().unwrap()];
        let server = start(ServerConfig { listen, ..config(&[]) }, zone());
        // A connected socket takes replies from the address it asked and no other.
        let client = UdpClient::connect(SocketAddr::new(asked, server.address.port())).await;
        client.send(&query(9, &local("web"), RecordType::A).to_vec().unwrap()).await;
        assert_eq!(addresses(&client.receive_message().await), [ip("10.96.5.5")], "{asked}");
        server.stop().await;
    }
}

#[tokio::test]
async fn replies_and_fragments_of_headers_stay_without_reply() {
    let server = start(config(&[]), zone());
    let client = UdpClient::connect(server.address).await;
    let question = query(1, &local("web"), RecordType::A).to_vec().unwrap();
    let mut reply = question.clone();
    reply[2] |= 0x80;
    client.send(&reply).await;
    client.send(&question[..11]).await;
    client.send(b"").await;
    client.send(&query(2, &local("web"), RecordType::A).to_vec().unwrap()).await;
    // One socket's datagrams are answered in order: a reply to the others would come first.
    assert_eq!(client.receive_message().await.metadata.id, 2);
    server.stop().await;
}

#[tokio::test]
async fn next_query_sees_the_index_that_was_swapped_in() {
    let server = start(config(&[]), unsynced());
    let query = query(1, &local("web"), RecordType::A);
    assert_eq!(server.udp(&query).await.metadata.response_code, ResponseCode::ServFail);
    for address in ["10.96.5.5", "10.96.7.7"] {
        server.zone.store(Arc::new(changed_zone(address)));
        assert_eq!(addresses(&server.udp(&query).await), [ip(address)]);
    }
    server.stop().await;
}

#[tokio::test]
async fn stopped_server_has_given_its_port_back() {
    let server = start(config(&[]), zone());
    let address = server.address;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let message = query(1, &local("web"), RecordType::A).to_vec().unwrap();
    idle.write_all(&framed(&message)).await.unwrap();
    read_framed(&mut idle).await;
    server.stop().await;
    // Without SO_REUSEPORT the port can be had only if nobody has it.
    UdpSocket::bind(address).unwrap();
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut idle, &mut rest);
    assert_eq!(within("the end of the connection", end).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn every_address_that_cannot_be_listened_on_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    // Documentation addresses (RFC 5737): no host has them.
    let listen = ["192.0.2.1:5353", "127.0.0.1:0", "198.51.100.1:5353"];
    let listen = listen.iter().map(|address| address.parse().unwrap()).chain([taken]).collect();
    let zone = Arc::new(ArcSwap::from_pointee(unsynced()));
    let error = Server::bind(ServerConfig::new(listen, Vec::new()), zone).unwrap_err();
    let BindError::Listen(errors) = &error else { panic!("{error}") };
    assert_eq!(errors.0.len(), 3);
    let text = error.to_string();
    for address in ["192.0.2.1:5353", "198.51.100.1:5353", &taken.to_string()] {
        assert!(text.contains(&format!("cannot listen on UDP {address}: ")), "{text}");
    }
}

#[tokio::test]
async fn server_is_not_its_own_upstream() {
    let address: SocketAddr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let zone = Arc::new(ArcSwap::from_pointee(unsynced()));
    let error = Server::bind(ServerConfig::new(vec![address], vec![address]), zone).unwrap_err();
    assert!(matches!(error, BindError::Loop { upstream } if upstream == address), "{error}");
}

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_ask_for() {
    let server = start(config(&[]), zone());
    server.udp(&query(1, &local("web"), RecordType::AAAA)).await;
    server.tcp(&query(1, &local("nosuch"), RecordType::A)).await;
    server.udp(&query(1, "example.com.", RecordType::A)).await;
    let mut signed = edns_query(1, &local("web"), RecordType::A, 1232);
    signed.edns.as_mut().unwrap().set_dnssec_ok(true);
    server.udp(&signed).await;
    let mut registry = Registry::default();
    server.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let address = format!("server=\"dns://{}\"", server.address);
    let lines = [
        format!(
            "coredns_dns_requests_total{{{address},zone=\".\",view=\"\",proto=\"udp\",family=\"1\",type=\"AAAA\"}} 1"
        ),
        format!(
            "coredns_dns_responses_total{{{address},zone=\".\",view=\"\",rcode=\"NXDOMAIN\",plugin=\"kubernetes\"}} 1"
        ),
        format!(
            "coredns_dns_responses_total{{{address},zone=\".\",view=\"\",rcode=\"SERVFAIL\",plugin=\"forward\"}} 1"
        ),
        format!("coredns_dns_request_duration_seconds_count{{{address},zone=\".\",view=\"\"}} 4"),
        format!("coredns_dns_do_requests_total{{{address},zone=\".\",view=\"\"}} 1"),
        "podway_dns_client_limited_total 0".to_owned(),
        format!(
            "coredns_dns_response_size_bytes_count{{{address},zone=\".\",view=\"\",proto=\"tcp\"}} 1"
        ),
    ];
    for line in lines {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    server.stop().await;
}

/// What is shown of one metric without labels.
fn shown(metrics: &podway_dns_server::Metrics, name: &str) -> String {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_datagram_of_a_burst_is_answered_from_the_address_it_went_to() {
    let listen = vec!["0.0.0.0:0".parse().unwrap()];
    let server = start(ServerConfig { listen, ..config(&[]) }, zone());
    let mut clients = Vec::new();
    for host in 1..=8 {
        let asked = SocketAddr::new(IpAddr::from([127, 0, 9, host]), server.address.port());
        clients.push(UdpClient::connect(asked).await);
    }
    let names = ["web", "nosuch", "big"].map(local);
    for id in 0..100_u16 {
        let name = &names[usize::from(id) % names.len()];
        let message = query(id, name, RecordType::A).to_vec().unwrap();
        for client in &clients {
            client.send(&message).await;
        }
    }
    // A connected socket takes replies from the address it asked and no other.
    for client in &clients {
        for id in 0..100_u16 {
            let reply = client.receive_message().await;
            assert_eq!(reply.metadata.id, id);
            assert_eq!(reply.answers.is_empty(), id % 3 == 1, "{id}");
            assert_eq!(reply.metadata.truncation, id % 3 == 2, "{id}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn client_that_asks_too_much_gets_no_more_and_others_do() {
    let clients = ClientLimits {
        queries_per_second: NonZeroU32::new(1),
        burst: NonZeroU32::new(3).unwrap(),
        ..ClientLimits::default()
    };
    let server = start(ServerConfig { clients, ..config(&[]) }, zone());
    let greedy = UdpSocket::bind("127.0.0.2:0").unwrap();
    greedy.connect(server.address).unwrap();
    let message = |id| query(id, &local("web"), RecordType::A).to_vec().unwrap();
    for id in 0..200 {
        greedy.send(&message(id)).unwrap();
    }
    let modest = UdpClient::connect(server.address).await;
    modest.send(&message(7)).await;
    assert_eq!(modest.receive_message().await.metadata.id, 7);
    within("the denials", async {
        while shown(&server.metrics, "podway_dns_client_limited_total").parse::<u32>().unwrap()
            < 190
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn connections_of_one_client_are_limited() {
    let streams = StreamLimits { connections_of_client: 2, ..StreamLimits::default() };
    let server = start(ServerConfig { streams, ..config(&[]) }, zone());
    let message = framed(&query(1, &local("web"), RecordType::A).to_vec().unwrap());
    let mut connections = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&message).await.unwrap();
        assert_eq!(read_framed(&mut stream).await.metadata.id, 1);
        connections.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut third, &mut rest);
    assert_eq!(within("the end of the third connection", end).await.unwrap(), 0);
    drop(connections.pop());
    within("room for another connection", async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(&message).await.ok();
            if tokio::io::AsyncReadExt::read_u16(&mut stream).await.is_ok() {
                return;
            }
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn client_that_announces_too_much_is_let_go_with_its_replies() {
    let server = start(config(&[]), zone());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let message = framed(&query(1, &local("web"), RecordType::A).to_vec().unwrap());
    stream.write_all(&message).await.unwrap();
    stream.write_all(&4097_u16.to_be_bytes()).await.unwrap();
    assert_eq!(read_framed(&mut stream).await.metadata.id, 1);
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    assert_eq!(within("the end of the connection", end).await.unwrap(), 0);
    server.stop().await;
}
