use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::arbitrary;
use crate::endpoint::{Condition, Endpoint, Hints};
use crate::name::LocalName;
use crate::service::{Affinity, External, ProxyOwner, ServiceKind, TrafficPolicy};

fn service_name(name: &str) -> ServiceName {
    ServiceName::new("shop", name).unwrap()
}

fn slice_name(name: &str) -> ObjectName {
    ObjectName::new("shop", name).unwrap()
}

fn service(name: &str, address: &str) -> Service {
    Service {
        name: service_name(name),
        kind: ServiceKind::ClusterIp(vec![address.parse().unwrap()]),
        ports: Vec::new(),
        external: External::default(),
        internal_policy: TrafficPolicy::Cluster,
        affinity: Affinity::None,
        spread: Default::default(),
        proxy: ProxyOwner::Podway,
        labels: Labels::default(),
        created_unix_seconds: None,
    }
}

fn slice(name: &str, service: &str, addresses: &[&str]) -> EndpointSlice {
    let endpoint = |address: &&str| Endpoint {
        address: address.parse().unwrap(),
        condition: Condition::Ready { terminating: false },
        hostname: None,
        node: None,
        pod: None,
        zone: None,
        hints: Hints::default(),
    };
    EndpointSlice {
        name: slice_name(name),
        service: Some(service_name(service)),
        origin: None,
        ports: Vec::new(),
        endpoints: addresses.iter().map(endpoint).collect(),
    }
}

/// Names of the Services in `delta`, which must name nothing else.
fn services_only(delta: &Delta) -> Vec<String> {
    let Delta { services, namespaces, nodes, pods, service_cidrs, label_keys, imports } = delta;
    let others_are_empty = namespaces.is_empty()
        && nodes.is_empty()
        && pods.is_empty()
        && service_cidrs.is_empty()
        && !label_keys
        && !imports;
    assert!(others_are_empty, "{delta:?}");
    services.iter().map(|name| name.name.to_string()).collect()
}

#[test]
fn the_first_change_is_generation_one() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply([Change::Service(service("web", "10.96.0.1"))]);
    assert_eq!(snapshot.generation, 1);
    assert_eq!(services_only(&delta), ["web"]);
}

#[test]
fn no_change_keeps_the_generation() {
    let mut builder = Builder::new();
    builder.apply([Change::Service(service("web", "10.96.0.1"))]);
    let (snapshot, delta) = builder.apply([Change::Service(service("web", "10.96.0.1"))]);
    assert!(delta.is_empty());
    assert_eq!(snapshot.generation, 1);
}

#[test]
fn labels_that_change_are_a_change_of_their_object() {
    let labelled =
        |value: &str| -> Labels { [("team".into(), value.into())].into_iter().collect() };
    let shop = Namespace::new("shop").unwrap();
    let mut builder = Builder::new();
    builder.apply([
        Change::Namespace(shop.clone(), labelled("dns")),
        Change::Service(service("web", "10.96.0.1")),
    ]);
    let (snapshot, delta) = builder.apply([Change::Namespace(shop.clone(), labelled("shop"))]);
    assert_eq!(snapshot.namespaces[&shop].value("team"), Some("shop"));
    assert_eq!(delta.namespaces, [shop].into());
    let web = Service { labels: labelled("shop"), ..service("web", "10.96.0.1") };
    assert_eq!(services_only(&builder.apply([Change::Service(web)]).1), ["web"]);
}

#[test]
fn labels_that_are_kept_are_told_with_the_next_changes() {
    let mut builder = Builder::new();
    let keys: LabelKeys = ["team".into()].into_iter().collect();
    builder.keep_labels(keys.clone());
    let (snapshot, delta) = builder.apply([]);
    assert_eq!((&snapshot.label_keys, snapshot.generation), (&keys, 1));
    assert!(delta.label_keys && !delta.is_empty());
    assert_eq!(Delta::everything(&snapshot), delta);
    builder.keep_labels(keys);
    assert!(builder.apply([]).1.is_empty(), "the same keys again");
}

