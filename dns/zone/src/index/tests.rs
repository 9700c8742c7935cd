//! What an update does to an index: names, serial, and the same from a delta as from nothing.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::{Name, RecordType};
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::{Condition, Endpoint};
use podway_cluster_model::import::ImportKind;
use podway_cluster_model::label::Selector;
use podway_cluster_model::name::{Namespace, ObjectName};
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::ServiceKind;
use proptest::prelude::*;

use super::*;
use crate::answer::{Answer, answer};
use crate::config::{Exposure, PodNames};
use crate::direct::rendered::rendered;
use crate::fixture::{
    NOW, cluster, cluster_ip, config, endpoint, import, imported_slice, labeled, labeled_namespace,
    named, namespace, of_pod, pod, service, service_name, shown, slice, unready,
};
use crate::reverse;
use crate::zones::{MissingPointer, ReverseZone};

mod imports;
mod labels;
mod properties;
mod strategies;

fn zone_of_imports() -> Name {
    Name::from_ascii("clusterset.local.").unwrap()
}

/// A builder whose objects have all labels.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.keep_labels(LabelKeys::All);
    builder.know_imports(Imports::Known);
    builder
}

fn ask(index: &ZoneIndex, name: &str, record_type: RecordType) -> String {
    shown(&answer(index, &Name::from_ascii(name).unwrap(), record_type))
}

#[test]
fn serial_rises_only_with_what_may_change_an_answer() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply(cluster());
    let mut index = ZoneIndex::new(config()).update(&snapshot, &delta, NOW);
    assert_eq!(u64::from(index.serial()), NOW);
    let not_ready_moves = slice(
        ("default", "myapp-svc"),
        "b",
        &[("web", Protocol::Tcp, 8080)],
        vec![unready(named("10.244.3.13", "myapp-3"))],
    );
    let steps = [
        ("unready endpoint comes", not_ready_moves, false),
        (
            "service of a missing namespace comes",
            cluster_ip(("none", "x"), &["10.96.9.1"], &[]),
            true,
        ),
        ("pod comes, unverified", pod(("default", "x"), &["10.244.9.9"]), false),
        ("namespace comes", namespace("none"), true),
        ("address changes", cluster_ip(("default", "web"), &["10.96.5.6"], &[]), true),
    ];
    for (now, (step, change, rises)) in (NOW + 10..).step_by(10).zip(steps) {
        let (snapshot, delta) = builder.apply([change]);
        let next = index.update(&snapshot, &delta, now);
        assert_eq!(next.serial() != index.serial(), rises, "{step}");
        assert!(!rises || u64::from(next.serial()) == now, "{step}");
        index = next;
    }
}

#[test]
fn serial_rises_while_the_clock_stands_or_goes_back() {
    assert_eq!(next_serial(0, NOW), 1_700_000_000);
    assert_eq!(next_serial(1_700_000_000, NOW), 1_700_000_001);
    assert_eq!(next_serial(1_700_000_000, NOW - 100), 1_700_000_001);
    assert_eq!(next_serial(u32::MAX, NOW), 1_700_000_000);
    assert_eq!(next_serial(u32::MAX - 5, (1 << 32) + 7), 7);
}

#[test]
fn older_index_keeps_its_answers() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply(cluster());
    let before = ZoneIndex::new(config()).update(&snapshot, &delta, NOW);
    let (snapshot, delta) = builder.apply([Change::ServiceGone(service_name("default", "web"))]);
    let after = before.update(&snapshot, &delta, NOW + 1);
    let web = "web.default.svc.cluster.local.";
    assert_eq!(ask(&before, web, RecordType::A), "web.D 5 A 10.96.5.5");
    assert_eq!(ask(&after, web, RecordType::A), "NXDOMAIN");
    assert_eq!(ask(&after, "5.5.96.10.in-addr.arpa.", RecordType::PTR), "NOT OURS");
}

#[test]
fn update_touches_only_what_the_delta_names() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply(cluster());
    let before = ZoneIndex::new(config()).update(&snapshot, &delta, NOW);
    let (snapshot, delta) = builder.apply([cluster_ip(("default", "web"), &["10.96.5.6"], &[])]);
    let after = before.update(&snapshot, &delta, NOW + 1);
    let records = |index: &ZoneIndex, name| {
        let key = service_key(&service_name("default", name));
        Arc::clone(index.tables().unwrap().services.get(&key).unwrap())
    };
    assert!(Arc::ptr_eq(&records(&before, "plain"), &records(&after, "plain")));
    assert!(!Arc::ptr_eq(&records(&before, "web"), &records(&after, "web")));
    // What changed and is not in the delta is not looked at.
    let (snapshot, _) = builder.apply([cluster_ip(("default", "web"), &["10.96.5.7"], &[])]);
    let unaware = after.update(&snapshot, &Delta::default(), NOW + 2);
    assert_eq!(unaware.serial(), after.serial());
    assert_eq!(
        ask(&unaware, "web.default.svc.cluster.local.", RecordType::A),
        "web.D 5 A 10.96.5.6"
    );
}

#[test]
fn statefulset_pod_that_comes_back_is_found_at_its_new_address() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply(cluster());
    let mut index = ZoneIndex::new(config()).update(&snapshot, &delta, NOW);
    let name = "myapp-1.myapp-svc.default.svc.cluster.local.";
    let slice_of = |endpoints| {
        slice(("default", "myapp-svc"), "a", &[("web", Protocol::Tcp, 8080)], endpoints)
    };
    let steps = [
        (
            vec![unready(named("10.244.2.11", "myapp-1")), named("10.244.1.10", "myapp-0")],
            "NXDOMAIN",
        ),
        (vec![], "NXDOMAIN"),
        (vec![named("10.244.2.99", "myapp-1")], "myapp-1.myapp-svc.D 5 A 10.244.2.99"),
    ];
    for (endpoints, expected) in steps {
        let (snapshot, delta) = builder.apply([slice_of(endpoints)]);
        index = index.update(&snapshot, &delta, NOW + 1);
        assert_eq!(ask(&index, name, RecordType::A), expected);
    }
    assert_eq!(ask(&index, "11.2.244.10.in-addr.arpa.", RecordType::PTR), "NOT OURS");
}
