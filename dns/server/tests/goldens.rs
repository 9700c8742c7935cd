//! Golden Corefiles at work: the very files whose meaning is printed beside them, over real sockets.
//!
//! Addresses and paths in them are those of the machine where a Corefile belongs, and give way to
//! upstreams and files of the test; nothing else is changed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use podway_cluster_model::port::Protocol;

use self::support::followed::{Followed, texts};
use self::support::objects::{
    PortSpec, cluster_ip, endpoint, headless, labeled, labeled_namespace, namespace, of_pod, pod,
    slice,
};
use self::support::{FakeUpstream, edns_query, query};

const ADDON: &str = include_str!("../../corefile/tests/data/addon.Corefile");
const HOSTS: &str = include_str!("../../corefile/tests/data/hosts.Corefile");
const REWRITE: &str = include_str!("../../corefile/tests/data/rewrite.Corefile");
const STUB_DOMAINS: &str = include_str!("../../corefile/tests/data/stub-domains.Corefile");

const ZONES: &str = include_str!("../../corefile/tests/data/zones.Corefile");

/// A key of another zone: its numbers are as good for this one.
const PUBLIC: &str = include_str!("../../sign/tests/data/Kcluster.local.+013+32590.key");
const PRIVATE: &str = include_str!("../../sign/tests/data/Kcluster.local.+013+32590.private");

const HTTP: PortSpec<'_> = ("http", Protocol::Tcp, 80);

/// An upstream that has 192.0.2.`last` for every name.
async fn upstream(last: u8) -> FakeUpstream {
    FakeUpstream::with_address(Ipv4Addr::new(192, 0, 2, last)).await
}

