//! Histories of clusters, and questions about them.

use super::*;

/// Names of namespaces, Services, pods and host names: few, so that they meet.
pub(super) const NAMES: [&str; 4] = ["a", "b", "tcp", "10-0-0-1"];

/// Addresses of everything: few, so that they are shared.
pub(super) const ADDRESSES: [&str; 6] =
    ["10.0.0.1", "10.0.0.2", "10.96.0.1", "fd00::1", "fd00:1::", "::ffff:10.0.0.1"];

pub(super) fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

pub(super) fn any_address() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&ADDRESSES[..])
}

/// Names of clusters, one of which is also that of a protocol.
pub(super) fn any_cluster() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["east", "tcp"][..])
}

pub(super) fn any_port() -> impl Strategy<Value = (&'static str, Protocol, u16)> {
    let protocol = prop::sample::select(&Protocol::ALL[..]);
    (prop::sample::select(&["", "http", "dns"][..]), protocol, 1_u16..4)
}

pub(super) fn any_ports() -> impl Strategy<Value = Vec<(&'static str, Protocol, u16)>> {
    prop::collection::vec(any_port(), 0..3)
}

pub(super) fn any_endpoint() -> impl Strategy<Value = Endpoint> {
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

pub(super) fn any_kind() -> impl Strategy<Value = ServiceKind> {
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
pub(super) const LABELS: &[&[(&str, &str)]] = &[&[], &[("team", "x")], &[("team", "y")]];

pub(super) fn any_change() -> impl Strategy<Value = Change> {
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

pub(super) fn any_config() -> impl Strategy<Value = ZoneConfig> {
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

/// Batches of changes; the first makes the namespaces, so that most names exist.
pub(super) fn any_history() -> impl Strategy<Value = Vec<Vec<Change>>> {
    prop::collection::vec(prop::collection::vec(any_change(), 1..12), 1..6).prop_map(
        |mut batches| {
            batches.insert(0, NAMES.map(namespace).to_vec());
            batches
        },
    )
}

/// A label that means something somewhere, or any octets.
pub(super) fn any_label() -> impl Strategy<Value = Vec<u8>> {
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

pub(super) fn any_question() -> impl Strategy<Value = (Name, RecordType)> {
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
