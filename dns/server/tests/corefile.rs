//! What servers answer that are made from Corefiles: the files that people have, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[path = "corefile/plugins.rs"]
mod plugins;

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, Record, RecordType};
use podway_dns_server::Transport;

use self::support::corefile::{INTERCEPTED, Site};
use self::support::{FakeUpstream, addresses, changed_zone, edns_query, local, query, reply_to};

const KUBEADM: &str = include_str!("../../corefile/tests/data/kubeadm.Corefile");
const K3S: &str = include_str!("../../corefile/tests/data/k3s.Corefile");
const AKS: &str = include_str!("../../corefile/tests/data/aks.Corefile");
const EKS: &str = include_str!("../../corefile/tests/data/eks.Corefile");
const NODELOCAL: &str = include_str!("../../corefile/tests/data/nodelocal.Corefile");

/// A Corefile in use, with `upstream` in the place of the node's resolvers.
fn in_use(text: &str, upstream: &FakeUpstream) -> String {
    text.replace(":53 {", ":PORT {").replace("/etc/resolv.conf", &upstream.address.to_string())
}

/// Asks for addresses.
async fn ask(site: &Site, name: &str) -> Message {
    site.running.udp(&query(7, name, RecordType::A)).await
}

fn rcode(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

/// A record in the form of a master file: an SOA record only.
fn record(text: &str) -> Record {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [owner, ttl, _, _, mname, rname, serial, numbers @ ..] = words.as_slice() else {
        panic!("{text}")
    };
    let number = |at: usize| numbers[at].parse().unwrap();
    let soa = hickory_proto::rr::rdata::SOA::new(
        mname.parse().unwrap(),
        rname.parse().unwrap(),
        serial.parse().unwrap(),
        number(0),
        number(1),
        number(2),
        u32::try_from(number(3)).unwrap(),
    );
    Record::from_rdata(owner.parse().unwrap(), ttl.parse().unwrap(), RData::SOA(soa))
}

/// All metrics of a server as text.
fn exposition(site: &Site) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    site.running.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

#[tokio::test]
async fn usual_corefiles_answer_the_cluster_and_forward_the_rest() {
    let k3s = K3S.replace("/etc/coredns/custom/", "custom-of-nobody/");
    let files = [("kubeadm", KUBEADM, 30), ("eks", EKS, 5), ("k3s", &*k3s, 5), ("aks", AKS, 30)];
    for (file, text, ttl) in files {
        let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
        let site = Site::start(&in_use(text, &upstream)).await;
        let web = ask(&site, &local("web")).await;
        assert_eq!(addresses(&web), ["10.96.5.5".parse::<Ipv4Addr>().unwrap()], "{file}");
        assert_eq!(web.answers[0].ttl, ttl, "{file}");
        assert!(web.metadata.authoritative && web.metadata.recursion_available);
        assert_eq!(rcode(&ask(&site, &local("nosuch")).await), ResponseCode::NXDomain, "{file}");
        let pod = ask(&site, "10-1-2-3.default.pod.cluster.local.").await;
        assert_eq!(addresses(&pod), [Ipv4Addr::new(10, 1, 2, 3)], "{file}");
        assert_eq!(upstream.seen().len(), 0, "{file}: names of the cluster are asked of nobody");

        for _ in 0..2 {
            let outside = ask(&site, "www.example.com.").await;
            assert_eq!(addresses(&outside), [Ipv4Addr::new(192, 0, 2, 1)], "{file}");
            assert!(outside.answers[0].ttl <= 30, "{file}: cache 30 bounds all times");
        }
        assert_eq!(upstream.seen().len(), 1, "{file}: the second answer was kept");
        // An address without a name in the cluster is somebody else's.
        let pointer = query(8, "9.9.9.9.in-addr.arpa.", RecordType::PTR);
        assert_eq!(rcode(&site.running.udp(&pointer).await), ResponseCode::NoError, "{file}");
        assert_eq!(upstream.seen().len(), 2, "{file}");
        site.running.stop().await;
    }
}

#[tokio::test]
async fn names_of_the_cluster_are_never_kept_though_cache_stands_before() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let site = Site::start(&in_use(EKS, &upstream)).await;
    assert_eq!(addresses(&ask(&site, &local("web")).await), [Ipv4Addr::new(10, 96, 5, 5)]);
    site.running.zone.store(Arc::new(changed_zone("10.96.5.6")));
    assert_eq!(addresses(&ask(&site, &local("web")).await), [Ipv4Addr::new(10, 96, 5, 6)]);
    site.running.stop().await;
}

