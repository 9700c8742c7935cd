//! The cluster that the rules speak of: one Service of each kind, and some of a size.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::name::{Hostname, Namespace, ObjectName, PortName, ServiceName};
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{
    Affinity, External, ProxyOwner, Service, ServiceKind, ServicePort, TrafficPolicy,
};
use podway_dns_zone::{MissingPointer, ReverseZone, ZoneConfig, ZoneIndex};

/// When the index was made: the serial of SOA records.
pub(crate) const NOW: u64 = 1_700_000_000;

/// Endpoints of `fat` and `six`: more than any message holds.
pub(crate) const MANY: u16 = 5_000;

type PortSpec<'a> = (&'a str, Protocol, u16);

fn service((namespace, name): (&str, &str), kind: ServiceKind, ports: &[PortSpec<'_>]) -> Change {
    let port = |(name, protocol, number): &PortSpec<'_>| ServicePort {
        name: PortName::new(name).unwrap(),
        protocol: *protocol,
        port: Port::new(*number).unwrap(),
        node_port: None,
    };
    Change::Service(Service {
        name: ServiceName::new(namespace, name).unwrap(),
        kind,
        ports: ports.iter().map(port).collect(),
        external: External::default(),
        internal_policy: TrafficPolicy::default(),
        affinity: Affinity::default(),
        spread: Default::default(),
        proxy: ProxyOwner::default(),
        created_unix_seconds: None,
    })
}

fn cluster_ip(name: (&str, &str), addresses: &[&str], ports: &[PortSpec<'_>]) -> Change {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    service(name, ServiceKind::ClusterIp(addresses), ports)
}

fn endpoint(address: IpAddr, hostname: Option<&str>, condition: Condition) -> Endpoint {
    Endpoint {
        address,
        condition,
        hostname: hostname.map(|hostname| Hostname::new(hostname).unwrap()),
        node: None,
        pod: None,
        zone: None,
        hints: Hints::default(),
    }
}

fn ready(address: IpAddr) -> Endpoint {
    endpoint(address, None, Condition::Ready { terminating: false })
}

fn slice(service: &str, suffix: &str, port: PortSpec<'_>, endpoints: Vec<Endpoint>) -> Change {
    let (name, protocol, number) = port;
    Change::Slice(EndpointSlice {
        name: ObjectName::new("default", &format!("{service}-{suffix}")).unwrap(),
        service: ServiceName::new("default", service).unwrap(),
        ports: vec![EndpointPort {
            name: PortName::new(name).unwrap(),
            protocol,
            port: Port::new(number).unwrap(),
        }],
        endpoints,
    })
}

/// A headless Service with one slice.
fn headless(name: &str, port: PortSpec<'_>, endpoints: Vec<Endpoint>) -> [Change; 2] {
    let service = service(("default", name), ServiceKind::Headless, &[port]);
    [service, slice(name, "a", port, endpoints)]
}

fn alias(name: &str, target: &str) -> Change {
    service(("default", name), ServiceKind::ExternalName(target.to_owned()), &[])
}

fn changes() -> Vec<Change> {
    use Protocol::{Tcp, Udp};
    let namespace = |name| Change::Namespace(Namespace::new(name).unwrap());
    let dns = [("dns", Udp, 53), ("dns-tcp", Tcp, 53), ("metrics", Tcp, 9153)];
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let now = Condition::Ready { terminating: false };
    let mut changes = vec![
        namespace("default"),
        namespace("kube-system"),
        cluster_ip(("default", "kubernetes"), &["10.96.0.1"], &[("https", Tcp, 443)]),
        cluster_ip(("kube-system", "kube-dns"), &["10.96.0.10"], &dns),
        cluster_ip(("default", "web"), &["10.96.5.5", "fd00:96::55"], &[("http", Tcp, 80)]),
        cluster_ip(("default", "one"), &["10.96.7.7"], &[("", Tcp, 8080)]),
        cluster_ip(("default", "bare"), &["10.96.8.8"], &[]),
        service(("default", "empty"), ServiceKind::Headless, &[("http", Tcp, 80)]),
        alias("ext", "www.example.com"),
        alias("extin", "web.default.svc.cluster.local"),
        alias("gone", "nosuch.example.com"),
        alias("down", "down.example.com"),
        alias("lost", "nosuch.default.svc.cluster.local"),
        slice("plain", "v6", ("http", Tcp, 80), vec![ready(ip("fd00:244::7"))]),
    ];
    changes.extend(headless(
        "myapp-svc",
        ("web", Tcp, 8080),
        vec![
            endpoint(ip("10.244.1.10"), Some("myapp-0"), now),
            endpoint(ip("10.244.2.11"), Some("myapp-1"), now),
            endpoint(ip("10.244.3.12"), Some("myapp-2"), Condition::NotReady),
        ],
    ));
    let plain = ["10.244.1.20", "10.244.2.21"].map(|address| ready(ip(address)));
    changes.extend(headless("plain", ("http", Tcp, 80), plain.to_vec()));
    let mid = (0..7).map(|index| {
        endpoint(Ipv4Addr::new(10, 244, 9, index).into(), Some(&format!("m-{index}")), now)
    });
    changes.extend(headless("mid", ("p", Tcp, 1), mid.collect()));
    let v4 = |index: u16| Ipv4Addr::from(0x0A80_0000 + u32::from(index));
    changes.extend(headless(
        "fat",
        ("p", Tcp, 1),
        (0..MANY).map(|n| ready(v4(n).into())).collect(),
    ));
    let v6 = |index: u16| Ipv6Addr::new(0xfd00, 0x128, 0, 0, 0, 0, 0, index);
    changes.extend(headless(
        "six",
        ("p", Tcp, 1),
        (0..MANY).map(|n| ready(v6(n).into())).collect(),
    ));
    changes
}

/// The usual configuration: reverse zones that are shared with others.
pub(crate) fn config() -> ZoneConfig {
    ZoneConfig::new("cluster.local").unwrap()
}

/// Reverse zones that are ours alone.
pub(crate) fn strict() -> ZoneConfig {
    let zone = |name| ReverseZone::new(name, MissingPointer::NxDomain).unwrap();
    config().with_reverse_zones([zone("10.in-addr.arpa"), zone("d.f.ip6.arpa")]).unwrap()
}

/// The index of the cluster.
pub(crate) fn index(config: ZoneConfig) -> ZoneIndex {
    ZoneIndex::new(config).rebuild(&Builder::new().apply(changes()).0, NOW)
}
