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
fn cluster_ip_service_has_its_addresses() {
    check(
        &index(config(), cluster()),
        &[
            ("web.D A", "web.D 5 A 10.96.5.5"),
            ("web.D AAAA", "web.D 5 AAAA fd00:96::55"),
            ("one.D A", "one.D 5 A 10.96.7.7"),
            ("one.D AAAA", "NODATA"),
            ("nosuch.D A", "NXDOMAIN"),
            ("web.nons.svc.cluster.local. A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn service_without_ports_has_addresses_and_no_srv() {
    let index =
        index(config(), cluster_and(vec![cluster_ip(("default", "bare"), &["10.96.8.8"], &[])]));
    check(&index, &[("bare.D A", "bare.D 5 A 10.96.8.8"), ("bare.D SRV", "NODATA")]);
}

#[test]
fn ports_of_a_cluster_ip_service_lead_to_its_name() {
    let kube_dns = "kube-dns.kube-system.svc.cluster.local.";
    let glue = format!("{kube_dns} 5 A 10.96.0.10");
    let srv = |owner: &str, weight: u16, port: u16| {
        format!("{owner}{kube_dns} 5 SRV 0 {weight} {port} {kube_dns}")
    };
    check(
        &index(config(), cluster()),
        &[
            (
                "_https._tcp.kubernetes.D SRV",
                "_https._tcp.kubernetes.D 5 SRV 0 100 443 kubernetes.D + kubernetes.D 5 A 10.96.0.1",
            ),
            (
                "_http._tcp.web.D SRV",
                "_http._tcp.web.D 5 SRV 0 50 80 web.D + web.D 5 A 10.96.5.5; web.D 5 AAAA fd00:96::55",
            ),
            (
                &format!("_dns._udp.{kube_dns} SRV"),
                &format!("{} + {glue}", srv("_dns._udp.", 100, 53)),
            ),
            (
                &format!("_dns-tcp._tcp.{kube_dns} SRV"),
                &format!("{} + {glue}", srv("_dns-tcp._tcp.", 100, 53)),
            ),
            (
                &format!("{kube_dns} SRV"),
                &format!("{}; {} + {glue}", srv("", 33, 53), srv("", 33, 9153)),
            ),
            ("one.D SRV", "one.D 5 SRV 0 100 8080 one.D + one.D 5 A 10.96.7.7"),
        ],
    );
}

#[test]
fn headless_service_has_the_addresses_of_its_ready_endpoints() {
    check(
        &index(config(), cluster()),
        &[
            ("myapp-svc.D A", "myapp-svc.D 5 A 10.244.1.10; myapp-svc.D 5 A 10.244.2.11"),
            ("myapp-svc.D AAAA", "NODATA"),
            ("plain.D A", "plain.D 5 A 10.244.1.20; plain.D 5 A 10.244.2.21"),
            ("plain.D AAAA", "plain.D 5 AAAA fd00:244::7"),
            ("empty.D A", "NXDOMAIN"),
            ("empty.D SRV", "NXDOMAIN"),
            ("_web._tcp.empty.D SRV", "NXDOMAIN"),
        ],
    );
}

#[test]
fn address_in_two_slices_is_answered_once() {
    let ports = [("web", Tcp, 8080)];
    let again = slice(("default", "myapp-svc"), "b", &ports, vec![named("10.244.1.10", "myapp-0")]);
    check(
        &index(config(), cluster_and(vec![again])),
        &[
            ("myapp-svc.D A", "myapp-svc.D 5 A 10.244.1.10; myapp-svc.D 5 A 10.244.2.11"),
            ("myapp-0.myapp-svc.D A", "myapp-0.myapp-svc.D 5 A 10.244.1.10"),
            (
                "10.1.244.10.in-addr.arpa. PTR",
                "10.1.244.10.in-addr.arpa. 5 PTR myapp-0.myapp-svc.D",
            ),
            (
                "_web._tcp.myapp-svc.D SRV",
                "_web._tcp.myapp-svc.D 5 SRV 0 50 8080 myapp-0.myapp-svc.D; \
                 _web._tcp.myapp-svc.D 5 SRV 0 50 8080 myapp-1.myapp-svc.D + \
                 myapp-0.myapp-svc.D 5 A 10.244.1.10; myapp-1.myapp-svc.D 5 A 10.244.2.11",
            ),
        ],
    );
}

#[test]
fn endpoint_is_known_by_its_host_name_alone_where_it_has_one() {
    check(
        &index(config(), cluster()),
        &[
            ("myapp-1.myapp-svc.D A", "myapp-1.myapp-svc.D 5 A 10.244.2.11"),
            ("myapp-1.myapp-svc.D AAAA", "NODATA"),
            ("myapp-2.myapp-svc.D A", "NXDOMAIN"),
            ("10-244-2-11.myapp-svc.D A", "NXDOMAIN"),
            ("10-244-3-12.myapp-svc.D A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn endpoint_without_host_name_is_known_by_its_dashed_address() {
    check(
        &index(config(), cluster()),
        &[
            ("10-244-1-20.plain.D A", "10-244-1-20.plain.D 5 A 10.244.1.20"),
            ("10-244-1-20.plain.D AAAA", "NODATA"),
            ("fd00-244--7.plain.D AAAA", "fd00-244--7.plain.D 5 AAAA fd00:244::7"),
            (
                "FD00-0244-0-0-0-0-0-7.plain.D AAAA",
                "FD00-0244-0-0-0-0-0-7.plain.D 5 AAAA fd00:244::7",
            ),
            ("nope.plain.D A", "NXDOMAIN"),
            ("10-244-9-9.plain.D A", "NXDOMAIN"),
            (r"10\.244\.1\.20.plain.D A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn endpoint_without_host_name_answers_to_its_pod_name_as_well() {
    check(
        &index(config(), cluster()),
        &[
            ("plain-b.plain.D A", "plain-b.plain.D 5 A 10.244.2.21"),
            ("plain-b.plain.D AAAA", "plain-b.plain.D 5 AAAA fd00:244::7"),
            (
                "plain-a.plain.D SRV",
                "plain-a.plain.D 5 SRV 0 100 80 10-244-1-20.plain.D + \
                 10-244-1-20.plain.D 5 A 10.244.1.20",
            ),
        ],
    );
    let unused = index(config().with_pod_names(PodNames::Unused), cluster());
    check(
        &unused,
        &[
            ("plain-b.plain.D A", "NXDOMAIN"),
            ("10-244-2-21.plain.D A", "10-244-2-21.plain.D 5 A 10.244.2.21"),
            ("myapp-1.myapp-svc.D A", "myapp-1.myapp-svc.D 5 A 10.244.2.11"),
        ],
    );
}

#[test]
fn published_pod_names_are_what_srv_and_ptr_give() {
    check(
        &index(config().with_pod_names(PodNames::Published), cluster()),
        &[
            ("plain-a.plain.D A", "plain-a.plain.D 5 A 10.244.1.20"),
            ("10-244-1-20.plain.D A", "10-244-1-20.plain.D 5 A 10.244.1.20"),
            ("20.1.244.10.in-addr.arpa. PTR", "20.1.244.10.in-addr.arpa. 5 PTR plain-a.plain.D"),
            (
                "_http._tcp.plain.D SRV",
                "_http._tcp.plain.D 5 SRV 0 33 80 plain-a.plain.D; \
                 _http._tcp.plain.D 5 SRV 0 33 80 plain-b.plain.D + \
                 plain-a.plain.D 5 A 10.244.1.20; plain-b.plain.D 5 A 10.244.2.21; \
                 plain-b.plain.D 5 AAAA fd00:244::7",
            ),
        ],
    );
}

#[test]
fn pod_name_that_is_no_label_is_no_name() {
    for pod_names in [PodNames::Answered, PodNames::Published] {
        let endpoints = vec![of_pod("a.b", endpoint("10.244.1.40"))];
        let changes = vec![
            headless(("default", "odd"), &[]),
            slice(("default", "odd"), "a", &[("b", Tcp, 1)], endpoints),
        ];
        check(
            &index(config().with_pod_names(pod_names), cluster_and(changes)),
            &[
                (
                    "40.1.244.10.in-addr.arpa. PTR",
                    "40.1.244.10.in-addr.arpa. 5 PTR 10-244-1-40.odd.D",
                ),
                ("a.b.odd.D A", "NXDOMAIN"),
                (r"a\.b.odd.D A", "NXDOMAIN"),
            ],
        );
    }
}

#[test]
fn endpoints_that_share_a_host_name_share_its_addresses() {
    let ports = [("web", Tcp, 80)];
    let plain = ["1", "2", "3", "4"].map(|last| endpoint(&format!("172.0.0.{last}")));
    let shared = ["20", "21"].map(|last| named(&format!("172.0.0.{last}"), "dup-name"));
    let changes = vec![
        headless(("default", "dup"), &ports),
        slice(("default", "dup"), "a", &ports, plain.into_iter().chain(shared).collect()),
    ];
    let index = index(config(), cluster_and(changes));
    check(
        &index,
        &[("dup-name.dup.D A", "dup-name.dup.D 5 A 172.0.0.20; dup-name.dup.D 5 A 172.0.0.21")],
    );
    let Answer::Records { answers, additionals } =
        answer(&index, &name("_web._tcp.dup.D"), RecordType::SRV)
    else {
        panic!("no records");
    };
    assert_eq!((answers.len(), additionals.len()), (5, 6));
    assert!(answers.iter().all(|record| record.data.to_string().starts_with("0 16 80 ")));
}

#[test]
fn endpoints_of_a_cluster_ip_service_have_names_too() {
    let endpoints =
        slice(("default", "web"), "a", &[("http", Tcp, 8080)], vec![endpoint("10.244.1.30")]);
    check(
        &index(config(), cluster_and(vec![endpoints])),
        &[
            ("10-244-1-30.web.D A", "10-244-1-30.web.D 5 A 10.244.1.30"),
            ("web.D A", "web.D 5 A 10.96.5.5"),
            ("30.1.244.10.in-addr.arpa. PTR", "30.1.244.10.in-addr.arpa. 5 PTR 10-244-1-30.web.D"),
        ],
    );
}

#[test]
fn ports_of_a_headless_service_lead_to_its_endpoints() {
    check(
        &index(config(), cluster()),
        &[
            (
                "_web._tcp.myapp-svc.D SRV",
                "_web._tcp.myapp-svc.D 5 SRV 0 50 8080 myapp-0.myapp-svc.D; \
                 _web._tcp.myapp-svc.D 5 SRV 0 50 8080 myapp-1.myapp-svc.D + \
                 myapp-0.myapp-svc.D 5 A 10.244.1.10; myapp-1.myapp-svc.D 5 A 10.244.2.11",
            ),
            (
                "_http._tcp.plain.D SRV",
                "_http._tcp.plain.D 5 SRV 0 33 80 10-244-1-20.plain.D; \
                 _http._tcp.plain.D 5 SRV 0 33 80 10-244-2-21.plain.D; \
                 _http._tcp.plain.D 5 SRV 0 33 80 fd00-244--7.plain.D + \
                 10-244-1-20.plain.D 5 A 10.244.1.20; 10-244-2-21.plain.D 5 A 10.244.2.21; \
                 fd00-244--7.plain.D 5 AAAA fd00:244::7",
            ),
            (
                "myapp-1.myapp-svc.D SRV",
                "myapp-1.myapp-svc.D 5 SRV 0 100 8080 myapp-1.myapp-svc.D + \
                 myapp-1.myapp-svc.D 5 A 10.244.2.11",
            ),
        ],
    );
}

#[test]
fn each_slice_has_its_own_port_numbers() {
    let changes = vec![
        headless(("default", "mixed"), &[]),
        slice(("default", "mixed"), "a", &[("web", Tcp, 8080)], vec![named("10.244.1.1", "a")]),
        slice(
            ("default", "mixed"),
            "b",
            &[("web", Tcp, 9090), ("web", Udp, 9091)],
            vec![named("10.244.1.2", "b")],
        ),
        slice(("default", "mixed"), "c", &[], vec![named("10.244.1.3", "c")]),
    ];
    check(
        &index(config(), cluster_and(changes)),
        &[
            (
                "_web._tcp.mixed.D SRV",
                "_web._tcp.mixed.D 5 SRV 0 50 8080 a.mixed.D; \
                 _web._tcp.mixed.D 5 SRV 0 50 9090 b.mixed.D + \
                 a.mixed.D 5 A 10.244.1.1; b.mixed.D 5 A 10.244.1.2",
            ),
            (
                "_web._udp.mixed.D SRV",
                "_web._udp.mixed.D 5 SRV 0 100 9091 b.mixed.D + b.mixed.D 5 A 10.244.1.2",
            ),
            ("_web._udp.mixed.D A", "_web._udp.mixed.D 5 A 10.244.1.2"),
            ("c.mixed.D SRV", "NODATA"),
            ("c.mixed.D A", "c.mixed.D 5 A 10.244.1.3"),
        ],
    );
}

#[test]
fn headless_service_without_ports_has_addresses_and_no_srv() {
    let changes = vec![
        headless(("default", "bare"), &[]),
        slice(("default", "bare"), "a", &[], vec![endpoint("10.244.1.1")]),
    ];
    check(
        &index(config(), cluster_and(changes)),
        &[
            ("bare.D A", "bare.D 5 A 10.244.1.1"),
            ("bare.D SRV", "NODATA"),
            ("_tcp.bare.D A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn external_name_is_an_alias_for_every_type() {
    check(
        &index(config(), cluster()),
        &[
            ("ext.D A", "ext.D 5 CNAME www.example.com. ..."),
            ("ext.D AAAA", "ext.D 5 CNAME www.example.com. ..."),
            ("eXt.D TXT", "eXt.D 5 CNAME www.example.com. ..."),
            ("ext.D MX", "ext.D 5 CNAME www.example.com. ..."),
            ("ext.D SRV", "ext.D 5 CNAME www.example.com. ..."),
            ("ext.D CNAME", "ext.D 5 CNAME www.example.com."),
            ("ext.D ANY", "ext.D 5 CNAME www.example.com."),
            ("extin.D A", "extin.D 5 CNAME web.D ..."),
            ("x.ext.D A", "NXDOMAIN"),
            ("_p._tcp.ext.D SRV", "NXDOMAIN"),
        ],
    );
}

#[test]
fn target_of_an_alias_in_the_zone_is_another_question() {
    let index = index(config(), cluster());
    let Answer::Alias { target, .. } = answer(&index, &name("extin.D"), RecordType::A) else {
        panic!("no alias");
    };
    assert_eq!(shown(&answer(&index, &target, RecordType::A)), "web.D 5 A 10.96.5.5");
}

#[test]
fn external_name_may_end_in_a_dot_and_is_no_address() {
    let changes = vec![
        external_name(("default", "dotted"), "www.example.com."),
        external_name(("default", "v4"), "192.0.2.1"),
        external_name(("default", "v6"), "2001:db8::1"),
        external_name(("default", "odd"), "a..b"),
        external_name(("default", "none"), ""),
    ];
    check(
        &index(config(), cluster_and(changes)),
        &[
            ("dotted.D CNAME", "dotted.D 5 CNAME www.example.com."),
            ("v4.D A", "NXDOMAIN"),
            ("v6.D A", "NXDOMAIN"),
            ("odd.D A", "NXDOMAIN"),
            ("none.D A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn service_that_stops_being_an_alias_has_addresses() {
    let changes = vec![
        external_name(("default", "ext"), "bar.example.com"),
        cluster_ip(("default", "ext"), &["10.96.1.1"], &[]),
    ];
    check(&index(config(), cluster_and(changes)), &[("ext.D A", "ext.D 5 A 10.96.1.1")]);
}

#[test]
fn insecure_pod_names_are_any_address_in_an_existing_namespace() {
    let pod = |rest: &str| format!("{rest}.default.pod.cluster.local.");
    let (v4, v6) = (pod("10-244-1-10"), pod("fd00-244--7"));
    check(
        &index(config(), cluster()),
        &[
            (&format!("{v4} A"), &format!("{v4} 5 A 10.244.1.10")),
            (&format!("{v4} AAAA"), "NODATA"),
            (&format!("{v4} SRV"), "NODATA"),
            (&format!("{v6} AAAA"), &format!("{v6} 5 AAAA fd00:244::7")),
            (&format!("{} A", pod("192-0-2-1")), &format!("{} 5 A 192.0.2.1", pod("192-0-2-1"))),
            (&format!("{} A", pod("1-2-3")), "NXDOMAIN"),
            (&format!("{} A", pod("300-1-1-1")), "NXDOMAIN"),
            (&format!("foo.{v4} A"), "NXDOMAIN"),
            ("10-244-1-10.nons.pod.cluster.local. A", "NXDOMAIN"),
        ],
    );
}

#[test]
fn verified_pod_names_are_all_addresses_of_pods_in_their_namespace() {
    let pod = |rest: &str| format!("{rest}.default.pod.cluster.local.");
    let second = pod("fd00-244--7");
    check(
        &index(config().with_pods(PodMode::Verified), cluster()),
        &[
            (
                &format!("{} A", pod("10-244-1-10")),
                &format!("{} 5 A 10.244.1.10", pod("10-244-1-10")),
            ),
            (&format!("{second} AAAA"), &format!("{second} 5 AAAA fd00:244::7")),
            (&format!("{} A", pod("192-0-2-1")), "NXDOMAIN"),
            ("10-244-1-10.kube-system.pod.cluster.local. A", "NXDOMAIN"),
            ("kube-system.pod.cluster.local. A", "NODATA"),
        ],
    );
}

#[test]
fn disabled_pod_names_do_not_exist() {
    check(
        &index(config().with_pods(PodMode::Disabled), cluster()),
        &[
            ("10-244-1-10.default.pod.cluster.local. A", "NXDOMAIN"),
            ("default.pod.cluster.local. A", "NXDOMAIN"),
            ("pod.cluster.local. A", "NODATA"),
        ],
    );
}

#[test]
fn addresses_lead_to_services_and_endpoints() {
    let v6 = "5.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa.";
    let upper = v6.replace("d.f", "D.F");
    check(
        &index(config(), cluster()),
        &[
            ("5.5.96.10.in-addr.arpa. PTR", "5.5.96.10.in-addr.arpa. 5 PTR web.D"),
            (&format!("{v6} PTR"), &format!("{v6} 5 PTR web.D")),
            (&format!("{upper} PTR"), &format!("{upper} 5 PTR web.D")),
            (
                "11.2.244.10.in-addr.arpa. PTR",
                "11.2.244.10.in-addr.arpa. 5 PTR myapp-1.myapp-svc.D",
            ),
            (
                "20.1.244.10.in-addr.arpa. PTR",
                "20.1.244.10.in-addr.arpa. 5 PTR 10-244-1-20.plain.D",
            ),
            (
                "10.0.96.10.in-addr.arpa. PTR",
                "10.0.96.10.in-addr.arpa. 5 PTR kube-dns.kube-system.svc.cluster.local.",
            ),
            ("5.5.96.10.in-addr.arpa. A", "NODATA"),
            ("5.5.96.10.in-addr.arpa. TXT", "NODATA"),
        ],
    );
}

#[test]
fn address_of_a_service_leads_to_it_and_not_to_endpoints() {
    let behind = slice(("default", "one"), "a", &[("", Tcp, 80)], vec![endpoint("10.96.5.5")]);
    check(
        &index(config(), cluster_and(vec![behind])),
        &[("5.5.96.10.in-addr.arpa. PTR", "5.5.96.10.in-addr.arpa. 5 PTR web.D")],
    );
}

#[test]
fn address_behind_several_services_leads_to_each() {
    let ports = [("web", Tcp, 8080)];
    let changes = vec![
        headless(("default", "also"), &ports),
        slice(("default", "also"), "a", &ports, vec![of_pod("myapp-0", endpoint("10.244.1.10"))]),
    ];
    check(
        &index(config(), cluster_and(changes)),
        &[
            (
                "10.1.244.10.in-addr.arpa. PTR",
                "10.1.244.10.in-addr.arpa. 5 PTR 10-244-1-10.also.D; \
                 10.1.244.10.in-addr.arpa. 5 PTR myapp-0.myapp-svc.D",
            ),
            // A second Service over the pods of a StatefulSet: host names are the first one's.
            ("myapp-0.also.D A", "myapp-0.also.D 5 A 10.244.1.10"),
        ],
    );
}

#[test]
fn addresses_without_a_name_are_somebody_elses_by_default() {
    check(
        &index(config(), cluster()),
        &[
            ("9.9.9.10.in-addr.arpa. PTR", "NOT OURS"),
            ("12.3.244.10.in-addr.arpa. PTR", "NOT OURS"),
            ("0.96.10.in-addr.arpa. PTR", "NOT OURS"),
            ("05.5.96.10.in-addr.arpa. PTR", "NOT OURS"),
            ("x.ip6.arpa. PTR", "NOT OURS"),
            ("in-addr.arpa. PTR", "NODATA"),
            ("ip6.arpa. NS", "NODATA"),
        ],
    );
}

#[test]
fn addresses_without_a_name_do_not_exist_where_the_zone_is_ours_alone() {
    check(
        &index(strict_reverse(), cluster()),
        &[
            ("5.5.96.10.in-addr.arpa. PTR", "5.5.96.10.in-addr.arpa. 5 PTR web.D"),
            ("9.9.9.10.in-addr.arpa. PTR", "NXDOMAIN"),
            ("0.96.10.in-addr.arpa. PTR", "NODATA"),
            ("97.10.in-addr.arpa. PTR", "NXDOMAIN"),
            ("05.5.96.10.in-addr.arpa. PTR", "NXDOMAIN"),
            ("5.5.5.96.10.in-addr.arpa. PTR", "NXDOMAIN"),
            ("10.in-addr.arpa. A", "NODATA"),
            ("6.9.0.0.0.0.d.f.ip6.arpa. PTR", "NODATA"),
            ("7.9.0.0.0.0.d.f.ip6.arpa. PTR", "NXDOMAIN"),
            ("1.2.0.192.in-addr.arpa. PTR", "NOT OURS"),
        ],
    );
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

#[test]
fn services_without_endpoints_are_no_names_where_they_are_ignored() {
    use crate::config::{EmptyServices, EndpointUse, ServiceRules};
    let rules = |endpoints, empty| ServiceRules { endpoints, empty, ..ServiceRules::default() };
    let empty = config().with_service_rules(rules(EndpointUse::Named, EmptyServices::Ignored));
    let empty = index(empty, cluster());
    assert!(ask(&empty, "one.D A").starts_with("NXDOMAIN"), "{}", ask(&empty, "one.D A"));
    assert!(!ask(&empty, "plain.D A").starts_with("NXDOMAIN"));
    let none = config().with_service_rules(rules(EndpointUse::Ignored, EmptyServices::Named));
    let none = index(none, cluster());
    assert!(ask(&none, "plain.D A").starts_with("NXDOMAIN"));
    assert!(ask(&none, "10-244-1-20.plain.D A").starts_with("NXDOMAIN"));
    assert!(!ask(&none, "one.D A").starts_with("NXDOMAIN"));
}

#[test]
fn endpoints_are_asked_for_by_topology_zone_where_that_is_on() {
    let in_zone = |text: &str, zone: &str| Endpoint { zone: Some(zone.into()), ..endpoint(text) };
    let mut changes = cluster();
    changes.extend([
        headless(("default", "spread"), &[("http", Tcp, 80)]),
        slice(
            ("default", "spread"),
            "a",
            &[("http", Tcp, 80)],
            vec![
                in_zone("10.244.1.31", "eu.west-1"),
                in_zone("10.244.1.32", "eu.west-1"),
                in_zone("10.244.2.33", "EU-2"),
                endpoint("10.244.3.34"),
                unready(in_zone("10.244.1.39", "eu-3")),
            ],
        ),
    ]);
    let on = index(config().with_zonal_names(ZonalNames::On), changes.clone());
    let ask = |index: &ZoneIndex, text: &str| {
        let answer =
            answer(index, &name(&format!("{text}.default.svc.cluster.local.")), RecordType::A);
        match answer.clone() {
            Answer::Records { answers, .. } => {
                answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(" ")
            }
            other @ (Answer::NoData { .. } | Answer::NxDomain { .. }) => shown(&other),
            Answer::NotOurs | Answer::NotSynced { .. } | Answer::Alias { .. } | Answer::Refused => {
                panic!("{text}: {answer:?}")
            }
        }
    };
    let all = "10.244.1.31 10.244.1.32 10.244.2.33 10.244.3.34";
    for (question, expected) in [
        ("eu.west-1.pin._zone.spread", "10.244.1.31 10.244.1.32"),
        ("Eu.West-1.Prefer._zone.spread", "10.244.1.31 10.244.1.32"),
        ("eu-2.pin._zone.spread", "10.244.2.33"),
        ("eu-3.pin._zone.spread", "NODATA"),
        ("eu-3.prefer._zone.spread", all),
        ("west-1.pin._zone.spread", "NODATA"),
        ("pin._zone.spread", "NODATA"),
        ("_zone.spread", "NODATA"),
        ("eu-2.other._zone.spread", "NXDOMAIN"),
        ("eu-2.pin._zone.web", "NXDOMAIN"),
        ("eu-2.pin._zone.ext", "NXDOMAIN"),
        ("eu-2.pin._zone.nosuch", "NXDOMAIN"),
        ("spread", all),
    ] {
        assert_eq!(ask(&on, question), expected, "{question}");
    }
    let srv = name("eu-2.pin._zone.spread.default.svc.cluster.local.");
    let shown_srv = shown(&answer(&on, &srv, RecordType::SRV));
    assert!(shown_srv.contains("0 100 80 10-244-2-33.spread.D"), "{shown_srv}");
    let off = index(config(), changes);
    for question in ["eu-2.pin._zone.spread", "pin._zone.spread", "_zone.spread"] {
        assert_eq!(ask(&off, question), "NXDOMAIN", "{question}");
    }
}
