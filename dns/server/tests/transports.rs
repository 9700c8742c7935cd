//! The ways to upstreams: spelling in datagrams, connections that are shared, TLS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_dns_server::{
    BindError, Protocol, Server, ServerConfig, Target, TlsError, TlsIdentity, TlsTrust, Transport,
    Upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig as TlsServerConfig, crypto};

use self::support::papers::Papers;
use self::support::{
    FakeUpstream, Running, addresses, asking, config, framed, query, reply_to, start, within, zone,
};

const REAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const FORGED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

/// Adds `address` as the answer.
fn with(address: Ipv4Addr) -> impl Fn(&mut Message) {
    move |message| {
        let name = message.queries[0].name().clone();
        message.add_answer(Record::from_rdata(name, 60, RData::A(address.into())));
    }
}

/// Brings the name of the question into small letters.
fn fold(message: &mut Message) {
    let name = Name::from_ascii(message.queries[0].name().to_ascii().to_lowercase()).unwrap();
    message.queries[0].set_name(name);
}

async fn ask(server: &Running, name: &str) -> Message {
    server.udp(&query(1, name, RecordType::A)).await
}

fn is_small(octets: &[u8]) -> bool {
    !octets[12..].iter().any(u8::is_ascii_uppercase)
}

// ---- spelling -------------------------------------------------------------------------------

#[tokio::test]
async fn upstream_that_folds_names_is_found_out_by_tcp_and_spared_from_then_on() {
    let upstream = FakeUpstream::start(|query, _| {
        vec![reply_to(query, |message| {
            fold(message);
            with(REAL)(message);
        })]
    })
    .await;
    let server = start(config(&[&upstream]), zone());
    for index in 0..8 {
        let reply = ask(&server, &format!("A{index}.Folded.Example.Com.")).await;
        assert_eq!(addresses(&reply), [REAL]);
    }
    let seen = upstream.seen();
    let transports: Vec<_> = seen[..2].iter().map(|seen| seen.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
    assert!(seen[2..].iter().all(|seen| seen.transport == Transport::Udp));
    assert!(seen[2..].iter().all(|seen| is_small(&seen.octets)));
    assert_eq!(seen.len(), 9);
    server.stop().await;
}

#[tokio::test]
async fn upstream_that_folds_names_and_has_no_tcp_is_asked_again_in_small_letters() {
    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let mut seen = Vec::new();
        let mut buffer = [0; 512];
        while seen.len() < 3 {
            let (octets, client) = upstream.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..octets]).unwrap();
            seen.push(buffer[..octets].to_vec());
            let reply = reply_to(&query, |message| {
                fold(message);
                with(REAL)(message);
            });
            upstream.send_to(&reply, client).await.unwrap();
        }
        seen
    });
    let server = start(asking([address]), zone());
    for name in ["a.folded.example.com.", "b.folded.example.com."] {
        assert_eq!(addresses(&ask(&server, name).await), [REAL]);
    }
    let seen = within("three queries", answering).await.unwrap();
    assert!(!is_small(&seen[0]) && is_small(&seen[1]) && is_small(&seen[2]));
    server.stop().await;
}

#[tokio::test]
async fn forged_reply_in_another_spelling_is_not_believed() {
    let upstream = FakeUpstream::start(|query, transport| {
        vec![reply_to(query, |message| match transport {
            Transport::Udp => {
                fold(message);
                with(FORGED)(message);
            }
            Transport::Tcp => with(REAL)(message),
        })]
    })
    .await;
    let server = start(config(&[&upstream]), zone());
    for index in 0..4 {
        let reply = ask(&server, &format!("a{index}.forged.example.com.")).await;
        assert_eq!(addresses(&reply), [REAL]);
    }
    let by_udp = upstream.seen().into_iter().filter(|seen| seen.transport == Transport::Udp);
    assert!(by_udp.into_iter().all(|seen| !is_small(&seen.octets)), "the mixing was given up");
    server.stop().await;
}

// ---- connections ----------------------------------------------------------------------------

/// Asks those at `addresses` by `protocol`.
fn asking_by(address: SocketAddr, protocol: Protocol) -> ServerConfig {
    let mut config = asking([]);
    config.forward[0].to = vec![Target::Upstream(Upstream { address, protocol })];
    config
}