#[tokio::test]
async fn addon_answers_the_cluster_and_forwards_the_rest() {
    let rest = upstream(1).await;
    let text =
        ADDON.replace(":53 {", ":PORT {").replace("/etc/resolv.conf", &rest.address.to_string());
    let mut followed = Followed::start(&text).await;
    followed.apply([namespace("shop"), cluster_ip(("shop", "web"), &["10.96.1.1"], &[HTTP])]);
    let rows = [
        ("web.shop.svc.cluster.local.", RecordType::A, "10.96.1.1"),
        ("nosuch.shop.svc.cluster.local.", RecordType::A, "NXDOMAIN"),
        ("10-1-2-3.shop.pod.cluster.local.", RecordType::A, "10.1.2.3"),
        ("1.1.96.10.in-addr.arpa.", RecordType::PTR, "web.shop.svc.cluster.local."),
        ("www.example.com.", RecordType::A, "192.0.2.1"),
    ];
    followed.check("addon", &rows).await;
    let web = followed.ask("web.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(web.answers[0].ttl, 30);
    followed.site.running.stop().await;
}

#[tokio::test]
async fn hosts_come_before_selected_names_of_the_cluster() {
    use RecordType::{A, AAAA, PTR};
    let rest = upstream(1).await;
    let folder = tempfile::tempdir().unwrap();
    let (usual, lab) = (folder.path().join("hosts"), folder.path().join("lab-hosts"));
    std::fs::write(&usual, "192.0.2.30 printer.lan\n").unwrap();
    std::fs::write(&lab, "192.0.2.40 nas.lab.example\n192.0.2.41 elsewhere.example\n").unwrap();
    let text = HOSTS
        .replace(".:53 {", ".:PORT {")
        .replace("\nlab.example {", "\nlab.example:PORT {")
        .replace("    hosts {", &format!("    hosts {} {{", usual.display()))
        .replace("/etc/lab-hosts", &lab.display().to_string())
        .replace("192.0.2.53", &rest.address.to_string());
    let mut followed = Followed::start(&text).await.with_labels();
    let service =
        |name, address, labels| labeled(labels, cluster_ip(("shop", name), &[address], &[HTTP]));
    let set = headless(("shop", "set"), &[HTTP]);
    followed.apply([
        labeled_namespace("shop", &[("team", "dns")]),
        namespace("other"),
        service("web", "10.96.1.1", &[("environment", "qa")]),
        service("bare", "10.96.1.2", &[]),
        service("hidden", "10.96.1.3", &[("environment", "qa"), ("hidden", "")]),
        labeled(&[("environment", "qa")], set),
        slice(("shop", "set"), "a", &[HTTP], vec![endpoint("10.244.1.1")]),
        labeled(&[("environment", "qa")], cluster_ip(("other", "web"), &["10.96.1.4"], &[HTTP])),
    ]);
    let rows = [
        ("registry.example.", A, "192.0.2.10"),
        ("registry.example.", AAAA, "2001:db8::10"),
        ("registry.", A, "192.0.2.10"),
        ("registry.", AAAA, "NODATA"),
        ("shop.apps.example.", A, "192.0.2.20"),
        ("printer.lan.", A, "192.0.2.30"),
        // No name for their addresses, and what they do not know falls through.
        ("10.2.0.192.in-addr.arpa.", PTR, "192.0.2.1"),
        ("www.example.com.", A, "192.0.2.1"),
        ("web.shop.svc.cluster.local.", A, "10.96.1.1"),
        ("bare.shop.svc.cluster.local.", A, "NXDOMAIN"),
        ("hidden.shop.svc.cluster.local.", A, "NXDOMAIN"),
        ("set.shop.svc.cluster.local.", A, "NXDOMAIN"),
        ("web.other.svc.cluster.local.", A, "NXDOMAIN"),
        ("10-1-2-3.shop.pod.cluster.local.", A, "NXDOMAIN"),
        // The other block, whose hosts are all there is: they have no SOA record to deny a name with.
        ("nas.lab.example.", A, "192.0.2.40"),
        ("nosuch.lab.example.", A, "SERVFAIL"),
        ("elsewhere.example.", A, "192.0.2.1"),
    ];
    followed.check("hosts", &rows).await;
    let ttl = async |name| followed.ask(name, A).await.answers[0].ttl;
    assert_eq!(ttl("registry.example.").await, 300);
    assert_eq!(ttl("web.shop.svc.cluster.local.").await, 0);
    assert_eq!(ttl("nas.lab.example.").await, 3600);
    followed.site.running.stop().await;
}

/// What an upstream of rewritten questions replies.
fn rewritten(reply: &mut Message) {
    let name = reply.queries[0].name().clone();
    let text = name.to_lowercase().to_string();
    if text.ends_with(".flaky.example.") {
        reply.metadata.response_code = ResponseCode::ServFail;
    } else if text == "www.example.edu." {
        let target = Name::from_ascii("a.cdn.example.").unwrap();
        reply.add_answer(Record::from_rdata(name, 600, RData::CNAME(CNAME(target))));
    } else {
        let address = Ipv4Addr::new(192, 0, 2, 1);
        reply.add_answer(Record::from_rdata(name, 600, RData::A(address.into())));
    }
}

#[tokio::test]
async fn rewrites_change_what_is_asked_and_what_is_answered() {
    let rest = FakeUpstream::replying(rewritten).await;
    let text = REWRITE.replace(":53 {", ":PORT {").replace("192.0.2.53", &rest.address.to_string());
    let followed = Followed::start(&text).await;
    for (asked, onward) in [
        ("old.example.org.", "new.example.org."),
        ("api.example.com.", "api.default.svc.cluster.local."),
        ("dev-web.example.net.", "prod-web.example.net."),
        ("web.default.old.", "web.default.svc.cluster.local."),
        ("a.us-west-1.example.net.", "a.us-east-1.example.net."),
    ] {
        let reply = followed.ask(asked, RecordType::A).await;
        let seen = rest.seen().pop().unwrap().message();
        // Letters go out in any case, as a guard against forgers.
        assert_eq!(seen.queries[0].name().to_lowercase().to_string(), onward, "{asked}");
        assert_eq!(reply.queries[0].name().to_string(), asked, "the question is the client's");
        assert_eq!(texts(&reply.answers), ["192.0.2.1"], "{asked}");
    }
    let ttl = async |name| followed.ask(name, RecordType::A).await.answers[0].ttl;
    assert_eq!(ttl("www.example.org.").await, 15);
    assert_eq!(ttl("example.com.").await, 300);
    assert_eq!(ttl("www.example.net.").await, 600);
    assert_eq!(followed.said("a.flaky.example.", RecordType::A).await, "NODATA");
    let alias = followed.ask("www.example.edu.", RecordType::A).await;
    assert_eq!(texts(&alias.answers), ["192.0.2.1", "a.other.example."], "{alias}");

    // Where there is a subnet its rule is the last; else the one behind it takes the option away.
    let mut options = edns_query(4, "www.example.net.", RecordType::A, 1232);
    for (subnet, own) in [(None, None), (Some(vec![0, 1, 16, 0, 192, 0]), Some(b"abcd".to_vec()))] {
        if let Some(subnet) = subnet.clone() {
            let edns = options.edns.as_mut().unwrap();
            edns.options_mut().insert(EdnsOption::Unknown(8, subnet));
        }
        let reply = followed.site.running.udp(&options).await;
        let seen = rest.seen().pop().unwrap().message().edns.unwrap();
        let option =
            |code| seen.option(EdnsCode::from(code)).map(|one| Vec::try_from(one).unwrap());
        assert_eq!(option(0xffee), own, "{seen}");
        assert_eq!(option(65001), Some(vec![127, 0, 0, 1]), "{seen}");
        assert_eq!(option(3), Some(Vec::new()), "{seen}");
        assert_eq!(option(8), subnet.map(|_| vec![0, 1, 24, 0, 127, 0, 0]), "{seen}");
        let reverted = reply.edns.as_ref().unwrap().option(EdnsCode::from(0xffee));
        assert_eq!(reverted, None, "the reply is without it");
    }

    let before = rest.seen().len();
    let made = followed.said("ip-10-1-2-3.pods.example.", RecordType::A).await;
    assert_eq!(made, "10.1.2.3");
    let denied =
        followed.site.running.udp(&edns_query(5, "a.example.", RecordType::AAAA, 1232)).await;
    assert_eq!((denied.metadata.response_code, denied.answers.len()), (ResponseCode::NoError, 0));
    assert!(denied.edns.as_ref().unwrap().option(EdnsCode::Unknown(15)).is_some(), "{denied}");
    assert_eq!(rest.seen().len(), before, "templates ask nobody");
    // The class is asked as IN before `chaos` could see it.
    let mut chaos = query(6, "version.bind.", RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let reply = followed.site.running.udp(&chaos).await;
    assert_eq!(reply.queries[0].query_class(), DNSClass::CH);
    assert_eq!(rest.seen().pop().unwrap().message().queries[0].query_class(), DNSClass::IN);
    followed.site.running.stop().await;
}

#[tokio::test]
async fn stub_domains_have_servers_of_their_own() {
    use RecordType::{A, PTR};
    let (stub, network, rest) = (upstream(7).await, upstream(8).await, upstream(1).await);
    let nobody = support::closed_port().await.to_string();
    let text = STUB_DOMAINS
        .replace("acme.local:53 {", "acme.local:PORT {")
        .replace(
            "10.150.0.0/15:53, 2001:db8:5::/48 {",
            "10.150.0.0/15:PORT, 2001:db8:5::/48:PORT {",
        )
        .replace("secure.example {", "secure.example:PORT {")
        .replace("\n. {", "\n.:PORT {")
        .replace("1.2.3.4", &stub.address.to_string())
        .replace("10.150.0.1:5353 [2001:db8::53]:53", &network.address.to_string())
        .replace("tls://9.9.9.9 tls://149.112.112.112", &format!("tls://{nobody}"))
        .replace("{$UPSTREAM_ONE} {%UPSTREAM_TWO%}", &rest.address.to_string());
    let mut followed = Followed::start(&text).await;
    followed.apply([
        namespace("default"),
        namespace("shop"),
        cluster_ip(("default", "web"), &["10.96.1.1"], &[HTTP]),
        slice(("default", "web"), "a", &[HTTP], vec![of_pod("web-x", endpoint("10.244.1.1"))]),
        cluster_ip(("default", "empty"), &["10.96.1.2"], &[HTTP]),
        cluster_ip(("shop", "web"), &["10.96.1.3"], &[HTTP]),
        pod(("default", "client"), &["127.0.0.1"]),
    ]);
    let rows = [
        ("db.acme.local.", A, "192.0.2.7"),
        ("1.0.150.10.in-addr.arpa.", PTR, "192.0.2.8"),
        ("1.0.151.10.in-addr.arpa.", PTR, "192.0.2.8"),
        ("www.example.com.", A, "192.0.2.1"),
        ("www.secure.example.", A, "SERVFAIL"),
        ("web.default.svc.cluster.local.", A, "10.96.1.1"),
        ("web-x.web.default.svc.cluster.local.", A, "10.244.1.1"),
        ("empty.default.svc.cluster.local.", RecordType::SRV, "NXDOMAIN"),
        ("web.shop.svc.cluster.local.", A, "NXDOMAIN"),
        ("127-0-0-1.default.pod.cluster.local.", A, "127.0.0.1"),
        ("127-0-0-2.default.pod.cluster.local.", A, "NXDOMAIN"),
        ("1.1.96.10.in-addr.arpa.", PTR, "web.default.svc.cluster.local."),
        ("1.1.244.10.in-addr.arpa.", PTR, "web-x.web.default.svc.cluster.local."),
        // An address without a name is somebody else's in 10/8, and nobody's in fd00::/8.
        ("9.9.9.10.in-addr.arpa.", PTR, "192.0.2.1"),
        (
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
            PTR,
            "NXDOMAIN",
        ),
        // The first name of the client's search path leads to the end of it.
        ("www.example.net.default.svc.cluster.local.", A, "192.0.2.1 | www.example.net."),
    ];
    followed.check("stub domains", &rows).await;
    followed.site.running.stop().await;
}

#[tokio::test]
async fn zone_file_is_signed_and_filtered_and_what_is_left_says_who_asked() {
    use RecordType::{A, AAAA, ANY, AXFR, RRSIG};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(
        path("db"),
        "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n  NS ns\nns A 192.0.2.53\n\
         web A 192.0.2.80\n    AAAA 2001:db8::80\n",
    )
    .unwrap();
    std::fs::write(path("K.key"), PUBLIC.replace("cluster.local.", "example.org.")).unwrap();
    std::fs::write(path("K.private"), PRIVATE).unwrap();
    // The other block of the file answers by TLS, which has tests of its own.
    let (text, _) = ZONES.split_once("\ntls://. {").unwrap();
    let text = text
        .replace("example.org example.net:5300 {", "example.org:PORT example.net:PORT {")
        .replace("db.example.org", &path("db"))
        .replace("Kexample.org.+013+45330 Kexample.org.+013+00001.private", &path("K"));
    let followed = Followed::start(&text).await;
    let rows = [("web.example.org.", A, "192.0.2.80"), ("web.example.org.", AAAA, "NODATA")];
    followed.check("zones", &rows).await;
    let reply = async |name, record_type| {
        let mut query = edns_query(1, name, record_type, 1232);
        query.edns.as_mut().unwrap().set_dnssec_ok(true);
        followed.site.running.udp(&query).await
    };
    let types =
        |records: &[Record]| -> Vec<_> { records.iter().map(Record::record_type).collect() };
    let signed = reply("web.example.org.", A).await;
    assert_eq!(types(&signed.answers), [A, RRSIG], "{signed}");
    assert!(signed.metadata.recursion_available, "header sets it");
    assert_eq!(types(&reply("web.example.org.", ANY).await.answers)[..1], [RecordType::HINFO]);
    let refused = reply("example.org.", AXFR).await.metadata.response_code;
    assert_eq!(refused, ResponseCode::Refused);
    // What the file does not have falls through, as does the other zone: an SRV record with the port
    // and an address.
    for name in ["nosuch.example.org.", "www.example.net."] {
        let left = followed.ask(name, A).await;
        assert_eq!(left.metadata.response_code, ResponseCode::NoError, "{name}");
        let mut said = texts(&left.additionals);
        said.retain(|text| text == "127.0.0.1");
        assert_eq!(said.len(), 1, "{left}");
    }
    followed.site.running.stop().await;
}