#[tokio::test]
async fn longest_zone_decides_and_aliases_ask_the_whole_server() {
    let (stub, rest) = (
        FakeUpstream::with_address(Ipv4Addr::new(198, 51, 100, 7)).await,
        FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await,
    );
    let text = format!(
        "acme.local:PORT {{\n errors\n cache 30\n forward . {}\n}}\n\
         .:PORT {{\n kubernetes cluster.local\n forward . {}\n cache 30\n}}\n",
        stub.address, rest.address
    );
    let site = Site::start(&text).await;
    for (name, address) in [
        ("db.acme.local.", [198, 51, 100, 7]),
        ("ACME.local.", [198, 51, 100, 7]),
        ("notacme.local.", [192, 0, 2, 1]),
    ] {
        assert_eq!(addresses(&ask(&site, name).await), [Ipv4Addr::from(address)], "{name}");
    }
    // An ExternalName that leads to the stub domain is asked of its servers.
    let reply = ask(&site, &local("stub")).await;
    assert!(matches!(&reply.answers[0].data, RData::CNAME(_)), "{reply}");
    assert_eq!(addresses(&reply), [Ipv4Addr::new(198, 51, 100, 7)]);
    assert_eq!(rcode(&reply), ResponseCode::NoError);
    assert_eq!((stub.seen().len(), rest.seen().len()), (2, 1), "the stub's answer was kept");
    // And one that leads nowhere says so.
    assert_eq!(rcode(&ask(&site, &local("missing")).await), ResponseCode::NXDomain);
    assert_eq!(rcode(&ask(&site, &local("self")).await), ResponseCode::ServFail);
    assert_eq!(rcode(&ask(&site, &local("ping")).await), ResponseCode::ServFail);
    site.running.stop().await;
}

#[tokio::test]
async fn names_that_no_block_is_for_are_refused() {
    let site = Site::start("example.org:PORT {\n forward . 192.0.2.1\n}\n").await;
    let reply = site.running.udp(&edns_query(3, "example.com.", RecordType::A, 1232)).await;
    assert_eq!(rcode(&reply), ResponseCode::Refused);
    assert_eq!(reply.queries.len(), 1);
    assert!(reply.edns.is_some() && reply.authorities.is_empty());
    site.running.stop().await;
}

#[tokio::test]
async fn nodelocal_cache_asks_the_cluster_by_tcp_and_keeps_denials_for_5_seconds() {
    let cluster = FakeUpstream::start(|query, _| {
        let exists = query.queries[0].name().to_string().starts_with("web.");
        let soa = "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 \
                   1800 86400 30";
        vec![reply_to(query, |reply| {
            let name = reply.queries[0].name().clone();
            if exists {
                let address = RData::A(Ipv4Addr::new(10, 96, 5, 5).into());
                reply.add_answer(Record::from_rdata(name, 30, address));
            } else {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(record(soa));
            }
        })]
    })
    .await;
    let text = NODELOCAL
        .replace(":53 {", ":PORT {")
        .replace("bind 169.254.20.10 10.96.0.10", "bind 127.0.0.1")
        .replace("169.254.20.10:8080", "127.0.0.1:8080")
        .replace("10.96.0.11", &cluster.address.to_string())
        .replace("/etc/resolv.conf", &cluster.address.to_string());
    let site = Site::start(&text).await;
    assert_eq!(addresses(&ask(&site, &local("web")).await), [Ipv4Addr::new(10, 96, 5, 5)]);
    assert!(cluster.seen().iter().all(|seen| seen.transport == Transport::Tcp));
    let missing = ask(&site, &local("nosuch")).await;
    assert_eq!(rcode(&missing), ResponseCode::NXDomain);
    assert!(missing.authorities[0].ttl <= 5, "{missing}");
    site.running.stop().await;
}

#[tokio::test]
async fn replaced_corefile_answers_at_the_same_socket_and_a_bad_one_changes_nothing() {
    let (old, new) = (
        FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await,
        FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 2)).await,
    );
    let text = |upstream: &FakeUpstream| {
        format!(
            ".:PORT {{\n kubernetes cluster.local\n forward . {}\n cache 30\n}}",
            upstream.address
        )
    };
    let site = Site::start(&text(&old)).await;
    assert_eq!(addresses(&ask(&site, "a.example.").await), [Ipv4Addr::new(192, 0, 2, 1)]);
    let client = support::UdpClient::connect(site.running.address).await;

    // What cannot be listened at, or served, is refused as a whole.
    let elsewhere = format!("{}\n.:1 {{\n bind 192.0.2.9\n whoami\n}}", text(&new));
    let refused = site.replace(&elsewhere).await.unwrap_err();
    assert!(refused.contains("192.0.2.9:1"), "{refused}");
    let refused = site.replace(".:PORT {\n autopath resolv.conf\n}").await.unwrap_err();
    assert!(refused.starts_with("Corefile:2:2: autopath with a file is not served"), "{refused}");
    assert_eq!(addresses(&ask(&site, "b.example.").await), [Ipv4Addr::new(192, 0, 2, 1)]);

    site.replace(&text(&new)).await.unwrap();
    client.send(&query(5, "c.example.", RecordType::A).to_vec().unwrap()).await;
    assert_eq!(addresses(&client.receive_message().await), [Ipv4Addr::new(192, 0, 2, 2)]);
    // Another text of the same meaning keeps what was learned.
    let seen = new.seen().len();
    site.replace(&format!("# the same\n{}", text(&new))).await.unwrap();
    assert_eq!(addresses(&ask(&site, "c.example.").await), [Ipv4Addr::new(192, 0, 2, 2)]);
    assert_eq!(new.seen().len(), seen);
    site.running.stop().await;
}