#[tokio::test]
async fn queries_share_a_connection() {
    let upstream = FakeUpstream::with_address(REAL).await;
    let server = start(asking_by(upstream.address, Protocol::Tcp), zone());
    for index in 0..10 {
        assert_eq!(addresses(&ask(&server, &format!("{index}.example.com.")).await), [REAL]);
    }
    let seen = upstream.seen();
    let clients: BTreeSet<_> = seen.iter().map(|seen| seen.client).collect();
    assert_eq!((seen.len(), clients.len()), (10, 1));
    assert!(seen.iter().all(|seen| seen.transport == Transport::Tcp));
    server.stop().await;
}

#[tokio::test]
async fn replies_in_any_order_go_to_those_who_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut queries = Vec::new();
        while queries.len() < 20 {
            let mut message = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut message).await.unwrap();
            queries.push(Message::from_vec(&message).unwrap());
        }
        // Replies to nobody, and one with the id of another's, come first.
        let stranger = reply_to(&queries[0], |message| {
            message.queries = queries[1].queries.clone();
            with(FORGED)(message);
        });
        stream.write_all(&framed(&stranger)).await.unwrap();
        for query in queries.iter().rev() {
            // Each name has an address of its own: its first label is a number.
            let number = query.queries[0].name().iter().next().unwrap().to_vec();
            let number = String::from_utf8(number).unwrap().parse().unwrap();
            let reply = reply_to(query, with(Ipv4Addr::new(192, 0, 2, number)));
            stream.write_all(&framed(&reply)).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let server = Arc::new(start(asking_by(address, Protocol::Tcp), zone()));
    let mut clients = JoinSet::new();
    for number in 0..20 {
        let server = Arc::clone(&server);
        clients.spawn(async move {
            let reply = ask(&server, &format!("{number}.example.com.")).await;
            (addresses(&reply), [IpAddr::from([192, 0, 2, number])])
        });
    }
    while let Some(client) = within("all clients", clients.join_next()).await {
        let (got, expected) = client.unwrap();
        assert_eq!(got, expected);
    }
    Arc::into_inner(server).unwrap().stop().await;
}

#[tokio::test]
async fn connection_that_the_upstream_closed_costs_no_client_anything() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::<AtomicUsize>::default();
    let connections = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            // Takes two queries on each connection and answers the first.
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::Relaxed);
            for answers in [true, false] {
                let mut message = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut message).await.unwrap();
                if answers {
                    let query = Message::from_vec(&message).unwrap();
                    stream.write_all(&framed(&reply_to(&query, with(REAL)))).await.unwrap();
                }
            }
        }
    });
    let server = start(asking_by(address, Protocol::Tcp), zone());
    for index in 0..4 {
        assert_eq!(addresses(&ask(&server, &format!("{index}.example.com.")).await), [REAL]);
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 4);
    server.stop().await;
}

// ---- TLS ------------------------------------------------------------------------------------

impl Papers {
    fn trust(&self) -> TlsTrust {
        TlsTrust { authorities: Some(self.path("authority.pem")), ..TlsTrust::default() }
    }

    /// A certificate for clients, as files.
    fn identity(&self) -> TlsIdentity {
        self.issue("client", "client.example")
    }
}

/// Whom an upstream serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    Everybody,
    Known,
}

/// Starts an upstream that answers by TLS alone; its connections are counted.
async fn tls_upstream(
    papers: &Papers,
    name: &str,
    serves: Serves,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let (certificate, key) = papers.certificate(name);
    let chain = vec![CertificateDer::from(certificate)];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = TlsServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match serves {
        Serves::Everybody => builder.with_no_client_auth(),
        Serves::Known => {
            let mut roots = RootCertStore::empty();
            roots.add(papers.authority.der().clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handshakes = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&handshakes);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while let Ok(octets) = stream.read_u16().await {
                    let mut message = vec![0; octets.into()];
                    stream.read_exact(&mut message).await.unwrap();
                    let query = Message::from_vec(&message).unwrap();
                    let reply = framed(&reply_to(&query, with(REAL)));
                    stream.write_all(&reply).await.unwrap();
                }
            });
        }
    });
    (address, handshakes)
}

#[tokio::test]
async fn upstream_is_asked_by_tls_on_one_connection_if_its_certificate_is_good() {
    let papers = Papers::new();
    let named = |name: &str| Protocol::Tls { name: Some(name.to_owned()) };
    for (certificate, protocol) in
        [("dns.example", named("dns.example")), ("127.0.0.1", Protocol::Tls { name: None })]
    {
        let (address, handshakes) = tls_upstream(&papers, certificate, Serves::Everybody).await;
        let mut config = asking_by(address, protocol);
        config.forward[0].tls = papers.trust();
        let server = start(config, zone());
        for index in 0..5 {
            assert_eq!(addresses(&ask(&server, &format!("{index}.example.com.")).await), [REAL]);
        }
        assert_eq!(handshakes.load(Ordering::Relaxed), 1);
        server.stop().await;
    }
}