#[test]
fn what_goes_without_having_come_leaves_no_trace() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply([
        Change::ServiceGone(service_name("web")),
        Change::SliceGone(slice_name("web-a")),
        Change::NamespaceGone(Namespace::new("shop").unwrap()),
        Change::NodeGone(NodeName::new("node-1").unwrap()),
        Change::PodGone(slice_name("web-0")),
        Change::ServiceCidrGone(LocalName::new("kubernetes").unwrap()),
    ]);
    assert!(delta.is_empty());
    assert_eq!(snapshot.generation, 0);
}

#[test]
fn a_slice_waits_for_its_service() {
    let mut builder = Builder::new();
    let (snapshot, _) = builder.apply([Change::Slice(slice("web-a", "web", &["10.244.1.1"]))]);
    let entry = &snapshot.services[&service_name("web")];
    assert!(entry.service.is_none());
    let (snapshot, _) = builder.apply([Change::Service(service("web", "10.96.0.1"))]);
    let entry = &snapshot.services[&service_name("web")];
    assert!(entry.service.is_some());
    assert_eq!(entry.slices.size(), 1);
}

#[test]
fn an_entry_stays_until_both_service_and_slices_are_gone() {
    let mut builder = Builder::new();
    builder.apply([
        Change::Service(service("web", "10.96.0.1")),
        Change::Slice(slice("web-a", "web", &["10.244.1.1"])),
    ]);
    let (snapshot, delta) = builder.apply([Change::ServiceGone(service_name("web"))]);
    assert!(snapshot.services.contains_key(&service_name("web")));
    assert_eq!(services_only(&delta), ["web"]);
    let (snapshot, delta) = builder.apply([Change::SliceGone(slice_name("web-a"))]);
    assert!(snapshot.services.is_empty());
    assert_eq!(services_only(&delta), ["web"]);
}

#[test]
fn a_slice_that_changes_its_service_leaves_the_old_one() {
    let mut builder = Builder::new();
    builder.apply([Change::Slice(slice("web-a", "web", &["10.244.1.1"]))]);
    let (snapshot, delta) = builder.apply([Change::Slice(slice("web-a", "db", &["10.244.1.1"]))]);
    assert_eq!(services_only(&delta), ["db", "web"]);
    assert!(!snapshot.services.contains_key(&service_name("web")));
    assert_eq!(snapshot.services[&service_name("db")].slices.size(), 1);
    let (snapshot, _) = builder.apply([Change::SliceGone(slice_name("web-a"))]);
    assert!(snapshot.services.is_empty());
}

#[test]
fn slices_of_one_name_in_two_namespaces_are_two() {
    let other = EndpointSlice {
        name: ObjectName::new("default", "web-a").unwrap(),
        service: Some(ServiceName::new("default", "web").unwrap()),
        ..slice("web-a", "web", &[])
    };
    let mut builder = Builder::new();
    builder.apply([Change::Slice(slice("web-a", "web", &[])), Change::Slice(other)]);
    let (snapshot, delta) = builder.apply([Change::SliceGone(slice_name("web-a"))]);
    assert_eq!(services_only(&delta), ["web"]);
    assert_eq!(snapshot.services.size(), 1);
}

#[test]
fn changes_that_undo_each_other_leave_no_trace() {
    let mut builder = Builder::new();
    builder.apply([Change::Service(service("web", "10.96.0.1"))]);
    let (snapshot, delta) = builder.apply([
        Change::ServiceGone(service_name("web")),
        Change::Slice(slice("web-a", "web", &["10.244.1.1"])),
        Change::Service(service("web", "10.96.0.1")),
        Change::SliceGone(slice_name("web-a")),
    ]);
    assert!(delta.is_empty(), "{delta:?}");
    assert_eq!(snapshot.generation, 1);
}

