//! Names of Services of other clusters, in zones of their own.

use super::*;
use crate::config::{EmptyServices, EndpointUse, ServiceRules};

const HTTP: &[(&str, Protocol, u16)] = &[("http", Protocol::Tcp, 80)];

/// `cluster.local` beside `clusterset.local`.
fn both() -> ZoneConfig {
    config()
        .with_further_domain("clusterset.local")
        .unwrap()
        .with_imported_zones([&zone_of_imports()])
}

/// A Service `web` here and an import of that name, and an import of a headless one.
fn objects() -> Vec<Change> {
    vec![
        namespace("default"),
        cluster_ip(("default", "web"), &["10.96.5.5"], HTTP),
        cluster_ip(("default", "here"), &["10.96.5.6"], HTTP),
        import(("default", "web"), Some(&["10.112.0.7", "fd00:112::7"]), HTTP),
        imported_slice(("default", "web"), "east", HTTP, vec![named("10.1.0.9", "web-0")]),
        import(("default", "db"), None, HTTP),
        imported_slice(
            ("default", "db"),
            "east",
            &[("http", Protocol::Tcp, 8080)],
            vec![named("10.1.0.1", "db-0"), unready(named("10.1.0.2", "db-1"))],
        ),
        imported_slice(
            ("default", "db"),
            "west",
            &[("http", Protocol::Tcp, 8081)],
            vec![named("10.2.0.1", "db-0"), of_pod("db-x", endpoint("10.2.0.3"))],
        ),
        imported_slice(("default", "early"), "east", HTTP, vec![endpoint("10.1.0.5")]),
        import(("none", "web"), Some(&["10.112.0.8"]), HTTP),
    ]
}

fn index_of(config: ZoneConfig, changes: Vec<Change>) -> ZoneIndex {
    let (snapshot, delta) = builder().apply(changes);
    ZoneIndex::new(config).update(&snapshot, &delta, NOW)
}

/// An answer with `S` for `default.svc.clusterset.local.`, its records in order of text.
fn said(index: &ZoneIndex, name: &str, record_type: RecordType) -> String {
    let text = ask(index, name, record_type).replace("default.svc.clusterset.local.", "S");
    let sorted = |part: &str| {
        let mut records: Vec<_> = part.split("; ").collect();
        records.sort_unstable();
        records.join("; ")
    };
    text.split(" + ").map(sorted).collect::<Vec<_>>().join(" + ")
}

#[test]
fn imports_have_the_names_of_keps_and_nothing_else_has() {
    use RecordType::{A, AAAA, NS, SOA, SRV, TXT};
    let index = index_of(both(), objects());
    for (name, record_type, expected) in [
        ("web", A, "web.S 5 A 10.112.0.7"),
        ("web", AAAA, "web.S 5 AAAA fd00:112::7"),
        ("web", TXT, "NODATA"),
        (
            "_http._tcp.web",
            SRV,
            "_http._tcp.web.S 5 SRV 0 50 80 web.S + web.S 5 A 10.112.0.7; web.S 5 AAAA fd00:112::7",
        ),
        ("web", SRV, "web.S 5 SRV 0 50 80 web.S + web.S 5 A 10.112.0.7; web.S 5 AAAA fd00:112::7"),
        ("_http._tcp.web", A, "_http._tcp.web.S 5 A 10.112.0.7"),
        ("_https._tcp.web", SRV, "NXDOMAIN"),
        ("_tcp.web", SRV, "NODATA"),
        ("_udp.web", SRV, "NXDOMAIN"),
        ("web-0.east.web", A, "web-0.east.web.S 5 A 10.1.0.9"),
        ("web-0.west.web", A, "NXDOMAIN"),
        ("web-0.web", A, "NXDOMAIN"),
        ("east.web", A, "NODATA"),
        ("west.web", A, "NXDOMAIN"),
        ("db", A, "db.S 5 A 10.1.0.1; db.S 5 A 10.2.0.1; db.S 5 A 10.2.0.3"),
        ("db-0.east.db", A, "db-0.east.db.S 5 A 10.1.0.1"),
        ("DB-0.West.db", A, "DB-0.West.db.S 5 A 10.2.0.1"),
        ("db-1.east.db", A, "NXDOMAIN"),
        ("10-2-0-3.west.db", A, "10-2-0-3.west.db.S 5 A 10.2.0.3"),
        ("db-x.west.db", A, "db-x.west.db.S 5 A 10.2.0.3"),
        ("db-0.east.db", AAAA, "NODATA"),
        (
            "_http._tcp.db",
            SRV,
            "_http._tcp.db.S 5 SRV 0 33 8080 db-0.east.db.S; \
             _http._tcp.db.S 5 SRV 0 33 8081 10-2-0-3.west.db.S; \
             _http._tcp.db.S 5 SRV 0 33 8081 db-0.west.db.S + \
             10-2-0-3.west.db.S 5 A 10.2.0.3; db-0.east.db.S 5 A 10.1.0.1; \
             db-0.west.db.S 5 A 10.2.0.1",
        ),
        (
            "db-0.east.db",
            SRV,
            "db-0.east.db.S 5 SRV 0 100 8080 db-0.east.db.S + db-0.east.db.S 5 A 10.1.0.1",
        ),
        // Only slices name it so far, or it is of this cluster, or its namespace does not exist.
        ("early", A, "NXDOMAIN"),
        ("here", A, "NXDOMAIN"),
        ("a.b.c.web", A, "NXDOMAIN"),
    ] {
        let name = format!("{name}.default.svc.clusterset.local.");
        assert_eq!(said(&index, &name, record_type), expected, "{name} {record_type}");
    }
    for (name, record_type, expected) in [
        ("web.none.svc.clusterset.local.", A, "NXDOMAIN"),
        ("none.svc.clusterset.local.", A, "NXDOMAIN"),
        ("default.svc.clusterset.local.", A, "NODATA"),
        (
            "10-9-9-9.default.pod.clusterset.local.",
            A,
            "10-9-9-9.default.pod.clusterset.local. 5 A 10.9.9.9",
        ),
        ("clusterset.local.", NS, "clusterset.local. 5 NS ns.dns.clusterset.local."),
        (
            "clusterset.local.",
            SOA,
            "clusterset.local. 5 SOA ns.dns.clusterset.local. hostmaster.clusterset.local. 1700000000 \
             7200 1800 86400 5",
        ),
        // The zone of this cluster has what it had, and nothing of the others.
        ("web.default.svc.cluster.local.", A, "web.D 5 A 10.96.5.5"),
        ("db.default.svc.cluster.local.", A, "NXDOMAIN"),
        ("7.0.112.10.in-addr.arpa.", RecordType::PTR, "NOT OURS"),
        ("5.5.96.10.in-addr.arpa.", RecordType::PTR, "5.5.96.10.in-addr.arpa. 5 PTR web.D"),
    ] {
        assert_eq!(
            ask(&index, name, record_type),
            expected.replace("default.svc.cluster.local.", "D"),
            "{name}"
        );
    }
}

