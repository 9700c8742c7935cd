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

/// Names of namespaces, Services, pods and host names: few, so that they meet.
const NAMES: [&str; 4] = ["a", "b", "tcp", "10-0-0-1"];

/// Addresses of everything: few, so that they are shared.
const ADDRESSES: [&str; 6] =
    ["10.0.0.1", "10.0.0.2", "10.96.0.1", "fd00::1", "fd00:1::", "::ffff:10.0.0.1"];

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn any_address() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&ADDRESSES[..])
}

/// Names of clusters, one of which is also that of a protocol.
fn any_cluster() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["east", "tcp"][..])
}

fn any_port() -> impl Strategy<Value = (&'static str, Protocol, u16)> {
    let protocol = prop::sample::select(&Protocol::ALL[..]);
    (prop::sample::select(&["", "http", "dns"][..]), protocol, 1_u16..4)
}

fn any_ports() -> impl Strategy<Value = Vec<(&'static str, Protocol, u16)>> {
    prop::collection::vec(any_port(), 0..3)
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let condition = prop::sample::select(
        &[
            Condition::Ready { terminating: false },
            Condition::Ready { terminating: true },
            Condition::ServingTerminating,
            Condition::NotReady,
        ][..],
    );
    let pod = prop::option::of(prop::sample::select(&["a", "b", "a.b", "10-0-0-2"][..]));
    (any_address(), condition, prop::option::of(any_name()), pod).prop_map(
        |(address, condition, hostname, pod)| {
            let endpoint = match hostname {
                Some(hostname) => named(address, hostname),
                None => endpoint(address),
            };
            let endpoint = Endpoint { condition, ..endpoint };
            match pod {
                Some(pod) => of_pod(pod, endpoint),
                None => endpoint,
            }
        },
    )
}

fn any_kind() -> impl Strategy<Value = ServiceKind> {
    prop_oneof![
        prop::collection::vec(any_address(), 0..3).prop_map(|addresses| {
            ServiceKind::ClusterIp(addresses.into_iter().map(crate::fixture::address).collect())
        }),
        Just(ServiceKind::Headless),
        prop::sample::select(&["a.a.svc.cluster.local", "example.com.", "10.0.0.1", "a..b"][..])
            .prop_map(|target| ServiceKind::ExternalName(target.to_owned())),
    ]
}

/// Labels of objects.
const LABELS: &[&[(&str, &str)]] = &[&[], &[("team", "x")], &[("team", "y")]];

fn any_change() -> impl Strategy<Value = Change> {
    let object = || (any_name(), any_name());
    let service =
        (object(), any_kind(), any_ports()).prop_map(|((namespace, name), kind, ports)| {
            service(service_name(namespace, name), kind, &ports)
        });
    let labels = || prop::sample::select(LABELS);
    let addresses = prop::option::of(prop::collection::vec(any_address(), 0..2));
    let import = (object(), addresses, any_ports())
        .prop_map(|(name, addresses, ports)| import(name, addresses.as_deref(), &ports));
    prop_oneof![
        4 => (service, labels()).prop_map(|(service, labels)| labeled(labels, service)),
        1 => object()
            .prop_map(|(namespace, name)| Change::ServiceGone(service_name(namespace, name))),
        6 => (object(), any_name(), any_ports(), prop::collection::vec(any_endpoint(), 0..4))
            .prop_map(|(of, suffix, ports, endpoints)| slice(of, suffix, &ports, endpoints)),
        1 => (object(), any_name()).prop_map(|((namespace, service), suffix)| {
            let name = ObjectName::new(namespace, &format!("{service}-{suffix}")).unwrap();
            Change::SliceGone(name)
        }),
        2 => (any_name(), labels()).prop_map(|(name, labels)| labeled_namespace(name, labels)),
        2 => (import, labels()).prop_map(|(import, labels)| labeled(labels, import)),
        1 => object().prop_map(|(namespace, name)| Change::ImportGone(service_name(namespace, name))),
        3 => (object(), any_cluster(), any_ports(), prop::collection::vec(any_endpoint(), 0..4))
            .prop_map(|(of, cluster, ports, endpoints)| {
                imported_slice(of, cluster, &ports, endpoints)
            }),
        1 => any_name()
            .prop_map(|name| Change::NamespaceGone(Namespace::new(name).unwrap())),
        2 => (object(), prop::collection::vec(any_address(), 0..3), labels())
            .prop_map(|(name, addresses, labels)| labeled(labels, pod(name, &addresses))),
        1 => object().prop_map(|(namespace, name)| {
            Change::PodGone(ObjectName::new(namespace, name).unwrap())
        }),
    ]
}