#[test]
fn a_service_recreated_with_its_address_and_other_ports_is_one_change() {
    let mut builder = Builder::new();
    builder.apply([Change::Service(service("web", "10.96.0.1"))]);
    let recreated =
        Service { created_unix_seconds: Some(1_700_000_000), ..service("web", "10.96.0.1") };
    let (snapshot, delta) = builder
        .apply([Change::ServiceGone(service_name("web")), Change::Service(recreated.clone())]);
    assert_eq!(services_only(&delta), ["web"]);
    assert_eq!(snapshot.services[&service_name("web")].service.as_deref(), Some(&recreated));
}

#[test]
fn an_older_snapshot_does_not_see_later_changes() {
    let mut builder = Builder::new();
    let (before, _) = builder.apply([Change::Service(service("web", "10.96.0.1"))]);
    builder.apply([Change::Service(service("web", "10.96.0.2"))]);
    let kept = before.services[&service_name("web")].service.as_ref().unwrap();
    assert_eq!(kept.cluster_ips(), ["10.96.0.1".parse::<IpAddr>().unwrap()]);
}

#[test]
fn an_unchanged_service_is_shared_between_snapshots() {
    let mut builder = Builder::new();
    let (before, _) = builder.apply([
        Change::Service(service("web", "10.96.0.1")),
        Change::Service(service("db", "10.96.0.2")),
    ]);
    let (after, _) = builder.apply([Change::Service(service("web", "10.96.0.3"))]);
    let name = service_name("db");
    assert!(Arc::ptr_eq(&before.services[&name], &after.services[&name]));
}

/// What a history leaves in the end, kept in plain maps.
#[derive(Default)]
struct EndState {
    services: BTreeMap<ServiceName, Service>,
    slices: BTreeMap<ObjectName, EndpointSlice>,
    imports: BTreeMap<ServiceName, ServiceImport>,
    namespaces: BTreeMap<Namespace, Labels>,
    nodes: BTreeMap<NodeName, Node>,
    pods: BTreeMap<ObjectName, Pod>,
    service_cidrs: BTreeMap<LocalName, ServiceCidr>,
}

impl EndState {
    fn of(history: &[Change]) -> Self {
        let mut state = Self::default();
        for change in history.iter().cloned() {
            state.add(change);
        }
        state
    }

    fn add(&mut self, change: Change) {
        match change {
            Change::Service(service) => drop(self.services.insert(service.name.clone(), service)),
            Change::ServiceGone(name) => drop(self.services.remove(&name)),
            Change::Slice(slice) => drop(self.slices.insert(slice.name.clone(), slice)),
            Change::SliceGone(name) => drop(self.slices.remove(&name)),
            Change::Import(import) => drop(self.imports.insert(import.name.clone(), import)),
            Change::ImportGone(name) => drop(self.imports.remove(&name)),
            Change::Namespace(name, labels) => drop(self.namespaces.insert(name, labels)),
            Change::NamespaceGone(name) => drop(self.namespaces.remove(&name)),
            Change::Node(node) => drop(self.nodes.insert(node.name.clone(), node)),
            Change::NodeGone(name) => drop(self.nodes.remove(&name)),
            Change::Pod(pod) => drop(self.pods.insert(pod.name.clone(), pod)),
            Change::PodGone(name) => drop(self.pods.remove(&name)),
            Change::ServiceCidr(range) => {
                drop(self.service_cidrs.insert(range.name.clone(), range));
            }
            Change::ServiceCidrGone(name) => drop(self.service_cidrs.remove(&name)),
        }
    }

    /// The state as changes, in the opposite order of arrival that histories tend to have.
    fn into_changes(self) -> Vec<Change> {
        let Self { services, slices, imports, namespaces, nodes, pods, service_cidrs } = self;
        let mut changes: Vec<Change> = pods.into_values().map(Change::Pod).collect();
        changes.extend(service_cidrs.into_values().map(Change::ServiceCidr));
        changes.extend(nodes.into_values().map(Change::Node));
        changes.extend(slices.into_values().map(Change::Slice));
        changes.extend(imports.into_values().map(Change::Import));
        changes.extend(services.into_values().map(Change::Service));
        let namespaces = namespaces.into_iter();
        changes.extend(namespaces.map(|(name, labels)| Change::Namespace(name, labels)));
        changes
    }
}

