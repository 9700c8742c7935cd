//! Clients by TLS (RFC 7858): certificates, who is let in, and files that change.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use podway_dns_server::{
    BindError, ClientCertificates, Metrics, Server, ServerConfig, TlsIdentity, TlsListen,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use self::support::papers::Papers;
use self::support::{addresses, config, framed, local, query, within, zone};

impl Papers {
    /// A client that trusts the authority, with a certificate of its own if it has one.
    fn client(&self, identity: Option<&TlsIdentity>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(TlsIdentity { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
            }
            .unwrap(),
        };
        config.alpn_protocols = vec![b"dot".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// A server for TLS in action.
struct Running {
    address: SocketAddr,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(listen: TlsListen, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = config(&[]);
        config.tls = vec![("127.0.0.1:0".parse().unwrap(), listen)];
        change(&mut config);
        let zone = Arc::new(ArcSwap::from_pointee(zone()));
        let server = Server::bind(config, zone).unwrap();
        let (address, metrics) = (server.tls_addrs()[0], server.metrics().clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            stopped.await.ok();
        }));
        Self { address, metrics, stop, task }
    }

    async fn connect(
        &self,
        client: &TlsConnector,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        within("a handshake", client.connect(name, stream)).await
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        within("the end of the server", self.task).await.unwrap().unwrap();
    }
}

/// Asks once.
async fn ask(stream: &mut TlsStream<TcpStream>, id: u16, name: &str) -> std::io::Result<Message> {
    let query = query(id, name, RecordType::A).to_vec().unwrap();
    stream.write_all(&framed(&query)).await?;
    let mut reply = vec![0; within("a length", stream.read_u16()).await?.into()];
    within("a reply", stream.read_exact(&mut reply)).await?;
    Ok(Message::from_vec(&reply).unwrap())
}

fn open(identity: TlsIdentity) -> TlsListen {
    TlsListen { identity, clients: ClientCertificates::None }
}

#[tokio::test]
async fn queries_by_tls_are_answered_on_one_connection() {
    let papers = Papers::new();
    let server = Running::start(open(papers.issue("server", "dns.example")), |_| {});
    let mut stream = server.connect(&papers.client(None), "dns.example").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"dot"[..]));
    for id in 0..20 {
        let reply = ask(&mut stream, id, &local("web")).await.unwrap();
        assert_eq!(
            (reply.metadata.id, addresses(&reply)),
            (id, vec![IpAddr::from([10, 96, 5, 5])])
        );
    }
    // More than one record of TLS, and more than the socket takes at once.
    let big = ask(&mut stream, 1, &local("big")).await.unwrap();
    assert_eq!(big.answers.len(), usize::from(support::BIG));
    let mut registry = prometheus_client::registry::Registry::default();
    server.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let line = format!(
        "coredns_dns_requests_total{{server=\"tls://{}\",zone=\".\",view=\"\",proto=\"tcp\",\
         family=\"1\",type=\"A\"}} 21",
        server.address
    );
    assert!(text.contains(&line), "{line} is not in\n{text}");
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_speak_tls_holds_up_nobody() {
    let papers = Papers::new();
    let server = Running::start(open(papers.issue("server", "dns.example")), |config| {
        // Long enough for the handshake of the third on a busy machine.
        config.streams.idle = std::time::Duration::from_secs(2);
    });
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    let message = query(1, &local("web"), RecordType::A).to_vec().unwrap();
    plain.write_all(&framed(&message)).await.unwrap();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut stream = server.connect(&papers.client(None), "dns.example").await.unwrap();
    assert_eq!(ask(&mut stream, 7, &local("web")).await.unwrap().metadata.id, 7);
    for (case, stream) in [("plain", &mut plain), ("silent", &mut silent)] {
        let mut rest = Vec::new();
        // An alert of TLS at most, and no answer.
        within(case, stream.read_to_end(&mut rest)).await.ok();
        assert!(rest.len() < message.len(), "{case}: {rest:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn clients_show_certificates_where_they_have_to() {
    let (papers, strangers) = (Papers::new(), Papers::new());
    let (own, strange) =
        (papers.issue("client", "a.example"), strangers.issue("client", "a.example"));
    let authority = Some(papers.path("authority.pem"));
    for (clients, expected) in [
        (ClientCertificates::Required(authority.clone()), [true, false, false]),
        (ClientCertificates::IfGiven(authority), [true, true, false]),
        (ClientCertificates::None, [true, true, true]),
    ] {
        let identity = papers.issue("server", "dns.example");
        let server = Running::start(TlsListen { identity, clients: clients.clone() }, |_| {});
        for (shown, expected) in [Some(&own), None, Some(&strange)].into_iter().zip(expected) {
            // The client of TLS 1.3 hears of its refusal when it reads.
            let answered = match server.connect(&papers.client(shown), "dns.example").await {
                Ok(mut stream) => ask(&mut stream, 1, &local("web")).await.is_ok(),
                Err(_refused) => false,
            };
            assert_eq!(answered, expected, "{clients:?}, {shown:?}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn certificate_that_is_renewed_is_shown_and_a_bad_one_is_not() {
    let papers = Papers::new();
    let identity = papers.issue("server", "old.example");
    let server = Running::start(open(identity.clone()), |_| {});
    let client = papers.client(None);
    let mut early = server.connect(&client, "old.example").await.unwrap();
    std::fs::write(&identity.certificate, "no certificate").unwrap();
    assert!(server.connect(&client, "old.example").await.is_ok());
    papers.issue("server", "new.example");
    within("the new certificate", async {
        while server.connect(&client, "new.example").await.is_err() {}
    })
    .await;
    assert!(server.connect(&client, "old.example").await.is_err());
    // Who was connected stays.
    assert_eq!(ask(&mut early, 3, &local("web")).await.unwrap().metadata.id, 3);
    server.stop().await;
}

#[tokio::test]
async fn files_that_are_no_good_are_named_when_the_server_is_made() {
    let papers = Papers::new();
    let good = papers.issue("server", "dns.example");
    let other = papers.issue("other", "dns.example");
    for (case, identity) in [
        ("missing.pem", TlsIdentity { certificate: papers.path("missing.pem"), ..good.clone() }),
        ("missing.key", TlsIdentity { key: papers.path("missing.key"), ..good.clone() }),
        ("TLS cannot be set up", TlsIdentity { key: other.key, ..good }),
    ] {
        let mut config = config(&[]);
        config.tls = vec![("127.0.0.1:0".parse().unwrap(), open(identity))];
        let zone = Arc::new(ArcSwap::from_pointee(zone()));
        let error = Server::bind(config, zone).unwrap_err();
        let BindError::ServeTls(reason) = &error else { panic!("{error}") };
        assert!(reason.to_string().contains(case), "{case}: {reason}");
    }
}
