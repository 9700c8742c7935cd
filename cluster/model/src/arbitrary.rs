//! Strategies for property tests: objects that are valid by construction and shrink to simple ones.
//!
//! Names, nodes, zones and endpoint addresses come from small pools, so that objects meet: slices
//! find their Service, one address stands in two slices, two Services now and then claim one address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::builder::{Builder, Change};
use crate::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use crate::import::{ImportKind, ServiceImport, SliceOrigin};
use crate::label::Labels;
use crate::name::{
    Hostname, LocalName, NameError, Namespace, NodeName, ObjectName, PortName, ServiceName,
};
use crate::node::{Eligibility, Node, Pod, Sockets};
use crate::port::{Port, Protocol};
use crate::service::Service;
use crate::service_cidr::ServiceCidr;
use crate::snapshot::Snapshot;

mod service;

pub use service::{cluster_ip_service, external_name_service, headless_service, service};

const NAMESPACES: &[&str] = &["default", "shop", "kube-system"];
const SERVICES: &[&str] = &["web", "db", "myapp-svc", "kube-dns"];
const LOCAL_NAMES: &[&str] = &["web-0", "web-1", "web-x7k2p", "db-0", "db.primary"];
const HOSTNAMES: &[&str] = &["web-0", "web-1", "db-0"];
const PORT_NAMES: &[&str] = &["http", "", "https", "dns-tcp"];
const NODES: &[&str] = &["node-1", "node-2", "node-3.example.com"];
const ZONES: &[&str] = &["zone-a", "zone-b"];
const LABEL_KEYS: &[&str] = &["team", "example.com/tier"];
const LABEL_VALUES: &[&str] = &["dns", "shop", ""];
const CLUSTERS: &[&str] = &["east", "west"];
const SERVICE_CIDRS: &[&str] = &["kubernetes", "more"];
const ALIASES: &[&str] = &["www.example.com", "web.default.svc.cluster.local", "db"];

/// Address family of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// A name of `texts`, which all are names of the kind that `make` checks.
fn name_of<T: std::fmt::Debug>(
    texts: &'static [&'static str],
    make: fn(&str) -> Result<T, NameError>,
) -> impl Strategy<Value = T> {
    select(texts).prop_filter_map("text is a name", move |text| make(text).ok())
}

/// The name of a Namespace.
pub fn namespace() -> impl Strategy<Value = Namespace> {
    name_of(NAMESPACES, Namespace::new)
}

/// The name of a Node.
pub fn node_name() -> impl Strategy<Value = NodeName> {
    name_of(NODES, NodeName::new)
}

/// The name of a port, the empty one included.
pub fn port_name() -> impl Strategy<Value = PortName> {
    name_of(PORT_NAMES, PortName::new)
}

/// The host name of a pod.
pub fn hostname() -> impl Strategy<Value = Hostname> {
    name_of(HOSTNAMES, Hostname::new)
}

/// The name of a Service.
pub fn service_name() -> impl Strategy<Value = ServiceName> {
    (namespace(), name_of(SERVICES, Hostname::new))
        .prop_map(|(namespace, name)| ServiceName { namespace, name })
}

/// The name of a slice or Pod.
pub fn object_name() -> impl Strategy<Value = ObjectName> {
    (namespace(), name_of(LOCAL_NAMES, LocalName::new))
        .prop_map(|(namespace, name)| ObjectName { namespace, name })
}

/// A port number.
pub fn port() -> impl Strategy<Value = Port> {
    prop_oneof![select(&[80, 443, 53, 8080][..]), 1..=u16::MAX]
        .prop_filter_map("not zero", Port::new)
}

/// A transport protocol.
pub fn protocol() -> impl Strategy<Value = Protocol> {
    select(&Protocol::ALL[..])
}

/// A ClusterIP of family IPv4; a few of them are likely to be drawn twice.
pub fn cluster_ip_v4() -> impl Strategy<Value = IpAddr> {
    let shared = (1..=3_u8).prop_map(|last| (0, last));
    let own = (1..=u8::MAX, any::<u8>());
    prop_oneof![1 => shared, 7 => own]
        .prop_map(|(third, last)| IpAddr::V4(Ipv4Addr::new(10, 96, third, last)))
}

/// A ClusterIP of family IPv6; a few of them are likely to be drawn twice.
pub fn cluster_ip_v6() -> impl Strategy<Value = IpAddr> {
    prop_oneof![1 => 1..=3_u16, 7 => 4..=u16::MAX]
        .prop_map(|last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, last)))
}

/// The address of a pod.
fn pod_ip(family: Family) -> impl Strategy<Value = IpAddr> {
    (0..3_u8, 1..=12_u8).prop_map(move |(node, last)| match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 244, node, last)),
        Family::V6 => {
            let (node, last) = (u16::from(node), u16::from(last));
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0x244, 0, node, 0, 0, 0, last))
        }
    })
}

