//! The zone of every test.
#![allow(dead_code, clippy::unwrap_used, reason = "not every test file uses every helper")]

use std::net::{IpAddr, Ipv4Addr};

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::name::{Hostname, Namespace, ObjectName, PortName, ServiceName};
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{
    Affinity, External, ProxyOwner, Service, ServiceKind, ServicePort, TrafficPolicy,
};
use podway_dns_zone::{ZoneConfig, ZoneIndex};

/// Endpoints of the Service `big`.
pub(crate) const BIG: u16 = 2000;

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: PortName::new(name).unwrap(),
        protocol: Protocol::Tcp,
        port: Port::new(number).unwrap(),
        node_port: None,
    }
}

fn service(name: &str, kind: ServiceKind) -> Change {
    Change::Service(Service {
        name: ServiceName::new("default", name).unwrap(),
        kind,
        ports: vec![port("http", 80)],
        external: External::default(),
        internal_policy: TrafficPolicy::default(),
        affinity: Affinity::default(),
        spread: Default::default(),
        proxy: ProxyOwner::default(),
        created_unix_seconds: None,
    })
}

fn alias(name: &str, target: &str) -> Change {
    service(name, ServiceKind::ExternalName(target.to_owned()))
}

fn slice(service: &str, endpoints: impl IntoIterator<Item = (IpAddr, Option<String>)>) -> Change {
    let endpoint = |(address, hostname): (IpAddr, Option<String>)| Endpoint {
        address,
        condition: Condition::Ready { terminating: false },
        hostname: hostname.map(|hostname| Hostname::new(&hostname).unwrap()),
        node: None,
        pod: None,
        zone: None,
        hints: Hints::default(),
    };
    Change::Slice(EndpointSlice {
        name: ObjectName::new("default", &format!("{service}-1")).unwrap(),
        service: ServiceName::new("default", service).unwrap(),
        ports: vec![EndpointPort {
            name: PortName::new("http").unwrap(),
            protocol: Protocol::Tcp,
            port: Port::new(8080).unwrap(),
        }],
        endpoints: endpoints.into_iter().map(endpoint).collect(),
    })
}

/// Address of an endpoint of `big`.
pub(crate) fn big_address(index: u16) -> Ipv4Addr {
    let [high, low] = index.to_be_bytes();
    Ipv4Addr::new(10, 244, high, low)
}

/// The objects of every test.
fn changes() -> Vec<Change> {
    let web = ["10.96.5.5".parse().unwrap(), "fd00:96::55".parse().unwrap()];
    let big = (0..BIG).map(|index| (big_address(index).into(), None));
    let few = (0..12).map(|index| (big_address(index).into(), Some(format!("few-{index}"))));
    let mut changes = vec![
        Change::Namespace(Namespace::new("default").unwrap()),
        service("web", ServiceKind::ClusterIp(web.to_vec())),
        service("big", ServiceKind::Headless),
        slice("big", big),
        service("few", ServiceKind::Headless),
        slice("few", few),
        alias("ext", "www.example.com"),
        alias("inside", "web.default.svc.cluster.local"),
        alias("missing", "nowhere.default.svc.cluster.local"),
        alias("far", "inside.default.svc.cluster.local"),
        alias("stub", "db.acme.local"),
        alias("self", "self.default.svc.cluster.local"),
        alias("ping", "pong.default.svc.cluster.local"),
        alias("pong", "ping.default.svc.cluster.local"),
    ];
    changes.extend((0..12).map(|step| {
        alias(&format!("step-{step}"), &format!("step-{}.default.svc.cluster.local", step + 1))
    }));
    changes
}

/// An index that knows nothing yet.
pub(crate) fn unsynced() -> ZoneIndex {
    ZoneIndex::new(ZoneConfig::new("cluster.local").unwrap())
}

/// The index of every test.
pub(crate) fn zone() -> ZoneIndex {
    unsynced().rebuild(&Builder::new().apply(changes()).0, 1_700_000_000)
}

/// The same objects with another configuration.
pub(crate) fn index(config: ZoneConfig) -> ZoneIndex {
    ZoneIndex::new(config).rebuild(&Builder::new().apply(changes()).0, 1_700_000_000)
}

/// The index with `web` at another address.
pub(crate) fn changed_zone(address: &str) -> ZoneIndex {
    let moved = service("web", ServiceKind::ClusterIp(vec![address.parse().unwrap()]));
    let changes = changes().into_iter().chain([moved]);
    unsynced().rebuild(&Builder::new().apply(changes).0, 1_700_000_001)
}
