//! Names of addresses: pods, and reverse zones.

use super::*;

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