#[tokio::test]
async fn upstream_with_a_certificate_for_another_name_or_of_a_stranger_is_not_asked() {
    let (papers, strangers) = (Papers::new(), Papers::new());
    for (of, certificate) in [(&papers, "other.example"), (&strangers, "dns.example")] {
        let (address, _) = tls_upstream(of, certificate, Serves::Everybody).await;
        let name = Some("dns.example".to_owned());
        let mut config = asking_by(address, Protocol::Tls { name });
        config.forward[0].tls = papers.trust();
        let server = start(config, zone());
        let reply = ask(&server, "www.example.com.").await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{certificate}");
        server.stop().await;
    }
}

#[tokio::test]
async fn upstream_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let papers = Papers::new();
    let (address, _) = tls_upstream(&papers, "dns.example", Serves::Known).await;
    for (identity, rcode) in
        [(Some(papers.identity()), ResponseCode::NoError), (None, ResponseCode::ServFail)]
    {
        let mut config = asking_by(address, Protocol::Tls { name: None });
        let name = Some("dns.example".to_owned());
        config.forward[0].tls = TlsTrust { identity, name, ..papers.trust() };
        let server = start(config, zone());
        assert_eq!(ask(&server, "www.example.com.").await.metadata.response_code, rcode);
        server.stop().await;
    }
}

#[tokio::test]
async fn what_tls_needs_and_cannot_have_is_named_when_the_server_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let bind = |authorities: &Path, name: &str| {
        let name = Some(name.to_owned());
        let address = "127.0.0.1:853".parse().unwrap();
        let mut config = asking_by(address, Protocol::Tls { name });
        config.forward[0].tls.authorities = Some(authorities.to_owned());
        match Server::bind(config, Arc::new(arc_swap::ArcSwap::from_pointee(zone()))) {
            Err(BindError::Tls(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let missing = bind(&folder.path().join("missing.pem"), "dns.example");
    assert!(matches!(missing, TlsError::File { .. }), "{missing}");
    assert!(matches!(bind(&empty, "dns.example"), TlsError::NoAuthority { .. }));
    let papers = Papers::new();
    let trusted = papers.path("authority.pem");
    assert!(matches!(bind(&trusted, "not a name"), TlsError::Name { .. }));
}

// ---- connections that are kept ----------------------------------------------------------------

/// Connections that an upstream by TCP has had, after two bursts of more queries than one carries.
async fn connections(most_idle: Option<usize>) -> usize {
    /// More than go on one connection at a time.
    const BURST: usize = 100;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, arrived) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&connected);
    let answering = tokio::spawn(async move {
        let mut clients = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let arrived = Arc::clone(&arrived);
            clients.spawn(async move {
                let mut owed = Vec::new();
                // Replies wait for the whole burst, so that all of it is under way at once.
                loop {
                    tokio::select! {
                        octets = stream.read_u16() => {
                            let Ok(octets) = octets else { return };
                            let mut message = vec![0; octets.into()];
                            stream.read_exact(&mut message).await.unwrap();
                            owed.push(Message::from_vec(&message).unwrap());
                            arrived.fetch_add(1, Ordering::SeqCst);
                        }
                        () = tokio::task::yield_now(), if !owed.is_empty() => {
                            if arrived.load(Ordering::SeqCst) % BURST == 0 {
                                for query in owed.drain(..) {
                                    let reply = reply_to(&query, with(REAL));
                                    stream.write_all(&framed(&reply)).await.unwrap();
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    let mut config = config(&[]);
    config.forward[0].to = vec![Target::Upstream(Upstream { address, protocol: Protocol::Tcp })];
    config.forward[0].cache = None;
    config.forward[0].streams.most_idle = most_idle.and_then(std::num::NonZeroUsize::new);
    let server = Arc::new(start(config, zone()));
    for burst in 0..2 {
        let mut clients = JoinSet::new();
        for client in 0..BURST {
            let server = Arc::clone(&server);
            clients.spawn(async move {
                let name = format!("n{burst}-{client}.example.");
                assert_eq!(addresses(&ask(&server, &name).await), [REAL]);
            });
        }
        within("a burst", clients.join_all()).await;
    }
    answering.abort();
    connected.load(Ordering::SeqCst)
}

#[tokio::test]
async fn unused_connections_are_kept_as_many_as_there_may_be() {
    assert_eq!(connections(None).await, 2, "both are used again");
    assert_eq!(connections(Some(1)).await, 3, "one is opened again");
}