/// An address outside the cluster, of either family.
pub fn outside_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (1..=u8::MAX).prop_map(|last| IpAddr::V4(Ipv4Addr::new(203, 0, 113, last))),
        (1..=u16::MAX)
            .prop_map(|last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))),
    ]
}

/// A slice of either family for any Service, with ports that may or may not be the Service's.
pub fn slice() -> impl Strategy<Value = EndpointSlice> {
    let port = (port_name(), protocol(), port()).prop_map(|(name, protocol, port)| EndpointPort {
        name,
        protocol,
        port,
    });
    (service_name(), vec(port, 0..3)).prop_flat_map(|(service, ports)| slice_for(service, ports))
}

/// A slice of `service` that serves its ports, at numbers of its own.
pub fn slice_of(service: &Service) -> impl Strategy<Value = EndpointSlice> + use<> {
    let name = service.name.clone();
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|of_service| {
            let (name, protocol) = (of_service.name.clone(), of_service.protocol);
            port().prop_map(move |port| EndpointPort { name: name.clone(), protocol, port })
        })
        .collect();
    ports.prop_flat_map(move |ports| slice_for(name.clone(), ports))
}

/// A slice with these ports.
fn slice_for(
    service: ServiceName,
    ports: Vec<EndpointPort>,
) -> impl Strategy<Value = EndpointSlice> {
    let family = select(&[Family::V4, Family::V6][..]);
    let endpoints = family.prop_flat_map(|family| vec(endpoint(family), 0..6));
    (name_of(LOCAL_NAMES, LocalName::new), endpoints).prop_map(move |(name, endpoints)| {
        EndpointSlice {
            name: ObjectName { namespace: service.namespace.clone(), name },
            service: Some(service.clone()),
            origin: None,
            ports: ports.clone(),
            endpoints: endpoints.into(),
        }
    })
}

fn endpoint(family: Family) -> impl Strategy<Value = Endpoint> {
    let hostname = option::weighted(0.3, hostname());
    let pod = option::weighted(0.7, name_of(LOCAL_NAMES, LocalName::new));
    let node = option::weighted(0.8, node_name());
    (pod_ip(family), condition(), hostname, node, pod, option::of(zone()), hints()).prop_map(
        |(address, condition, hostname, node, pod, zone, hints)| Endpoint {
            address,
            condition,
            hostname,
            node,
            pod,
            zone,
            hints,
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        4 => Just(Condition::Ready { terminating: false }),
        1 => Just(Condition::Ready { terminating: true }),
        1 => Just(Condition::ServingTerminating),
        1 => Just(Condition::NotReady),
    ]
}

fn zone() -> impl Strategy<Value = Arc<str>> {
    select(ZONES).prop_map(Arc::from)
}

fn hints() -> impl Strategy<Value = Hints> {
    let full = (btree_set(zone(), 0..=2), btree_set(node_name(), 0..=2))
        .prop_map(|(zones, nodes)| Hints::new(zones, nodes));
    prop_oneof![Just(Hints::default()), full]
}

/// A Node.
pub fn node() -> impl Strategy<Value = Node> {
    let v4 = (1..=3_u8).prop_map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    let v6 =
        (1..=3_u16).prop_map(|last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last)));
    let addresses =
        (v4, option::of(v6)).prop_map(|(v4, v6)| std::iter::once(v4).chain(v6).collect());
    let pod_cidr = (0..3_u8).prop_filter_map("length fits", |node| {
        IpNet::new(IpAddr::V4(Ipv4Addr::new(10, 244, node, 0)), 24).ok()
    });
    let eligibility = select(&[Eligibility::Eligible, Eligibility::Leaving][..]);
    (node_name(), addresses, vec(pod_cidr, 0..=1), option::of(zone()), eligibility).prop_map(
        |(name, addresses, pod_cidrs, zone, eligibility)| Node {
            name,
            addresses,
            pod_cidrs,
            zone,
            eligibility,
        },
    )
}

/// A Pod.
pub fn pod() -> impl Strategy<Value = Pod> {
    let addresses = (option::weighted(0.8, pod_ip(Family::V4)), option::of(pod_ip(Family::V6)))
        .prop_map(|(v4, v6)| v4.into_iter().chain(v6).collect());
    (object_name(), option::of(node_name()), addresses, any::<bool>(), labels()).prop_map(
        |(name, node, addresses, host_network, labels)| Pod {
            name,
            node,
            addresses,
            host_network,
            sockets: Sockets::default(),
            labels,
        },
    )
}

