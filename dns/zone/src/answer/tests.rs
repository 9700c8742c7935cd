//! Every worked example of the rules, by section.

use podway_cluster_model::builder::Change;
use podway_cluster_model::endpoint::Endpoint;
use podway_cluster_model::port::Protocol::{Tcp, Udp};

use super::*;
use crate::config::{Exposure, PodMode, PodNames, Ttl, ZonalNames, ZoneConfig};
use crate::direct::rendered::rendered;
use crate::fixture::{
    NOW, cluster, cluster_ip, config, endpoint, external_name, headless, index, named, namespace,
    of_pod, service_name, shown, slice, unready,
};
use crate::zones::{MissingPointer, ReverseZone};

mod addresses;
mod endpoints;
mod services;

/// A name as rows write it, `D` for `default.svc.cluster.local.`.
fn name(text: &str) -> Name {
    let full = match text.strip_suffix('D') {
        Some(labels) => format!("{labels}default.svc.cluster.local."),
        None => text.to_owned(),
    };
    Name::from_ascii(full).unwrap()
}

fn ask(index: &ZoneIndex, row: &str) -> String {
    let (owner, record_type) = row.split_once(' ').unwrap();
    let (owner, record_type) = (name(owner), record_type.parse().unwrap());
    let answer = answer(index, &owner, record_type);
    if let Some(direct) = rendered(index, &owner, record_type) {
        assert_eq!((shown(&direct), &direct), (shown(&answer), &answer), "{row}, directly");
    }
    shown(&answer)
}

/// Checks rows of `name type` and what is expected.
fn check(index: &ZoneIndex, rows: &[(&str, &str)]) {
    for (row, expected) in rows {
        assert_eq!(ask(index, row), *expected, "{row}");
    }
}

fn cluster_and(more: Vec<Change>) -> Vec<Change> {
    cluster().into_iter().chain(more).collect()
}

fn strict_reverse() -> ZoneConfig {
    config()
        .with_reverse_zones([
            ReverseZone::new("10.in-addr.arpa", MissingPointer::NxDomain).unwrap(),
            ReverseZone::new("0.0.d.f.ip6.arpa", MissingPointer::NxDomain).unwrap(),
        ])
        .unwrap()
}

#[test]
fn soa_is_at_the_apex_in_the_spelling_of_the_client() {
    let soa = "ns.dns.cluster.local. hostmaster.cluster.local. 1700000000 7200 1800 86400 5";
    check(
        &index(config(), cluster()),
        &[
            ("cluster.local. SOA", &format!("cluster.local. 5 SOA {soa}")),
            (
                "Cluster.LOCAL. SOA",
                "Cluster.LOCAL. 5 SOA ns.dns.Cluster.LOCAL. hostmaster.Cluster.LOCAL. \
                 1700000000 7200 1800 86400 5",
            ),
            ("web.D SOA", "NODATA"),
            ("nosuch.D SOA", "NXDOMAIN"),
            (
                "in-addr.arpa. SOA",
                "in-addr.arpa. 5 SOA ns.dns.in-addr.arpa. hostmaster.in-addr.arpa. \
                 1700000000 7200 1800 86400 5",
            ),
        ],
    );
}

#[test]
fn negative_answers_carry_the_soa_for_at_most_300_seconds() {
    let config = config().with_ttl(Ttl::from_seconds(3600).unwrap());
    let index = index(config, cluster());
    for (row, record_type) in [("web.D", RecordType::MX), ("nosuch.D", RecordType::A)] {
        let (Answer::NoData { soa } | Answer::NxDomain { soa }) =
            answer(&index, &name(row), record_type)
        else {
            panic!("{row} has an answer");
        };
        assert_eq!(
            soa.to_string(),
            "cluster.local. 300 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. \
             1700000000 7200 1800 86400 3600"
        );
    }
}

