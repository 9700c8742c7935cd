//! Which records names have, by the sections of Kubernetes DNS-Based Service Discovery 1.1.0 and what
//! CoreDNS does beyond it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use podway_dns_zone::{PodMode, Ttl, ZoneIndex};

use super::cluster::{config, index, strict};
use super::support::{self, FakeUpstream, query, start};
use super::talk::{Stage, name};

const NODATA: &str = "NOERROR / - / SOA / -";
const NXDOMAIN: &str = "NXDOMAIN / - / SOA / -";

/// Checks rows against the usual server.
async fn check(rows: &[(&str, &str)]) {
    let stage = Stage::new(config()).await;
    stage.check(rows).await;
    stage.server.stop().await;
}

#[tokio::test]
async fn rfc1035_3_3_13_soa_is_at_the_apex_alone() {
    check(&[
        ("cluster.local. SOA", "NOERROR / SOA / - / -"),
        ("cLuSteR.LoCaL. SOA", "NOERROR / SOA / - / -"),
        ("web.D SOA", NODATA),
        ("nosuch.D SOA", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn rfc4343_letter_case_does_not_matter_and_is_given_back() {
    check(&[
        ("WeB.DeFaUlT.sVc.CluSter.LoCaL. A", "NOERROR / WeB.DeFaUlT.sVc.CluSter.LoCaL. 5 A 10.96.5.5 / - / -"),
        (
            "_HTTP._Tcp.WEB.default.svc.cLuStEr.LoCaL. SRV",
            "NOERROR / _HTTP._Tcp.WEB.default.svc.cLuStEr.LoCaL. 5 SRV 0 50 80 web.default.svc.cLuStEr.LoCaL. / - \
             / web.default.svc.cLuStEr.LoCaL. 5 A 10.96.5.5; web.default.svc.cLuStEr.LoCaL. 5 AAAA fd00:96::55",
        ),
    ])
    .await;
}

#[tokio::test]
async fn grammar_decides_which_names_exist() {
    check(&[
        ("svc.cluster.local. A", NODATA),
        ("pod.cluster.local. A", NODATA),
        ("other.cluster.local. A", NXDOMAIN),
        ("default.svc.cluster.local. A", NODATA),
        ("nons.svc.cluster.local. A", NXDOMAIN),
        ("default.pod.cluster.local. A", NODATA),
        ("nons.pod.cluster.local. A", NXDOMAIN),
        ("a.b.c.web.D A", NXDOMAIN),
        ("*.D A", NXDOMAIN),
        ("any.D A", NXDOMAIN),
        ("*.web.D A", NXDOMAIN),
        ("web\\.default.svc.cluster.local. A", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn rfc8020_names_above_others_exist_but_for_dns_of_the_zone() {
    check(&[
        ("_tcp.web.D A", NODATA),
        ("_tcp.web.D TXT", NODATA),
        ("_udp.web.D A", NXDOMAIN),
        ("dns.cluster.local. A", NXDOMAIN),
        ("dns.cluster.local. AAAA", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn rfc2308_2_existing_names_have_no_data_of_other_types() {
    let mut rows = vec![("nosuch.D HTTPS", NXDOMAIN), ("nosuch.D ANY", NXDOMAIN)];
    for row in [
        "web.D MX",
        "web.D TXT",
        "web.D HTTPS",
        "web.D SVCB",
        "web.D ANY",
        "web.D TYPE65280",
        "web.D CAA",
        "web.D NS",
        "web.D PTR",
        "web.D CNAME",
        "cluster.local. TXT",
        "svc.cluster.local. TXT",
        "default.svc.cluster.local. TXT",
        "ns.dns.cluster.local. TXT",
        "dns-version.cluster.local. A",
        "dns-version.cluster.local. AAAA",
    ] {
        rows.push((row, NODATA));
    }
    check(&rows).await;
}

#[tokio::test]
async fn service_discovery_2_3_1_cluster_ip_has_its_addresses() {
    check(&[
        ("web.D A", "NOERROR / web.D 5 A 10.96.5.5 / - / -"),
        ("web.D AAAA", "NOERROR / web.D 5 AAAA fd00:96::55 / - / -"),
        ("one.D A", "NOERROR / one.D 5 A 10.96.7.7 / - / -"),
        ("one.D AAAA", NODATA),
        ("nosuch.D A", NXDOMAIN),
        ("web.nons.svc.cluster.local. A", NXDOMAIN),
        ("bare.D A", "NOERROR / bare.D 5 A 10.96.8.8 / - / -"),
        ("bare.D SRV", NODATA),
    ])
    .await;
}

#[tokio::test]
async fn service_discovery_2_3_2_ports_lead_to_the_service() {
    let kube_dns = "kube-dns.kube-system.svc.cluster.local.";
    let srv =
        |owner: &str, weight, port| format!("{owner}{kube_dns} 5 SRV 0 {weight} {port} {kube_dns}");
    let glue = format!("{kube_dns} 5 A 10.96.0.10");
    check(&[
        (
            "_https._tcp.kubernetes.D SRV",
            "NOERROR / _https._tcp.kubernetes.D 5 SRV 0 100 443 kubernetes.D / - / kubernetes.D 5 A 10.96.0.1",
        ),
        (
            "_http._tcp.web.D SRV",
            "NOERROR / _http._tcp.web.D 5 SRV 0 50 80 web.D / - / web.D 5 A 10.96.5.5; web.D 5 AAAA fd00:96::55",
        ),
        ("_http._tcp.web.D A", "NOERROR / _http._tcp.web.D 5 A 10.96.5.5 / - / -"),
        ("http.tcp.web.D A", "NOERROR / http.tcp.web.D 5 A 10.96.5.5 / - / -"),
        ("_http._udp.web.D SRV", NXDOMAIN),
        ("_nope._tcp.web.D SRV", NXDOMAIN),
        (
            &format!("_dns._udp.{kube_dns} SRV"),
            &format!("NOERROR / {} / - / {glue}", srv("_dns._udp.", 100, 53)),
        ),
        (
            &format!("_dns-tcp._tcp.{kube_dns} SRV"),
            &format!("NOERROR / {} / - / {glue}", srv("_dns-tcp._tcp.", 100, 53)),
        ),
        (
            &format!("{kube_dns} SRV"),
            &format!("NOERROR / {}; {} / - / {glue}", srv("", 33, 53), srv("", 33, 9153)),
        ),
        ("one.D SRV", "NOERROR / one.D 5 SRV 0 100 8080 one.D / - / one.D 5 A 10.96.7.7"),
        ("_._tcp.web.D SRV", NXDOMAIN),
        ("_._tcp.one.D SRV", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn service_discovery_2_4_1_headless_has_its_ready_endpoints() {
    check(&[
        (
            "myapp-svc.D A",
            "NOERROR / myapp-svc.D 5 A 10.244.1.10; myapp-svc.D 5 A 10.244.2.11 / - / -",
        ),
        ("myapp-svc.D AAAA", NODATA),
        ("plain.D A", "NOERROR / plain.D 5 A 10.244.1.20; plain.D 5 A 10.244.2.21 / - / -"),
        ("plain.D AAAA", "NOERROR / plain.D 5 AAAA fd00:244::7 / - / -"),
        ("empty.D A", NXDOMAIN),
        ("empty.D AAAA", NXDOMAIN),
        ("_web._tcp.empty.D SRV", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn service_discovery_2_4_1_endpoints_have_names() {
    check(&[
        ("myapp-1.myapp-svc.D A", "NOERROR / myapp-1.myapp-svc.D 5 A 10.244.2.11 / - / -"),
        ("myapp-1.myapp-svc.D AAAA", NODATA),
        ("myapp-2.myapp-svc.D A", NXDOMAIN),
        ("10-244-2-11.myapp-svc.D A", NXDOMAIN),
        ("10-244-1-20.plain.D A", "NOERROR / 10-244-1-20.plain.D 5 A 10.244.1.20 / - / -"),
        ("fd00-244--7.plain.D AAAA", "NOERROR / fd00-244--7.plain.D 5 AAAA fd00:244::7 / - / -"),
        (
            "fd00-244-0-0-0-0-0-7.plain.D AAAA",
            "NOERROR / fd00-244-0-0-0-0-0-7.plain.D 5 AAAA fd00:244::7 / - / -",
        ),
        ("nope.plain.D A", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn service_discovery_2_4_2_ports_of_a_headless_service_lead_to_endpoints() {
    check(&[
        (
            "_web._tcp.myapp-svc.D SRV",
            "NOERROR / _web._tcp.myapp-svc.D 5 SRV 0 50 8080 myapp-0.myapp-svc.D; \
             _web._tcp.myapp-svc.D 5 SRV 0 50 8080 myapp-1.myapp-svc.D / - / \
             myapp-0.myapp-svc.D 5 A 10.244.1.10; myapp-1.myapp-svc.D 5 A 10.244.2.11",
        ),
        (
            "_http._tcp.plain.D SRV",
            "NOERROR / _http._tcp.plain.D 5 SRV 0 33 80 10-244-1-20.plain.D; \
             _http._tcp.plain.D 5 SRV 0 33 80 10-244-2-21.plain.D; \
             _http._tcp.plain.D 5 SRV 0 33 80 fd00-244--7.plain.D / - / \
             10-244-1-20.plain.D 5 A 10.244.1.20; 10-244-2-21.plain.D 5 A 10.244.2.21; \
             fd00-244--7.plain.D 5 AAAA fd00:244::7",
        ),
        (
            "myapp-1.myapp-svc.D SRV",
            "NOERROR / myapp-1.myapp-svc.D 5 SRV 0 100 8080 myapp-1.myapp-svc.D / - / \
             myapp-1.myapp-svc.D 5 A 10.244.2.11",
        ),
    ])
    .await;
}

#[tokio::test]
async fn service_discovery_2_5_external_name_is_an_alias() {
    check(&[
        (
            "ext.D A",
            "NOERROR / ext.D 5 CNAME www.example.com.; www.example.com. 60 A 192.0.2.80 / - / -",
        ),
        ("ext.D AAAA", "NOERROR / ext.D 5 CNAME www.example.com. / - / -"),
        ("ext.D CNAME", "NOERROR / ext.D 5 CNAME www.example.com. / - / -"),
        ("extin.D A", "NOERROR / extin.D 5 CNAME web.D; web.D 5 A 10.96.5.5 / - / -"),
        ("extin.D MX", "NOERROR / extin.D 5 CNAME web.D / SOA / -"),
        ("x.ext.D A", NXDOMAIN),
        ("_p._tcp.ext.D SRV", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn rfc6604_2_response_code_is_that_of_the_last_name() {
    check(&[
        ("gone.D A", "NXDOMAIN / gone.D 5 CNAME nosuch.example.com. / - / -"),
        ("down.D A", "SERVFAIL / down.D 5 CNAME down.example.com. / - / -"),
        ("lost.D A", "NXDOMAIN / lost.D 5 CNAME nosuch.D / SOA / -"),
    ])
    .await;
}

#[tokio::test]
async fn pods_have_names_by_their_addresses() {
    let pod = "10-244-1-10.default.pod.cluster.local.";
    check(&[
        (&format!("{pod} A"), &format!("NOERROR / {pod} 5 A 10.244.1.10 / - / -")),
        (&format!("{pod} AAAA"), NODATA),
        (&format!("{pod} SRV"), NODATA),
        (
            "fd00-244--7.default.pod.cluster.local. AAAA",
            "NOERROR / fd00-244--7.default.pod.cluster.local. 5 AAAA fd00:244::7 / - / -",
        ),
        ("1-2-3.default.pod.cluster.local. A", NXDOMAIN),
        ("300-1-1-1.default.pod.cluster.local. A", NXDOMAIN),
        (&format!("foo.{pod} A"), NXDOMAIN),
        ("10-244-1-10.nons.pod.cluster.local. A", NXDOMAIN),
    ])
    .await;
}

#[tokio::test]
async fn disabled_pod_names_do_not_exist() {
    let stage = Stage::new(config().with_pods(PodMode::Disabled)).await;
    let rows = [
        ("10-244-1-10.default.pod.cluster.local. A", NXDOMAIN),
        ("default.pod.cluster.local. A", NXDOMAIN),
        ("pod.cluster.local. A", NODATA),
    ];
    stage.check(&rows).await;
    stage.server.stop().await;
}

/// The reverse name of `fd00:96::55`.
const V6_POINTER: &str =
    "5.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa.";

#[tokio::test]
async fn service_discovery_2_3_3_addresses_lead_back() {
    let upper = V6_POINTER.replace("d.f", "D.F");
    check(&[
        ("5.5.96.10.in-addr.arpa. PTR", "NOERROR / 5.5.96.10.in-addr.arpa. 5 PTR web.D / - / -"),
        (&format!("{V6_POINTER} PTR"), &format!("NOERROR / {V6_POINTER} 5 PTR web.D / - / -")),
        (&format!("{upper} PTR"), &format!("NOERROR / {upper} 5 PTR web.D / - / -")),
        (
            "11.2.244.10.in-addr.arpa. PTR",
            "NOERROR / 11.2.244.10.in-addr.arpa. 5 PTR myapp-1.myapp-svc.D / - / -",
        ),
        (
            "20.1.244.10.in-addr.arpa. PTR",
            "NOERROR / 20.1.244.10.in-addr.arpa. 5 PTR 10-244-1-20.plain.D / - / -",
        ),
        ("5.5.96.10.in-addr.arpa. TXT", "NOERROR / - / SOA of in-addr.arpa. / -"),
        ("in-addr.arpa. A", "NOERROR / - / SOA of in-addr.arpa. / -"),
        ("in-addr.arpa. SOA", "NOERROR / SOA of in-addr.arpa. / - / -"),
        ("web.D PTR", NODATA),
        ("nosuch.D PTR", NXDOMAIN),
        // Somebody else may know these: they are forwarded.
        ("9.9.9.10.in-addr.arpa. PTR", "not AA NOERROR / - / - / -"),
        ("12.3.244.10.in-addr.arpa. PTR", "not AA NOERROR / - / - / -"),
        ("05.5.96.10.in-addr.arpa. PTR", "not AA NOERROR / - / - / -"),
    ])
    .await;
}

#[tokio::test]
async fn addresses_without_a_name_do_not_exist_where_the_reverse_zone_is_ours_alone() {
    let stage = Stage::new(strict()).await;
    let (nodata, nxdomain) =
        ("NOERROR / - / SOA of 10.in-addr.arpa. / -", "NXDOMAIN / - / SOA of 10.in-addr.arpa. / -");
    let rows = [
        ("5.5.96.10.in-addr.arpa. PTR", "NOERROR / 5.5.96.10.in-addr.arpa. 5 PTR web.D / - / -"),
        ("9.9.9.10.in-addr.arpa. PTR", nxdomain),
        ("0.96.10.in-addr.arpa. PTR", nodata),
        ("05.5.96.10.in-addr.arpa. PTR", nxdomain),
        ("256.5.96.10.in-addr.arpa. PTR", nxdomain),
        ("10.in-addr.arpa. TXT", nodata),
    ];
    stage.check(&rows).await;
    stage.server.stop().await;
}

#[tokio::test]
async fn service_discovery_2_2_version_and_name_servers_are_told() {
    let kube_dns = "kube-dns.kube-system.svc.cluster.local.";
    check(&[
        (
            "dns-version.cluster.local. TXT",
            "NOERROR / dns-version.cluster.local. 28800 TXT 1.1.0 / - / -",
        ),
        (
            "cluster.local. NS",
            &format!("NOERROR / cluster.local. 5 NS {kube_dns} / - / {kube_dns} 5 A 10.96.0.10"),
        ),
        (
            "cLUSTER.local. NS",
            "NOERROR / cLUSTER.local. 5 NS kube-dns.kube-system.svc.cLUSTER.local. / - / \
             kube-dns.kube-system.svc.cLUSTER.local. 5 A 10.96.0.10",
        ),
        ("ns.dns.cluster.local. A", "NOERROR / ns.dns.cluster.local. 5 A 10.96.0.10 / - / -"),
        ("ns.dns.cluster.local. AAAA", NODATA),
        ("cluster.local. A", NODATA),
        ("cluster.local. SRV", NODATA),
        ("cluster.local. MX", NODATA),
        ("cluster.local. DS", NODATA),
    ])
    .await;
}

#[tokio::test]
async fn names_outside_are_forwarded_with_the_upstreams_word() {
    check(&[
        ("www.example.com. A", "not AA NOERROR / www.example.com. 60 A 192.0.2.80 / - / -"),
        ("nosuch.example.com. A", "not AA NXDOMAIN / - / - / -"),
        ("kubernetes. A", "not AA NOERROR / - / - / -"),
        (". NS", "not AA NOERROR / - / - / -"),
        ("xcluster.local. A", "not AA NOERROR / - / - / -"),
    ])
    .await;
}

#[tokio::test]
async fn rfc5936_transfers_are_refused() {
    check(&[("cluster.local. AXFR", "not AA REFUSED / - / - / -")]).await;
    check(&[("cluster.local. IXFR", "not AA REFUSED / - / - / -")]).await;
}

#[tokio::test]
async fn time_to_live_is_as_configured_and_negative_for_300_seconds_at_most() {
    let stage = Stage::new(config().with_ttl(Ttl::from_seconds(600).unwrap())).await;
    let reply = stage.server.udp(&query(1, &name("web.D"), RecordType::A)).await;
    assert_eq!(reply.answers[0].ttl, 600);
    let reply = stage.server.udp(&query(1, &name("nosuch.D"), RecordType::A)).await;
    assert_eq!(reply.authorities[0].ttl, 300);
    stage.server.stop().await;
}

#[tokio::test]
async fn before_the_first_snapshot_all_names_of_ours_are_servfail_and_none_is_forwarded() {
    let upstream = FakeUpstream::silent().await;
    let server = start(support::config(&[&upstream]), ZoneIndex::new(config()));
    for asked in ["web.D", "cluster.local.", "svc.cluster.local.", "9.9.9.10.in-addr.arpa."] {
        for reply in [
            server.udp(&query(1, &name(asked), RecordType::PTR)).await,
            server.tcp(&query(1, &name(asked), RecordType::PTR)).await,
        ] {
            assert_eq!(reply.metadata.response_code, ResponseCode::ServFail, "{asked}");
            assert!(reply.metadata.authoritative && reply.answers.is_empty(), "{asked}");
        }
    }
    assert!(upstream.seen().is_empty());
    server.zone.store(std::sync::Arc::new(index(config())));
    let reply = server.udp(&query(1, &name("web.D"), RecordType::A)).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NoError, "the failure was kept");
    server.stop().await;
}
