//! Services with a ClusterIP, and aliases.

use super::*;

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
