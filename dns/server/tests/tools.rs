//! Other people's programs as clients: `kdig` by TLS, `delv` with a trust anchor.
//!
//! They are in the Debian packages knot-dnsutils and bind9-dnsutils.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Output;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use podway_dns_server::TlsIdentity;
use tokio::process::Command;

use self::support::corefile::Site;
use self::support::papers::Papers;
use self::support::{edns_query, local, query, within};

/// Runs a program to its end.
async fn run(program: &str, package: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    match within(program, output).await {
        Ok(output) => output,
        Err(error) => panic!("{program} (Debian package {package}): {error}"),
    }
}

#[tokio::test]
async fn kdig_is_answered_by_tls() {
    let papers = Papers::new();
    let TlsIdentity { certificate, key } = papers.issue("server", "dns.example");
    let [authority, certificate, key] = [papers.path("authority.pem"), certificate, key]
        .map(|file| file.into_os_string().into_string().unwrap());
    let text = format!(
        "tls://.:PORT {{\n bind 127.0.0.1\n tls {certificate} {key}\n kubernetes cluster.local\n}}\n"
    );
    let site = Site::start(&text).await;
    let port = site.running.address.port().to_string();
    let trust = format!("+tls-ca={authority}");
    let common = ["@127.0.0.1", "-p", &port, &trust, "+tls-hostname=dns.example", "+short"];
    let name = local("web");
    let output = run("kdig", "knot-dnsutils", &[&common[..], &[&name, "AAAA"]].concat()).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fd00:96::55\n", "{output:?}");
    // With a name that the certificate does not have there is no answer.
    let other = ["@127.0.0.1", "-p", &port, &trust, "+tls-hostname=other.example", "+short"];
    let output = run("kdig", "knot-dnsutils", &[&other[..], &[&name, "A"]].concat()).await;
    assert!(output.stdout.is_empty() && !output.status.success(), "{output:?}");
    site.running.stop().await;
}

/// The key of the tests, without its ending.
const KEY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../sign/tests/data/Kcluster.local.+013+32590");

/// A server that signs, and what `delv` trusts.
struct Signed {
    site: Site,
    folder: tempfile::TempDir,
}