#[tokio::test]
async fn every_way_through_a_block_says_the_same() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let to = upstream.address;
    let plain =
        format!(".:PORT {{\n kubernetes cluster.local in-addr.arpa ip6.arpa\n forward . {to}\n}}");
    let sites = [
        Site::start(&plain).await,
        // Something that looks at everything and changes nothing: all goes by the stages.
        Site::start(&plain.replace(" kubernetes", " acl {\n allow\n }\n kubernetes")).await,
        // Something that looks at little: most goes straight to the index.
        Site::start(&plain.replace(
            " kubernetes",
            " rewrite name a.example b.example\n template IN A t.example {\n rcode NOERROR\n }\n \
             hosts nobody-has-this-file {\n fallthrough\n }\n kubernetes",
        ))
        .await,
    ];
    let names = [
        local("web"),
        local("WeB"),
        local("nosuch"),
        local("few"),
        local("few-3.few"),
        local("_http._tcp.web"),
        local("_tcp.web"),
        local("ext"),
        local("inside"),
        local("far"),
        local("missing"),
        local("self"),
        local("step-5"),
        "cluster.local.".to_owned(),
        "svc.cluster.local.".to_owned(),
        "dns-version.cluster.local.".to_owned(),
        "10-1-2-3.default.pod.cluster.local.".to_owned(),
        "5.5.96.10.in-addr.arpa.".to_owned(),
        "9.9.96.10.in-addr.arpa.".to_owned(),
        "in-addr.arpa.".to_owned(),
        "www.example.com.".to_owned(),
    ];
    use RecordType::{A, AAAA, ANY, AXFR, CNAME, DS, MX, NS, PTR, SOA, SRV, TXT};
    for name in &names {
        for qtype in [A, AAAA, SRV, PTR, CNAME, SOA, NS, TXT, MX, ANY, DS, AXFR] {
            for query in [query(11, name, qtype), edns_query(11, name, qtype, 1232)] {
                let mut replies = Vec::new();
                for site in &sites {
                    replies.push(site.running.udp(&query).await);
                }
                for other in &replies[1..] {
                    support::invariants::same(&replies[0], other);
                }
            }
        }
    }
    for site in sites {
        site.running.stop().await;
    }
}

#[tokio::test]
async fn upstream_that_asks_this_server_is_left_out() {
    let good = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    // One that passes everything on to whoever listens at this port, as a resolver of the host does.
    let home = Arc::new(std::sync::OnceLock::<std::net::SocketAddr>::new());
    let back = {
        let home = Arc::clone(&home);
        let relay = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        FakeUpstream::start(move |query, _| {
            if let Some(home) = home.get() {
                relay.send_to(&query.to_vec().unwrap(), home).unwrap();
            }
            Vec::new()
        })
        .await
    };
    let text = format!(
        ".:PORT {{\n loop\n forward . {} {} {{\n policy sequential\n }}\n}}",
        back.address, good.address
    );
    let site = Site::start(&text).await;
    home.set(site.running.address).unwrap();
    // It was silent before it knew whom to ask; another text makes the server look again.
    site.replace(&text.replace("loop\n", "loop\n cache 60\n")).await.unwrap();
    let found = format!("podway_dns_upstream_loops_total{{to=\"{}\"}} 1", back.address);
    support::within("the loop to be found", async {
        while !exposition(&site).contains(&found) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let before = back.seen().len();
    for number in 0..20 {
        let reply = ask(&site, &format!("n{number}.example.")).await;
        assert_eq!(addresses(&reply), [Ipv4Addr::new(192, 0, 2, 1)]);
    }
    assert_eq!(back.seen().len(), before);
    site.running.stop().await;
}

#[tokio::test]
async fn forwarding_to_an_address_that_is_intercepted_is_refused() {
    let site = Site::start(".:PORT {\n forward . 192.0.2.1\n}").await;
    let text = format!(".:PORT {{\n forward . 192.0.2.1 {INTERCEPTED}:PORT\n}}");
    let refused = site.replace(&text).await.unwrap_err();
    let place = format!("Corefile:2:2: forward: {INTERCEPTED}:{}", site.running.address.port());
    assert!(refused.starts_with(&place) && refused.contains("would come back"), "{refused}");
    // Another port is somebody else's.
    site.replace(&format!(".:PORT {{\n forward . {INTERCEPTED}:1\n}}")).await.unwrap();
    site.running.stop().await;
}
