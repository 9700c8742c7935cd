//! What servers answer that are made from Corefiles: the files that people have, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

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

#[tokio::test]
async fn simple_plugins_do_their_work_in_their_order() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let text = format!(
        ".:PORT {{
            any
            local
            nsid served by podway
            header {{
                response clear ra
            }}
            acl {{
                block type TXT
                filter type MX
                drop type NAPTR
            }}
            minimal
            dns64 {{
                allow_ipv4
            }}
            kubernetes cluster.local
            forward . {}
        }}",
        upstream.address
    );
    let site = Site::start(&text).await;
    let asked = |name: &str, qtype| query(9, name, qtype);
    let any = site.running.udp(&asked("www.example.com.", RecordType::ANY)).await;
    assert_eq!(any.answers[0].record_type(), RecordType::HINFO);
    let own = site.running.udp(&asked("localhost.", RecordType::A)).await;
    assert_eq!(addresses(&own), [Ipv4Addr::LOCALHOST]);
    let web = site.running.udp(&asked(&local("web"), RecordType::A)).await;
    assert!(!web.metadata.recursion_available, "header says so");
    for (qtype, expected) in
        [(RecordType::TXT, ResponseCode::Refused), (RecordType::MX, ResponseCode::NoError)]
    {
        let denied = site.running.udp(&edns_query(9, &local("web"), qtype, 1232)).await;
        assert_eq!((rcode(&denied), denied.answers.len()), (expected, 0));
        let options = denied.edns.unwrap();
        assert!(options.option(EdnsCode::Unknown(15)).is_some(), "{options}");
    }
    // What is dropped gets no reply; the one that comes is for the next query.
    let client = support::UdpClient::connect(site.running.address).await;
    client.send(&query(1, &local("web"), RecordType::NAPTR).to_vec().unwrap()).await;
    client.send(&query(2, &local("web"), RecordType::A).to_vec().unwrap()).await;
    assert_eq!(client.receive_message().await.metadata.id, 2);
    // 64:ff9b::/96 with the IPv4 address behind it.
    let made = site.running.udp(&asked("www.example.com.", RecordType::AAAA)).await;
    assert_eq!(addresses(&made), ["64:ff9b::c000:201".parse::<std::net::Ipv6Addr>().unwrap()]);
    let mut who = edns_query(4, &local("web"), RecordType::A, 1232);
    let options = who.edns.as_mut().unwrap().options_mut();
    options.insert(EdnsOption::Unknown(3, Vec::new()));
    let reply = site.running.udp(&who).await;
    let identity = reply.edns.as_ref().unwrap().option(EdnsCode::NSID).unwrap();
    assert_eq!(Vec::<u8>::try_from(identity).unwrap(), b"served by podway");
    let ports = site.running.udp(&asked(&local("_http._tcp.web"), RecordType::SRV)).await;
    assert_eq!((ports.answers.len(), ports.additionals.len()), (1, 0), "minimal");
    site.running.stop().await;
}

