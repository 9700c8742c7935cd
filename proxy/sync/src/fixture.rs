//! A small cluster for tests: Services that share nothing, with as many endpoints as wanted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::name::{NodeName, ObjectName, PortName, ServiceName};
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{
    Affinity, External, ProxyOwner, Service, ServiceKind, ServicePort, TrafficPolicy,
};
use podway_cluster_watch::publish::Publisher;
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::Policy;

use crate::engine::Engine;

/// Which families a Service has an address of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    V4,
    Dual,
}

/// An engine that has seen nothing.
pub(crate) fn engine() -> Engine {
    engine_with(Policy::default())
}

/// An engine of an operator's choice that has seen nothing.
pub(crate) fn engine_with(policy: Policy) -> Engine {
    let node = NodeView::bare(NodeName::new("node-a").unwrap());
    let options = Options::new(&policy, 14);
    Engine::new(Planner::new(policy, node), Program::new(options))
}

/// Publishes what the builder made of `changes`.
pub(crate) fn publish(publisher: &Publisher, builder: &mut Builder, changes: Vec<Change>) {
    let (snapshot, delta) = builder.apply(changes);
    publisher.publish(&snapshot, &delta, Instant::now());
}

/// Service `number` with one port.
pub(crate) fn service(number: u8, stack: Stack) -> Change {
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 96, 0, number));
    let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, number.into()));
    let addresses = match stack {
        Stack::V4 => vec![v4],
        Stack::Dual => vec![v4, v6],
    };
    Change::Service(Service {
        name: name(number),
        kind: ServiceKind::ClusterIp(addresses),
        ports: vec![ServicePort {
            name: PortName::new("").unwrap(),
            protocol: Protocol::Tcp,
            port: Port::new(80).unwrap(),
            node_port: None,
        }],
        external: External::default(),
        internal_policy: TrafficPolicy::Cluster,
        affinity: Affinity::None,
        spread: Default::default(),
        proxy: ProxyOwner::Podway,
        labels: Default::default(),
        created_unix_seconds: None,
    })
}

/// The IPv4 slice of Service `number`, with `endpoints` ready endpoints.
pub(crate) fn slice(number: u8, endpoints: u8) -> Change {
    let endpoint = |host| Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(10, 244, number, host)),
        condition: Condition::Ready { terminating: false },
        hostname: None,
        node: None,
        pod: None,
        zone: None,
        hints: Hints::default(),
    };
    Change::Slice(EndpointSlice {
        name: ObjectName::new("shop", &format!("web-{number}-v4")).unwrap(),
        service: Some(name(number)),
        origin: None,
        ports: vec![EndpointPort {
            name: PortName::new("").unwrap(),
            protocol: Protocol::Tcp,
            port: Port::new(8080).unwrap(),
        }],
        endpoints: (1..=endpoints).map(endpoint).collect(),
    })
}

/// The name of Service `number`.
pub(crate) fn name(number: u8) -> ServiceName {
    ServiceName::new("shop", &format!("web-{number}")).unwrap()
}

/// The same Service or slice with its port for UDP.
pub(crate) fn udp(mut change: Change) -> Change {
    if let Change::Service(service) = &mut change {
        service.ports[0].protocol = Protocol::Udp;
    }
    if let Change::Slice(slice) = &mut change {
        slice.ports[0].protocol = Protocol::Udp;
    }
    change
}