#[test]
fn imports_that_are_not_known_are_denied_nowhere() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply(objects());
    let index = ZoneIndex::new(both()).update(&snapshot, &delta, NOW);
    for name in
        ["web.default.svc.clusterset.local.", "nosuch.clusterset.local.", "clusterset.local."]
    {
        assert_eq!(ask(&index, name, RecordType::A), "NOT SYNCED", "{name}");
    }
    assert!(index.is_synced(), "names of this cluster are known");
    assert_eq!(ask(&index, "web.default.svc.cluster.local.", RecordType::A), "web.D 5 A 10.96.5.5");
    builder.know_imports(Imports::Known);
    let (snapshot, delta) = builder.apply([]);
    let index = index.update(&snapshot, &delta, NOW);
    assert_eq!(ask(&index, "nosuch.clusterset.local.", RecordType::A), "NXDOMAIN");
    assert_eq!(u64::from(index.serial()), NOW + 1);
}

#[test]
fn imports_follow_their_objects_and_the_rules() {
    let mut builder = builder();
    let (snapshot, delta) = builder.apply(objects());
    let mut index = ZoneIndex::new(both()).update(&snapshot, &delta, NOW);
    let gone = |name: &str| Change::ImportGone(service_name("default", name));
    let slice_gone = Change::SliceGone(ObjectName::new("default", "db-of-east").unwrap());
    for (step, change, name, expected) in [
        ("a cluster goes", slice_gone, "db-0.east.db", "NXDOMAIN"),
        ("an import goes", gone("db"), "db", "NXDOMAIN"),
        ("an import goes", gone("web"), "web-0.east.web", "NXDOMAIN"),
        (
            "an import comes",
            import(("default", "early"), None, HTTP),
            "early",
            "early.default.svc.clusterset.local. 5 A 10.1.0.5",
        ),
    ] {
        let (snapshot, delta) = builder.apply([change]);
        index = index.update(&snapshot, &delta, NOW);
        let name = format!("{name}.default.svc.clusterset.local.");
        assert_eq!(ask(&index, &name, RecordType::A), expected, "{step}");
    }
    let rules = ServiceRules { endpoints: EndpointUse::Ignored, ..ServiceRules::default() };
    let without = index_of(both().with_service_rules(rules), objects());
    let name = |name: &str| format!("{name}.default.svc.clusterset.local.");
    assert_eq!(ask(&without, &name("db"), RecordType::A), "NXDOMAIN");
    assert_eq!(ask(&without, &name("web-0.east.web"), RecordType::A), "NXDOMAIN");
    let rules = ServiceRules { empty: EmptyServices::Ignored, ..ServiceRules::default() };
    let empty = import(("default", "empty"), Some(&["10.112.0.9"]), HTTP);
    let full = index_of(both().with_service_rules(rules), [objects(), vec![empty]].concat());
    assert_eq!(ask(&full, &name("empty"), RecordType::A), "NXDOMAIN");
    assert!(ask(&full, &name("web"), RecordType::A).ends_with("A 10.112.0.7"));
    let selected = both().with_labels(Some(Selector::parse("team=dns").unwrap()));
    let labels = [("team", "dns")];
    let labeled = labeled(&labels, import(("default", "db"), None, HTTP));
    let some = index_of(selected, [objects(), vec![labeled]].concat());
    assert_eq!(ask(&some, &name("web"), RecordType::A), "NXDOMAIN");
    assert!(ask(&some, &name("db-0.west.db"), RecordType::A).ends_with("A 10.2.0.1"));
}

#[test]
fn zone_of_imports_alone_has_no_names_of_this_cluster() {
    let alone = ZoneConfig::new("clusterset.local").unwrap();
    assert!(!alone.has_imports());
    let alone = alone.with_imported_zones([&zone_of_imports()]);
    assert!(alone.has_imports());
    let index = index_of(alone, objects());
    assert_eq!(ask(&index, "here.default.svc.clusterset.local.", RecordType::A), "NXDOMAIN");
    let web = ask(&index, "web.default.svc.clusterset.local.", RecordType::A);
    assert!(web.ends_with("A 10.112.0.7"), "{web}");
    assert_eq!(ask(&index, "6.5.96.10.in-addr.arpa.", RecordType::PTR), "NOT OURS");
    assert!(
        index.to_string().contains("db-0.east.db.default.svc.clusterset.local. 5 IN A 10.1.0.1")
    );
}