#[tokio::test]
async fn next_forward_is_asked_after_the_replies_that_are_listed() {
    let (first, second) = (
        FakeUpstream::replying(|reply| reply.metadata.response_code = ResponseCode::NXDomain).await,
        FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 2)).await,
    );
    let text = format!(
        ".:PORT {{\n forward . {} {{\n next NXDOMAIN\n }}\n forward . {}\n}}",
        first.address, second.address
    );
    let site = Site::start(&text).await;
    assert_eq!(addresses(&ask(&site, "a.example.").await), [Ipv4Addr::new(192, 0, 2, 2)]);
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
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
async fn stub_domains_hosts_rewrites_and_templates_work_together() {
    let (stub, rest) = (
        FakeUpstream::with_address(Ipv4Addr::new(198, 51, 100, 7)).await,
        FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.30 printer.lan printer\n").unwrap();
    let text = format!(
        ".:PORT {{
            errors
            rewrite name exact web.example.com web.default.svc.cluster.local
            rewrite name suffix .old. .default.svc.cluster.local. answer auto
            rewrite cname exact www.example.com. db.acme.local.
            template IN A pods.example {{
                match \"^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)\\.pods\\.example\\.$\"
                answer \"{{{{ .Name }}}} 60 IN A {{{{ .Group.a }}}}.{{{{ .Group.b }}}}.{{{{ .Group.c }}}}.{{{{ .Group.d }}}}\"
                fallthrough
            }}
            template ANY AAAA blocked.example {{
                rcode NOERROR
            }}
            hosts {} lan example.net {{
                192.0.2.10 registry.example.net
                ttl 300
                fallthrough
            }}
            kubernetes cluster.local
            forward . {}
            cache 30
        }}
        acme.local:PORT {{
            forward . {}
        }}",
        hosts.display(),
        rest.address,
        stub.address
    );
    let site = Site::start(&text).await;
    for (name, address) in [
        ("web.example.com.", [10, 96, 5, 5]),
        ("web.old.", [10, 96, 5, 5]),
        ("ip-10-1-2-3.pods.example.", [10, 1, 2, 3]),
        ("other.pods.example.", [192, 0, 2, 1]),
        ("registry.example.net.", [192, 0, 2, 10]),
        ("printer.lan.", [192, 0, 2, 30]),
        ("nobody.lan.", [192, 0, 2, 1]),
        ("db.acme.local.", [198, 51, 100, 7]),
    ] {
        let reply = ask(&site, name).await;
        assert_eq!(addresses(&reply), [Ipv4Addr::from(address)], "{name}");
        assert_eq!(reply.queries[0].name().to_string(), name);
        assert_eq!(reply.answers[0].name.to_string(), name, "the owner is the name asked");
    }
    // The target that the rule gives is looked up in the whole server.
    let alias = ask(&site, &local("ext")).await;
    assert_eq!(addresses(&alias), [Ipv4Addr::new(198, 51, 100, 7)], "{alias}");
    let none = site.running.udp(&query(7, "a.blocked.example.", RecordType::AAAA)).await;
    assert_eq!((rcode(&none), none.answers.len()), (ResponseCode::NoError, 0));

    std::fs::write(&hosts, "192.0.2.31 printer.lan\n").unwrap();
    support::within("the changed file", async {
        while addresses(&ask(&site, "printer.lan.").await) != [Ipv4Addr::new(192, 0, 2, 31)] {
            tokio::task::yield_now().await;
        }
    })
    .await;
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

/// All metrics of a server as text.
fn exposition(site: &Site) -> String {
    let mut registry = prometheus_client::registry::Registry::default();
    site.running.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
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

#[tokio::test]
async fn options_that_a_rewrite_sets_go_to_upstreams_and_tell_answers_apart() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let text = format!(
        ".:PORT {{
            rewrite continue edns0 local set 0xffee 0x61626364
            rewrite continue edns0 local set 65001 {{server_port}}
            rewrite edns0 subnet set 32 128
            kubernetes cluster.local
            forward . {}
            cache 60
        }}",
        upstream.address
    );
    let site = Site::start(&text).await;
    let mut question = edns_query(9, "www.example.com.", RecordType::A, 1232);
    let options = question.edns.as_mut().unwrap().options_mut();
    options.insert(EdnsOption::Unknown(10, b"a cookie".to_vec()));
    for (client, queries) in [("127.0.0.1:0", 1), ("127.0.0.1:0", 1), ("127.0.0.2:0", 2)] {
        let socket = tokio::net::UdpSocket::bind(client).await.unwrap();
        socket.send_to(&question.to_vec().unwrap(), site.running.address).await.unwrap();
        let mut buffer = [0; 1232];
        let octets = support::within("a reply", socket.recv(&mut buffer)).await.unwrap();
        let reply = Message::from_vec(&buffer[..octets]).unwrap();
        assert_eq!(addresses(&reply), [Ipv4Addr::new(192, 0, 2, 1)]);
        assert!(reply.edns.unwrap().options().as_ref().is_empty());
        assert_eq!(upstream.seen().len(), queries, "{client}");
    }
    for (seen, last) in upstream.seen().iter().zip([1, 2]) {
        let edns = seen.message().edns.unwrap();
        let data = |code: u16| {
            edns.option(EdnsCode::from(code)).map(|option| Vec::<u8>::try_from(option).unwrap())
        };
        assert_eq!(data(0xffee).unwrap(), b"abcd");
        assert_eq!(data(65001).unwrap(), site.running.address.port().to_be_bytes());
        assert_eq!(data(8).unwrap(), [0, 1, 32, 0, 127, 0, 0, last]);
        assert_eq!(data(10), None, "the client's own options are about its own hop");
    }
    site.running.stop().await;
}