fn assert_same(left: &Snapshot, right: &Snapshot) {
    assert_eq!(left.services, right.services);
    assert_eq!(left.namespaces, right.namespaces);
    assert_eq!(left.nodes, right.nodes);
    assert_eq!(left.pods, right.pods);
    assert_eq!(left.service_cidrs, right.service_cidrs);
}

/// Keys whose values differ, found by visiting everything.
fn differing<K: Ord + Clone, V: PartialEq>(
    before: &rpds::RedBlackTreeMapSync<K, V>,
    after: &rpds::RedBlackTreeMapSync<K, V>,
) -> BTreeSet<K> {
    let names: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(name) != after.get(name)).cloned().collect()
}

fn full_comparison(before: &Snapshot, after: &Snapshot) -> Delta {
    Delta {
        services: differing(&before.services, &after.services),
        namespaces: differing(&before.namespaces, &after.namespaces),
        nodes: differing(&before.nodes, &after.nodes),
        pods: differing(&before.pods, &after.pods),
        service_cidrs: differing(&before.service_cidrs, &after.service_cidrs),
        imports: before.imports != after.imports,
        label_keys: before.label_keys != after.label_keys,
    }
}

proptest! {
    #[test]
    fn step_by_step_ends_where_the_end_state_at_once_does(history in arbitrary::changes(40)) {
        let at_once = Builder::new().apply(EndState::of(&history).into_changes()).0;
        let mut builder = Builder::new();
        for change in history {
            builder.apply([change]);
        }
        assert_same(&builder.apply([]).0, &at_once);
    }

    #[test]
    fn delta_names_exactly_what_differs(
        batches in proptest::collection::vec(arbitrary::changes(6), 1..8),
    ) {
        let mut builder = Builder::new();
        let mut before = builder.apply([]).0;
        for batch in batches {
            let (after, delta) = builder.apply(batch);
            prop_assert_eq!(&delta, &full_comparison(&before, &after));
            prop_assert_eq!(after.generation, before.generation + u64::from(!delta.is_empty()));
            before = after;
        }
    }

    #[test]
    fn merged_deltas_name_everything_that_differs(
        first in arbitrary::changes(12),
        second in arbitrary::changes(12),
    ) {
        let mut builder = Builder::new();
        let (before, _) = builder.apply(arbitrary_start());
        let (_, mut merged) = builder.apply(first);
        let (after, later) = builder.apply(second);
        merged.merge(later);
        let mut exact = merged.clone();
        exact.retain_differing(&before, &after);
        prop_assert_eq!(exact, full_comparison(&before, &after));
    }

    #[test]
    fn no_entry_is_empty_and_every_slice_stands_under_its_service(
        history in arbitrary::changes(40),
    ) {
        let snapshot = Builder::new().apply(history).0;
        for (name, entry) in &snapshot.services {
            prop_assert!(!entry.is_empty());
            for (slice_name, slice) in &entry.slices {
                prop_assert_eq!(slice.service.as_ref(), Some(name));
                prop_assert_eq!(&slice.name.name, slice_name);
            }
        }
        let imports = snapshot.services.iter().filter_map(|(name, entry)| {
            entry.imported.as_ref().map(|imported| (name, imported))
        });
        for (name, imported) in imports {
            prop_assert!(!imported.is_empty());
            prop_assert!(imported.import.as_ref().is_none_or(|import| import.name == *name));
            for (slice_name, slice) in &imported.slices {
                prop_assert_eq!(slice.origin.as_ref().map(|origin| &origin.service), Some(name));
                prop_assert_eq!(&slice.name.name, slice_name);
            }
        }
        let everything = Delta::everything(&snapshot);
        prop_assert_eq!(everything, full_comparison(&Snapshot::default(), &snapshot));
    }
}

/// A start that the histories of `arbitrary` can touch.
fn arbitrary_start() -> [Change; 2] {
    [Change::Service(service("web", "10.96.0.1")), Change::Slice(slice("web-0", "web", &[]))]
}