/// Labels of few keys and values.
pub fn labels() -> impl Strategy<Value = Labels> {
    let text = |texts| select(texts).prop_map(Arc::<str>::from);
    let full = btree_map(text(LABEL_KEYS), text(LABEL_VALUES), 1..=2).prop_map(Labels::from);
    prop_oneof![2 => Just(Labels::default()), 1 => full]
}

/// A `ServiceImport` of either kind.
pub fn service_import() -> impl Strategy<Value = ServiceImport> {
    let addresses = vec(cluster_ip_v4(), 0..=1).prop_map(ImportKind::ClusterSetIp);
    let kind = prop_oneof![addresses, Just(ImportKind::Headless)];
    let port = (port_name(), protocol(), port()).prop_map(|(name, protocol, port)| EndpointPort {
        name,
        protocol,
        port,
    });
    (service_name(), kind, vec(port, 0..=2), labels())
        .prop_map(|(name, kind, ports, labels)| ServiceImport { name, kind, ports, labels })
}

/// A slice that was imported; it may serve a Service of this cluster too.
pub fn imported_slice() -> impl Strategy<Value = EndpointSlice> {
    let cluster = name_of(CLUSTERS, Hostname::new);
    (slice(), cluster, name_of(SERVICES, Hostname::new), any::<bool>()).prop_map(
        |(slice, cluster, name, serves)| {
            let service = ServiceName { namespace: slice.name.namespace.clone(), name };
            let origin = Some(Arc::new(SliceOrigin { service, cluster }));
            EndpointSlice { service: slice.service.filter(|_| serves), origin, ..slice }
        },
    )
}

/// A Namespace that exists.
fn namespace_object() -> impl Strategy<Value = Change> {
    (namespace(), labels()).prop_map(|(name, labels)| Change::Namespace(name, labels))
}

/// A `ServiceCIDR`.
pub fn service_cidr() -> impl Strategy<Value = ServiceCidr> {
    let cidr = (96..=98_u8).prop_filter_map("length fits", |second| {
        IpNet::new(IpAddr::V4(Ipv4Addr::new(10, second, 0, 0)), 16).ok()
    });
    (name_of(SERVICE_CIDRS, LocalName::new), vec(cidr, 1..=1))
        .prop_map(|(name, cidrs)| ServiceCidr { name, cidrs })
}

/// Any change. Slices of one name may move between Services, and objects may go that never came.
pub fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => service().prop_map(Change::Service),
        2 => service_name().prop_map(Change::ServiceGone),
        8 => slice().prop_map(Change::Slice),
        3 => object_name().prop_map(Change::SliceGone),
        2 => service_import().prop_map(Change::Import),
        1 => service_name().prop_map(Change::ImportGone),
        2 => imported_slice().prop_map(Change::Slice),
        1 => namespace_object(),
        1 => namespace().prop_map(Change::NamespaceGone),
        2 => node().prop_map(Change::Node),
        1 => node_name().prop_map(Change::NodeGone),
        2 => pod().prop_map(Change::Pod),
        1 => object_name().prop_map(Change::PodGone),
        1 => service_cidr().prop_map(Change::ServiceCidr),
        1 => name_of(SERVICE_CIDRS, LocalName::new).prop_map(Change::ServiceCidrGone),
    ]
}

/// A history of up to `most` changes.
pub fn changes(most: usize) -> impl Strategy<Value = Vec<Change>> {
    vec(change(), 0..=most)
}

/// A Service of any kind with up to three slices that serve its ports.
pub fn service_with_slices() -> impl Strategy<Value = (Service, Vec<EndpointSlice>)> {
    service().prop_flat_map(|service| {
        let slices = vec(slice_of(&service), 0..=3);
        (Just(service), slices)
    })
}

/// What brings a cluster into being whose Services mostly have endpoints.
pub fn cluster() -> impl Strategy<Value = Vec<Change>> {
    let services = vec(service_with_slices(), 0..6).prop_map(|services| {
        services
            .into_iter()
            .flat_map(|(service, slices)| {
                std::iter::once(Change::Service(service))
                    .chain(slices.into_iter().map(Change::Slice))
            })
            .collect::<Vec<_>>()
    });
    let namespaces = vec(namespace_object(), 0..=3);
    let nodes = vec(node().prop_map(Change::Node), 0..=3);
    let pods = vec(pod().prop_map(Change::Pod), 0..=4);
    (namespaces, nodes, services, pods).prop_map(|(namespaces, nodes, services, pods)| {
        [namespaces, nodes, services, pods].concat()
    })
}

/// The snapshot of a cluster as [`cluster`] makes it.
pub fn snapshot() -> impl Strategy<Value = Arc<Snapshot>> {
    cluster().prop_map(|changes| Builder::new().apply(changes).0)
}