#[test]
fn letter_case_of_the_question_is_kept() {
    check(
        &index(config(), cluster()),
        &[
            ("wEb.DeFault.SVC.cluster.LOCAL. A", "wEb.DeFault.SVC.cluster.LOCAL. 5 A 10.96.5.5"),
            (
                "_HTTPS._tcp.kuBERnetes.default.SvC.cLuStEr.LoCaL. SRV",
                "_HTTPS._tcp.kuBERnetes.default.SvC.cLuStEr.LoCaL. 5 SRV \
                 0 100 443 kubernetes.default.svc.cLuStEr.LoCaL. + \
                 kubernetes.default.svc.cLuStEr.LoCaL. 5 A 10.96.0.1",
            ),
            (
                "CLUSTER.local. NS",
                "CLUSTER.local. 5 NS kube-dns.kube-system.svc.CLUSTER.local. + kube-dns.kube-system.svc.CLUSTER.local. 5 A 10.96.0.10",
            ),
        ],
    );
}

#[test]
fn grammar_decides_which_names_exist() {
    check(
        &index(config(), cluster()),
        &[
            ("svc.cluster.local. A", "NODATA"),
            ("pod.cluster.local. A", "NODATA"),
            ("D A", "NODATA"),
            ("nons.svc.cluster.local. A", "NXDOMAIN"),
            ("default.pod.cluster.local. A", "NODATA"),
            ("nons.pod.cluster.local. A", "NXDOMAIN"),
            ("default.cluster.local. A", "NXDOMAIN"),
            ("*.D A", "NXDOMAIN"),
            ("any.D A", "NXDOMAIN"),
            ("a.b.c.web.D A", "NXDOMAIN"),
            ("web.D.cluster.local. A", "NXDOMAIN"),
            (r"web\.default.svc.cluster.local. A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn ports_are_found_with_and_without_underscores_by_every_type() {
    check(
        &index(config(), cluster()),
        &[
            ("_http._tcp.web.D A", "_http._tcp.web.D 5 A 10.96.5.5"),
            ("http.tcp.web.D AAAA", "http.tcp.web.D 5 AAAA fd00:96::55"),
            ("_HTTP._TCP.web.D MX", "NODATA"),
            (
                "_web._tcp.myapp-svc.D A",
                "_web._tcp.myapp-svc.D 5 A 10.244.1.10; _web._tcp.myapp-svc.D 5 A 10.244.2.11",
            ),
            ("_http._udp.web.D A", "NXDOMAIN"),
            ("_https._tcp.web.D A", "NXDOMAIN"),
            ("_http._sctp.web.D SRV", "NXDOMAIN"),
            ("_._tcp.web.D SRV", "NXDOMAIN"),
            ("_http._.web.D SRV", "NXDOMAIN"),
            ("_._tcp.one.D SRV", "NXDOMAIN"),
        ],
    );
}

#[test]
fn names_between_existing_ones_exist() {
    check(
        &index(config(), cluster()),
        &[
            ("_tcp.web.D A", "NODATA"),
            ("_tcp.web.D SRV", "NODATA"),
            ("_udp.web.D A", "NXDOMAIN"),
            ("_tcp.one.D A", "NXDOMAIN"),
            ("_tcp.plain.D A", "NODATA"),
            ("_tcp.ext.D A", "NXDOMAIN"),
            // The exception: search lists try host names here.
            ("dns.cluster.local. A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn existing_names_have_no_data_of_other_types() {
    check(
        &index(config(), cluster()),
        &[
            ("cluster.local. TXT", "NODATA"),
            ("svc.cluster.local. TXT", "NODATA"),
            ("D TXT", "NODATA"),
            ("ns.dns.cluster.local. TXT", "NODATA"),
            ("dns-version.cluster.local. A", "NODATA"),
            ("dns-version.cluster.local. AAAA", "NODATA"),
            ("web.D MX", "NODATA"),
            ("web.D TXT", "NODATA"),
            ("web.D HTTPS", "NODATA"),
            ("web.D SVCB", "NODATA"),
            ("web.D ANY", "NODATA"),
            ("web.D CAA", "NODATA"),
            ("web.D CNAME", "NODATA"),
            ("web.D PTR", "NODATA"),
            ("nosuch.D PTR", "NXDOMAIN"),
            ("nosuch.D HTTPS", "NXDOMAIN"),
            ("nosuch.D ANY", "NXDOMAIN"),
        ],
    );
    let unknown = answer(&index(config(), cluster()), &name("web.D"), RecordType::Unknown(65_280));
    assert_eq!(shown(&unknown), "NODATA");
}

#[test]
fn zone_has_a_name_server_and_a_version() {
    let ns = "cluster.local. 5 NS kube-dns.kube-system.svc.cluster.local.";
    check(
        &index(config(), cluster()),
        &[
            (
                "cluster.local. NS",
                &format!("{ns} + kube-dns.kube-system.svc.cluster.local. 5 A 10.96.0.10"),
            ),
            ("ns.dns.cluster.local. A", "ns.dns.cluster.local. 5 A 10.96.0.10"),
            ("ns.dns.cluster.local. AAAA", "NODATA"),
            ("dns-version.cluster.local. TXT", "dns-version.cluster.local. 28800 TXT 1.1.0"),
            ("cluster.local. A", "NODATA"),
            ("cluster.local. SRV", "NODATA"),
            ("cluster.local. MX", "NODATA"),
            ("cluster.local. DS", "NODATA"),
            ("web.D NS", "NODATA"),
        ],
    );
}

#[test]
fn name_server_follows_the_configured_service() {
    let with = |service: &str| {
        index(config().with_nameserver(service_name("default", service)), cluster())
    };
    check(
        &with("myapp-svc"),
        &[
            (
                "cluster.local. NS",
                "cluster.local. 5 NS myapp-0.myapp-svc.D; cluster.local. 5 NS myapp-1.myapp-svc.D + \
                 myapp-0.myapp-svc.D 5 A 10.244.1.10; myapp-1.myapp-svc.D 5 A 10.244.2.11",
            ),
            (
                "ns.dns.cluster.local. A",
                "ns.dns.cluster.local. 5 A 10.244.1.10; ns.dns.cluster.local. 5 A 10.244.2.11",
            ),
        ],
    );
    for without in ["nosuch", "ext", "empty"] {
        check(
            &with(without),
            &[
                ("cluster.local. NS", "cluster.local. 5 NS ns.dns.cluster.local."),
                ("ns.dns.cluster.local. A", "NODATA"),
            ],
        );
    }
}

#[test]
fn transfers_are_refused() {
    let index = index(config(), cluster());
    for record_type in [RecordType::AXFR, RecordType::IXFR] {
        let ask = |owner: &str| shown(&answer(&index, &name(owner), record_type));
        assert_eq!(ask("cluster.local."), "REFUSED");
        assert_eq!(ask("example.com."), "NOT OURS");
    }
}

#[test]
fn names_outside_are_not_ours() {
    check(
        &index(config(), cluster()),
        &[
            (". NS", "NOT OURS"),
            ("local. A", "NOT OURS"),
            ("kubernetes. A", "NOT OURS"),
            ("xcluster.local. A", "NOT OURS"),
            ("example.com. A", "NOT OURS"),
            ("arpa. PTR", "NOT OURS"),
        ],
    );
}

#[test]
fn unsynced_index_knows_only_what_is_not_ours() {
    check(
        &ZoneIndex::new(config()),
        &[
            ("web.D A", "NOT SYNCED"),
            ("cluster.local. SOA", "NOT SYNCED"),
            ("9.9.9.10.in-addr.arpa. PTR", "NOT SYNCED"),
            ("example.com. A", "NOT OURS"),
        ],
    );
}

#[test]
fn names_exist_in_every_forward_zone_and_pointers_name_the_first() {
    let config = config().with_further_domain("example.org").unwrap();
    check(
        &index(config, cluster()),
        &[
            ("web.default.svc.Example.org. A", "web.default.svc.Example.org. 5 A 10.96.5.5"),
            (
                "_http._tcp.web.default.svc.Example.org. SRV",
                "_http._tcp.web.default.svc.Example.org. 5 SRV 0 50 80 web.default.svc.Example.org. + \
                 web.default.svc.Example.org. 5 A 10.96.5.5; web.default.svc.Example.org. 5 AAAA fd00:96::55",
            ),
            ("5.5.96.10.in-addr.arpa. PTR", "5.5.96.10.in-addr.arpa. 5 PTR web.D"),
        ],
    );
}

#[test]
fn innermost_zone_answers() {
    let config = config().with_further_domain("web.default.svc.cluster.local").unwrap();
    check(
        &index(config, cluster()),
        &[
            ("web.D A", "NODATA"),
            ("nosuch.web.D A", "NXDOMAIN"),
            ("one.D A", "one.D 5 A 10.96.7.7"),
        ],
    );
}

#[test]
fn only_exposed_namespaces_have_names() {
    let only = Exposure::Only([service_name("default", "x").namespace].into());
    check(
        &index(config().with_namespaces(only), cluster()),
        &[
            ("web.D A", "web.D 5 A 10.96.5.5"),
            ("kube-dns.kube-system.svc.cluster.local. A", "NXDOMAIN"),
            ("kube-system.svc.cluster.local. A", "NXDOMAIN"),
            ("10-0-0-1.kube-system.pod.cluster.local. A", "NXDOMAIN"),
            ("10.0.96.10.in-addr.arpa. PTR", "NOT OURS"),
        ],
    );
}

#[test]
fn nothing_of_a_namespace_exists_before_and_after_it() {
    let early = cluster_ip(("later", "web"), &["10.96.9.9"], &[]);
    let names = [
        "web.later.svc.cluster.local. A",
        "later.svc.cluster.local. A",
        "10-0-0-1.later.pod.cluster.local. A",
    ];
    let index = index(config(), cluster_and(vec![early.clone()]));
    for row in names {
        assert_eq!(ask(&index, row), "NXDOMAIN", "{row}");
    }
    assert_eq!(ask(&index, "9.9.96.10.in-addr.arpa. PTR"), "NOT OURS");
    let (snapshot, delta) = crate::fixture::snapshot(cluster_and(vec![early, namespace("later")]));
    let index = index.update(&snapshot, &delta, NOW);
    assert_eq!(ask(&index, names[0]), "web.later.svc.cluster.local. 5 A 10.96.9.9");
    assert_eq!(ask(&index, "later.svc.cluster.local. A"), "NODATA");
}

#[test]
fn names_too_long_for_the_zone_lead_nowhere() {
    // The zone leaves room for its Services and not for their endpoints.
    let domain = format!("{}.{}.{}.local", "a".repeat(63), "b".repeat(63), "c".repeat(50));
    let long = "s".repeat(45);
    let ports = [("web", Tcp, 80)];
    let changes = cluster_and(vec![
        headless(("default", &long), &ports),
        slice(("default", &long), "a", &ports, vec![named("10.244.8.8", &"h".repeat(40))]),
    ]);
    let index = index(ZoneConfig::new(&domain).unwrap(), changes);
    let service = format!("{long}.default.svc.{domain}.");
    assert_eq!(ask(&index, &format!("{service} A")), format!("{service} 5 A 10.244.8.8"));
    assert_eq!(ask(&index, &format!("{service} SRV")), "NODATA");
    assert_eq!(ask(&index, "8.8.244.10.in-addr.arpa. PTR"), "NODATA");
}

#[test]
fn names_that_do_not_exist_fall_through_where_the_zone_is_shared() {
    let corner = Name::from_ascii("corp.cluster.local.").unwrap();
    let index = index(config().with_fallthrough([&corner]), cluster());
    check(
        &index,
        &[
            ("db.corp.cluster.local. A", "NOT OURS"),
            ("DB.Corp.cluster.local. A", "NOT OURS"),
            ("nosuch.D A", &ask(&index, "nosuch2.D A")),
        ],
    );
    assert!(ask(&index, "nosuch.D A").starts_with("NXDOMAIN"));
    let everywhere = super::tests::index(config().with_fallthrough([&Name::root()]), cluster());
    check(&everywhere, &[("nosuch.D A", "NOT OURS"), ("web.D A", &ask(&index, "web.D A"))]);
    // A name that exists stays ours, whatever it lacks.
    assert_eq!(ask(&everywhere, "web.D MX"), ask(&index, "web.D MX"));
}
