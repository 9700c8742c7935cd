//! Headless Services, and the names of endpoints.

use super::*;

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