fn any_config() -> impl Strategy<Value = ZoneConfig> {
    let pods = prop::sample::select(&[PodMode::Disabled, PodMode::Insecure, PodMode::Verified][..]);
    let pod_names =
        prop::sample::select(&[PodNames::Unused, PodNames::Answered, PodNames::Published][..]);
    let missing = prop::sample::select(&[MissingPointer::NotOurs, MissingPointer::NxDomain][..]);
    let only = ["a", "b", "tcp"].map(|name| Namespace::new(name).unwrap());
    let selector = |text| Selector::parse(text).unwrap();
    let namespaces = prop_oneof![
        2 => Just(Exposure::All),
        1 => Just(Exposure::Only(only.into())),
        1 => Just(Exposure::Labeled(selector("team!=x"))),
    ];
    let labels = prop_oneof![2 => Just(None), 1 => Just(Some(selector("!team"))), 1 => Just(Some(selector("team=x")))];
    (pods, pod_names, missing, namespaces, labels, any::<bool>()).prop_map(
        |(pods, pod_names, missing, namespaces, labels, imported)| {
            config()
                .with_pods(pods)
                .with_pod_names(pod_names)
                .with_namespaces(namespaces)
                .with_labels(labels)
                .with_nameserver(service_name("a", "a"))
                .with_reverse_zones(
                    ["in-addr.arpa", "ip6.arpa"]
                        .map(|zone| ReverseZone::new(zone, missing).unwrap()),
                )
                .unwrap()
                .with_further_domain("clusterset.local")
                .unwrap()
                .with_imported_zones(imported.then_some(&zone_of_imports()))
        },
    )
}

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

/// Batches of changes; the first makes the namespaces, so that most names exist.
fn any_history() -> impl Strategy<Value = Vec<Vec<Change>>> {
    prop::collection::vec(prop::collection::vec(any_change(), 1..12), 1..6).prop_map(
        |mut batches| {
            batches.insert(0, NAMES.map(namespace).to_vec());
            batches
        },
    )
}

/// A label that means something somewhere, or any octets.
fn any_label() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "svc",
        "pod",
        "dns",
        "ns",
        "dns-version",
        "_http",
        "_tcp",
        "http",
        "udp",
        "_",
        "10-0-0-1",
        "fd00--1",
        "fd00-1--0",
        "0--ffff-a00-1",
        "in-addr",
        "ip6",
        "arpa",
        "10",
        "0",
        "1",
        "A",
        "B",
        "cluster",
        "clusterset",
        "East",
        "Local",
    ];
    prop_oneof![
        6 => any_name().prop_map(|name| name.as_bytes().to_vec()),
        6 => prop::sample::select(known.to_vec()).prop_map(|label| label.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..64),
    ]
}

fn any_question() -> impl Strategy<Value = (Name, RecordType)> {
    let suffix = prop::sample::select(
        &[
            "",
            "cluster.LOCAL",
            "svc.Cluster.local",
            "a.svc.cluster.local",
            "a.a.svc.cluster.local",
            "a.a.svc.Clusterset.local",
            "east.b.a.svc.clusterset.local",
            "in-addr.arpa",
            "ip6.ARPA",
        ][..],
    );
    let record_type = prop_oneof![
        prop::sample::select(
            &[
                RecordType::A,
                RecordType::AAAA,
                RecordType::SRV,
                RecordType::PTR,
                RecordType::NS,
                RecordType::SOA,
                RecordType::TXT,
                RecordType::CNAME,
                RecordType::ANY,
            ][..],
        ),
        any::<u16>().prop_map(RecordType::from),
    ];
    (prop::collection::vec(any_label(), 0..6), suffix, record_type).prop_filter_map(
        "a name is at most 255 octets long",
        |(labels, suffix, record_type)| {
            let suffix = suffix.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
            let labels = labels.iter().map(Vec::as_slice).chain(suffix);
            Name::from_labels(labels).ok().map(|name| (name, record_type))
        },
    )
}