#[tokio::test]
async fn what_plugins_do_is_counted_by_server_and_zone() {
    let upstream = FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.30 printer.lan\n").unwrap();
    let text = format!(
        "acme.local:PORT {{
            template IN A acme.local {{
                answer \"{{{{ .Name }}}} 60 IN A 192.0.2.7\"
            }}
            template IN TXT acme.local {{
                answer \"{{{{ .Name }}}} 60 IN A nothing\"
            }}
        }}
        .:PORT {{
            local
            dns64 {{
                allow_ipv4
            }}
            acl example.org {{
                block type TXT
                filter type MX
                drop type NAPTR
            }}
            hosts {} lan {{
                fallthrough
            }}
            kubernetes cluster.local
            forward . {}
        }}",
        hosts.display(),
        upstream.address
    );
    let site = Site::start(&text).await;
    let client = support::UdpClient::connect(site.running.address).await;
    client.send(&query(1, "a.example.org.", RecordType::NAPTR).to_vec().unwrap()).await;
    for (name, qtype) in [
        ("a.acme.local.", RecordType::A),
        ("a.acme.local.", RecordType::TXT),
        ("a.example.org.", RecordType::TXT),
        ("a.example.org.", RecordType::MX),
        ("a.example.org.", RecordType::AAAA),
        ("localhost.example.org.", RecordType::A),
    ] {
        site.running.udp(&query(9, name, qtype)).await;
    }
    let text = exposition(&site);
    let server = format!("server=\"dns://{}\"", site.running.address);
    let acme = format!("{server},zone=\"acme.local.\",view=\"\"");
    let org = format!("{server},zone=\"example.org.\",view=\"\"");
    let root = format!("{server},zone=\".\",view=\"\"");
    let failure = r#"class="IN",type="TXT",section="answer",template="<name> 60 IN A nothing""#;
    for line in [
        format!("coredns_dns_requests_total{{{acme},proto=\"udp\",family=\"1\",type=\"A\"}} 1"),
        format!("coredns_dns_requests_total{{{root},proto=\"udp\",family=\"1\",type=\"AAAA\"}} 1"),
        format!("coredns_dns_responses_total{{{acme},rcode=\"SERVFAIL\",plugin=\"other\"}} 1"),
        format!("coredns_dns_request_duration_seconds_count{{{root}}} 4"),
        format!("coredns_template_matches_total{{{acme},class=\"IN\",type=\"A\"}} 1"),
        format!("coredns_template_rr_failures_total{{{acme},{failure}}} 1"),
        format!("coredns_acl_blocked_requests_total{{{org}}} 1"),
        format!("coredns_acl_filtered_requests_total{{{org}}} 1"),
        format!("coredns_acl_dropped_requests_total{{{org}}} 1"),
        format!("coredns_acl_allowed_requests_total{{{server},view=\"\"}} 2"),
        format!("coredns_dns64_requests_translated_total{{{server}}} 1"),
        "coredns_local_localhost_requests_total 1".to_owned(),
        format!("coredns_hosts_entries{{hostsfile=\"{}\"}} 1", hosts.display()),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line}\nin\n{text}");
    }
    assert!(text.contains("\ncoredns_hosts_reload_timestamp_seconds 1"), "{text}");
    site.running.stop().await;
}