impl Signed {
    async fn start() -> Self {
        let text = format!(
            ".:PORT {{\n dnssec cluster.local {{\n  key file {KEY}\n }}\n \
             kubernetes cluster.local\n}}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let public = std::fs::read_to_string(format!("{KEY}.key")).unwrap();
        let key = public.lines().find(|line| !line.starts_with(';')).unwrap();
        let fields: Vec<&str> = key.split_whitespace().skip(3).collect();
        let anchor = format!(
            "trust-anchors {{ cluster.local. static-key {} {} {} \"{}\"; }};\n",
            fields[0],
            fields[1],
            fields[2],
            fields[3..].concat()
        );
        std::fs::write(folder.path().join("anchors"), anchor).unwrap();
        Self { site: Site::start(&text).await, folder }
    }

    /// What `delv` says of a question.
    async fn delv(&self, name: &str, rtype: &str) -> String {
        let port = self.site.running.address.port().to_string();
        let anchors = self.folder.path().join("anchors").into_os_string().into_string().unwrap();
        let arguments =
            ["@127.0.0.1", "-p", &port, "-a", &anchors, "+root=cluster.local", name, rtype];
        let output = run("delv", "bind9-dnsutils", &arguments).await;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn ask(&self, name: &str, rtype: RecordType) -> Message {
        let mut query = edns_query(5, name, rtype, 1232);
        query.edns.as_mut().unwrap().set_dnssec_ok(true);
        self.site.running.udp(&query).await
    }
}

#[tokio::test]
async fn delv_validates_what_is_there() {
    let signed = Signed::start().await;
    for (name, rtype, expected) in [
        (local("web"), "A", "10.96.5.5"),
        (local("web"), "AAAA", "fd00:96::55"),
        ("WEB.Default.SVC.Cluster.Local.".to_owned(), "A", "10.96.5.5"),
        (format!("_http._tcp.{}", local("web")), "SRV", "0 50 80 web.default.svc.cluster.local."),
        (local("few"), "A", "10.244.0.11"),
        (format!("_http._tcp.{}", local("few")), "SRV", "few-11.few.default.svc.cluster.local."),
        (local("big"), "A", "10.244.7.207"),
        (local("inside"), "A", "10.96.5.5"),
        ("cluster.local.".to_owned(), "SOA", "hostmaster.cluster.local."),
        ("cluster.local.".to_owned(), "DNSKEY", "257 3 13"),
        ("dns-version.cluster.local.".to_owned(), "TXT", "\"1.1.0\""),
    ] {
        let said = signed.delv(&name, rtype).await;
        assert!(
            said.contains("; fully validated") && said.contains(expected),
            "{name} {rtype}: {said}"
        );
        assert!(!said.contains("; unsigned"), "{name} {rtype}: {said}");
    }
    signed.site.running.stop().await;
}

#[tokio::test]
async fn delv_validates_what_is_missing() {
    let signed = Signed::start().await;
    for (name, rtype) in [
        (local("web"), "MX"),
        (local("few"), "AAAA"),
        ("svc.cluster.local.".to_owned(), "A"),
        ("cluster.local.".to_owned(), "A"),
        (local("nosuch"), "A"),
        ("a.b.c.d.cluster.local.".to_owned(), "TXT"),
    ] {
        let said = signed.delv(&name, rtype).await;
        let denied = said.contains("; negative response, fully validated");
        assert!(denied, "{name} {rtype}: {said}");
    }
    signed.site.running.stop().await;
}

#[tokio::test]
async fn metrics_tell_plugins_and_signatures() {
    let signed = Signed::start().await;
    for _ in 0..2 {
        signed.ask(&local("web"), RecordType::A).await;
    }
    let mut registry = prometheus_client::registry::Registry::default();
    signed.site.running.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let server = format!("server=\"dns://127.0.0.1:{}\"", signed.site.running.address.port());
    for line in [
        format!("coredns_plugin_enabled{{{server},zone=\".\",view=\"\",name=\"dnssec\"}} 1"),
        format!("coredns_plugin_enabled{{{server},zone=\".\",view=\"\",name=\"kubernetes\"}} 1"),
        format!("coredns_dnssec_cache_entries{{{server},type=\"signature\"}} 1"),
        format!("coredns_dnssec_cache_hits_total{{{server}}} 1"),
        format!("coredns_dnssec_cache_misses_total{{{server}}} 1"),
        "coredns_build_info{version=\"".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    signed.site.running.stop().await;
}

#[tokio::test]
async fn delv_does_not_believe_what_another_key_signed() {
    let signed = Signed::start().await;
    let anchors = signed.folder.path().join("anchors");
    let text = std::fs::read_to_string(&anchors).unwrap();
    std::fs::write(&anchors, text.replace("a1Fxm2a", "a1Fxm2b")).unwrap();
    let said = signed.delv(&local("web"), "A").await;
    assert!(!said.contains("fully validated"), "{said}");
    signed.site.running.stop().await;
}

#[tokio::test]
async fn who_does_not_ask_for_signatures_gets_none_and_the_usual_code() {
    let signed = Signed::start().await;
    for (name, rcode) in
        [(local("web"), ResponseCode::NoError), (local("nosuch"), ResponseCode::NXDomain)]
    {
        for message in [query(1, &name, RecordType::A), edns_query(1, &name, RecordType::A, 1232)] {
            let reply = signed.site.running.udp(&message).await;
            assert_eq!(reply.metadata.response_code, rcode);
            let sections = [&reply.answers, &reply.authorities, &reply.additionals];
            let is_proof = |data: &RData| matches!(data, RData::DNSSEC(_));
            assert!(
                !sections.into_iter().flatten().any(|record| is_proof(&record.data)),
                "{reply}"
            );
        }
    }
    signed.site.running.stop().await;
}

#[tokio::test]
async fn rfc9824_3_2_missing_name_is_told_by_its_nsec_record_and_types_are_those_it_has() {
    let signed = Signed::start().await;
    let nsec = |reply: &Message| {
        let record = reply.authorities.iter().find(|one| one.record_type() == RecordType::NSEC);
        record.unwrap().to_string()
    };
    let missing = signed.ask(&local("nosuch"), RecordType::A).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NoError);
    assert!(
        missing.metadata.authoritative && nsec(&missing).ends_with("RRSIG NSEC Unknown"),
        "{missing}"
    );
    let there = signed.ask(&local("web"), RecordType::MX).await;
    let text = nsec(&there);
    let (_, types) = text.split_once("NSEC ").unwrap();
    let types: Vec<&str> = types.split_whitespace().skip(1).collect();
    assert_eq!(types, ["A", "AAAA", "SRV", "RRSIG", "NSEC"], "{text}");
    let owner = there.authorities.iter().find(|one| one.record_type() == RecordType::NSEC).unwrap();
    assert_eq!(owner.name, Name::from_ascii(local("web")).unwrap());
    // A large answer is cut like any other, and says so.
    let large = signed.ask(&local("big"), RecordType::A).await;
    assert!(large.metadata.truncation && large.to_vec().unwrap().len() <= 1232);
    signed.site.running.stop().await;
}

#[tokio::test]
async fn keys_that_are_no_good_are_named_and_change_nothing() {
    let signed = Signed::start().await;
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("Kexample.+013+1").into_os_string().into_string().unwrap();
    for (key, zone, expected) in [
        (&*stem, "cluster.local", "Kexample.+013+1.key: "),
        (KEY, "example.org", "within none of the zones"),
    ] {
        let text = format!(
            ".:PORT {{\n dnssec {zone} {{\n  key file {key}\n }}\n kubernetes cluster.local\n}}\n"
        );
        let error = signed.site.replace(&text).await.unwrap_err();
        assert!(error.starts_with("Corefile:2:") && error.contains(expected), "{error}");
    }
    assert!(signed.delv(&local("web"), "A").await.contains("; fully validated"));
    signed.site.running.stop().await;
}