/// Follows `history` batch by batch.
fn follow(config: ZoneConfig, history: &[Vec<Change>]) -> (ZoneIndex, Arc<Snapshot>) {
    let mut builder = builder();
    let mut index = ZoneIndex::new(config);
    let mut last = Arc::default();
    for (now, batch) in (NOW..).zip(history) {
        let (snapshot, delta) = builder.apply(batch.clone());
        index = index.update(&snapshot, &delta, now);
        last = snapshot;
    }
    (index, last)
}

/// The zone's own lines of a dump: owner, type, data.
fn lines(index: &ZoneIndex) -> Vec<(Name, RecordType, String)> {
    index
        .to_string()
        .lines()
        .filter(|line| !line.starts_with(';'))
        .map(|line| {
            let mut fields = line.splitn(5, ' ');
            let mut next = || fields.next().unwrap();
            let (owner, _ttl, _class, record_type, data) = (next(), next(), next(), next(), next());
            (Name::from_ascii(owner).unwrap(), record_type.parse().unwrap(), data.to_owned())
        })
        .collect()
}

/// The names that an address leads to.
fn pointer_targets(index: &ZoneIndex, address: IpAddr) -> Vec<String> {
    match answer(index, &reverse::name(address), RecordType::PTR) {
        Answer::Records { answers, .. } => {
            answers.iter().map(|record| record.data.to_string()).collect()
        }
        Answer::NotOurs | Answer::NxDomain { .. } | Answer::NoData { .. } => Vec::new(),
        other @ (Answer::NotSynced { .. } | Answer::Alias { .. } | Answer::Refused) => {
            panic!("{address} gets {other:?}")
        }
    }
}

/// Every address in an answer.
fn addresses(answer: &Answer) -> Vec<IpAddr> {
    let Answer::Records { answers, additionals } = answer else { return Vec::new() };
    answers.iter().chain(additionals).filter_map(|record| record.data.ip_addr()).collect()
}

/// Whether `address` is one of a Service's, an endpoint's or a pod's in the snapshot.
fn is_known(snapshot: &Snapshot, address: IpAddr) -> bool {
    let of_services = snapshot.services.values().any(|entry| {
        entry.service.iter().any(|service| service.cluster_ips().contains(&address))
            || entry.slices.values().any(|slice| {
                slice
                    .endpoints
                    .iter()
                    .any(|endpoint| endpoint.condition.is_ready() && endpoint.address == address)
            })
    });
    let mut imports = snapshot.services.values().filter_map(|entry| entry.imported.as_ref());
    let of_imports = imports.any(|imported| {
        let own = imported.import.iter().any(|import| match &import.kind {
            ImportKind::ClusterSetIp(addresses) => addresses.contains(&address),
            ImportKind::Headless => false,
        });
        let mut endpoints = imported.slices.values().flat_map(|slice| &slice.endpoints);
        own || endpoints.any(|one| one.condition.is_ready() && one.address == address)
    });
    of_services || of_imports || snapshot.pods.values().any(|pod| pod.addresses.contains(&address))
}

proptest! {
    #[test]
    fn update_gives_what_a_build_from_nothing_gives(
        config in any_config(),
        history in any_history(),
    ) {
        let (updated, snapshot) = follow(config.clone(), &history);
        let built = ZoneIndex::new(config).update(&snapshot, &Delta::default(), NOW);
        prop_assert_eq!(updated.tables(), built.tables());
        let rebuilt = updated.rebuild(&snapshot, NOW + 1_000);
        prop_assert_eq!(rebuilt.serial(), updated.serial());
        prop_assert_eq!(rebuilt.to_string(), updated.to_string());
    }

    #[test]
    fn equal_serials_mean_equal_answers(config in any_config(), history in any_history()) {
        let mut builder = builder();
        let mut index = ZoneIndex::new(config);
        for batch in history {
            let (snapshot, delta) = builder.apply(batch);
            let next = index.update(&snapshot, &delta, NOW);
            if next.serial() == index.serial() {
                prop_assert_eq!(next.to_string(), index.to_string());
            }
            index = next;
        }
    }

    #[test]
    fn any_question_has_an_answer_with_known_addresses_only(
        config in any_config(),
        history in any_history(),
        questions in prop::collection::vec(any_question(), 1..20),
    ) {
        let insecure = config.pods() == PodMode::Insecure;
        let (index, snapshot) = follow(config, &history);
        for (name, record_type) in questions {
            let answer = answer(&index, &name, record_type);
            if let Some(direct) = rendered(&index, &name, record_type) {
                prop_assert_eq!(&direct, &answer, "{} {} directly", name, record_type);
            }
            if let Answer::Records { answers, .. } = &answer {
                prop_assert!(!answers.is_empty());
                for record in answers {
                    prop_assert!(record.name.eq_case(&name));
                    let of_type = record_type == record.record_type() || record_type == RecordType::ANY;
                    prop_assert!(of_type, "{} for {}", record, record_type);
                }
            }
            // Unverified names of pods say their own address, which nobody vouches for.
            let is_pod = name.iter().any(|label| label.eq_ignore_ascii_case(b"pod"));
            for address in addresses(&answer) {
                let known = is_known(&snapshot, address);
                prop_assert!(known || insecure && is_pod, "{name} gives {address}");
            }
        }
    }

    #[test]
    fn unsynced_index_answers_nothing(config in any_config(), question in any_question()) {
        let (name, record_type) = question;
        let answer = answer(&ZoneIndex::new(config), &name, record_type);
        let silent = matches!(answer, Answer::NotOurs | Answer::NotSynced { .. });
        prop_assert!(silent, "{:?}", answer);
    }

    #[test]
    fn existence_is_the_same_for_every_type(
        config in any_config(),
        history in any_history(),
        name in any_question().prop_map(|(name, _)| name),
    ) {
        let (index, _) = follow(config, &history);
        let missing = |record_type| {
            let answer = answer(&index, &name, record_type);
            matches!(answer, Answer::NxDomain { .. } | Answer::NotOurs)
        };
        let types = [RecordType::AAAA, RecordType::SRV, RecordType::PTR, RecordType::SOA, RecordType::TXT];
        for record_type in types {
            prop_assert_eq!(missing(RecordType::A), missing(record_type), "{} {}", name, record_type);
        }
    }

    #[test]
    fn parents_of_existing_names_exist(config in any_config(), history in any_history()) {
        let (index, _) = follow(config, &history);
        let dns = Name::from_ascii("dns.cluster.local.").unwrap();
        for (owner, ..) in lines(&index) {
            let parent = owner.base_name();
            let answer = answer(&index, &parent, RecordType::A);
            prop_assert!(parent == dns || !matches!(answer, Answer::NxDomain { .. }), "{parent}");
        }
    }

    #[test]
    fn pointer_leads_to_a_name_that_has_the_address(
        config in any_config(),
        history in any_history(),
    ) {
        let (index, _) = follow(config, &history);
        for (owner, _, data) in lines(&index).iter().filter(|line| line.1 == RecordType::PTR) {
            let target = Name::from_ascii(data).unwrap();
            let both = [RecordType::A, RecordType::AAAA].map(|family| answer(&index, &target, family));
            let has_it = both.iter().flat_map(addresses).any(|found| reverse::name(found) == *owner);
            prop_assert!(has_it, "{owner} leads to {data}, which does not have it");
        }
    }

    #[test]
    fn address_of_a_name_leads_back_to_it_or_to_an_endpoint(
        config in any_config(),
        history in any_history(),
    ) {
        let (index, _) = follow(config, &history);
        let tables = index.tables().unwrap();
        for records in tables.services() {
            for address in records.addresses.iter() {
                let targets = pointer_targets(&index, address);
                prop_assert!(!targets.is_empty(), "{address} of {} leads nowhere", records.name);
                let own = format!("{}.{}.svc.cluster.local.", records.name.name, records.name.namespace);
                prop_assert!(
                    !records.owns(address) || targets.contains(&own),
                    "{address} of {own} leads to {targets:?}"
                );
            }
        }
    }
}
