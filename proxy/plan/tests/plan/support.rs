//! A small cluster to plan for, seen from `node-1`.
//!
//! `node-1` is in `zone-a`; pods have addresses in 10.244.0.0/16 and fd00:244::/32, and the Service
//! `default/web` has port 80 named `http`, served at 8080.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::name::{NodeName, ObjectName, PortName, ServiceName};
use podway_cluster_model::node::{Eligibility, Node};
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{
    Affinity, External, LoadBalancerAddress, LoadBalancerMode, ProxyOwner, Service, ServiceKind,
    ServicePort, TrafficPolicy,
};
use podway_cluster_model::snapshot::{Delta, Snapshot};
use podway_proxy_plan::check::check;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::Policy;
use podway_proxy_plan::route::{Packet, Verdict, route};

/// The ClusterIP of `default/web`, with its port.
pub(crate) const CLUSTER_IP: &str = "10.96.0.10:80";
/// Its external address.
pub(crate) const EXTERNAL_IP: &str = "203.0.113.10:80";
/// Its load balancer's address.
pub(crate) const LOAD_BALANCER: &str = "203.0.113.20:80";
/// Its node port at `node-1`.
pub(crate) const NODE_PORT: &str = "192.0.2.1:30080";
/// Every frontend that takes traffic from outside the cluster.
pub(crate) const EXTERNAL: [&str; 3] = [EXTERNAL_IP, LOAD_BALANCER, NODE_PORT];

/// A pod on `node-1`.
pub(crate) const POD_HERE: &str = "10.244.1.99";
/// A pod on `node-2`.
pub(crate) const POD_THERE: &str = "10.244.2.99";
/// `node-1` itself.
pub(crate) const NODE: &str = "192.0.2.1";
/// A client that is neither pod nor this node.
pub(crate) const OUTSIDE: &str = "198.51.100.7";
/// A client of each kind.
pub(crate) const SOURCES: [&str; 4] = [POD_HERE, POD_THERE, NODE, OUTSIDE];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

pub(crate) fn port_name(text: &str) -> PortName {
    PortName::new(text).unwrap()
}

pub(crate) fn service_name(text: &str) -> ServiceName {
    let (namespace, name) = text.split_once('/').unwrap();
    ServiceName::new(namespace, name).unwrap()
}

pub(crate) fn node_name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy {
        cluster_cidrs: nets(&["10.244.0.0/16", "fd00:244::/32"]),
        allow_external_ips: nets(&["203.0.113.0/24"]),
        ..Policy::default()
    }
}

/// `node-1` as the API shows it.
pub(crate) fn node() -> Node {
    Node {
        name: node_name("node-1"),
        addresses: vec![ip("192.0.2.1"), ip("2001:db8:1::1")],
        pod_cidrs: nets(&["10.244.1.0/24"]),
        zone: Some(Arc::from("zone-a")),
        eligibility: Eligibility::Eligible,
    }
}

pub(crate) fn service_port(name: &str, protocol: Protocol, number: u16) -> ServicePort {
    ServicePort { name: port_name(name), protocol, port: port(number), node_port: None }
}

/// A Service with a ClusterIP only.
pub(crate) fn plain(name: &str, cluster_ip: &str) -> Service {
    Service {
        name: service_name(name),
        kind: ServiceKind::ClusterIp(vec![ip(cluster_ip)]),
        ports: vec![service_port("http", Protocol::Tcp, 80)],
        external: External::default(),
        internal_policy: TrafficPolicy::Cluster,
        affinity: Affinity::None,
        spread: Default::default(),
        proxy: ProxyOwner::Podway,
        labels: Default::default(),
        created_unix_seconds: None,
    }
}

/// `default/web` with a frontend of every kind.
pub(crate) fn web() -> Service {
    let mut service = plain("default/web", "10.96.0.10");
    service.ports[0].node_port = Some(port(30080));
    service.external.addresses = vec![ip("203.0.113.10")];
    service.external.load_balancer =
        vec![LoadBalancerAddress { address: ip("203.0.113.20"), mode: LoadBalancerMode::Vip }];
    service
}

/// `default/web` under a policy for each kind of traffic.
pub(crate) fn web_with(internal: TrafficPolicy, external: TrafficPolicy) -> Service {
    let mut service = web();
    service.internal_policy = internal;
    service.external.policy = external;
    service
}

fn endpoint(address: &str, node: &str) -> Endpoint {
    Endpoint {
        address: ip(address),
        condition: Condition::Ready { terminating: false },
        hostname: None,
        node: Some(node_name(node)),
        pod: None,
        zone: None,
        hints: Hints::default(),
    }
}

/// A ready endpoint on `node-1`.
pub(crate) fn here(address: &str) -> Endpoint {
    endpoint(address, "node-1")
}

/// A ready endpoint on `node-2`.
pub(crate) fn there(address: &str) -> Endpoint {
    endpoint(address, "node-2")
}

pub(crate) fn not_ready(endpoint: Endpoint) -> Endpoint {
    Endpoint { condition: Condition::NotReady, ..endpoint }
}

pub(crate) fn terminating(endpoint: Endpoint) -> Endpoint {
    Endpoint { condition: Condition::ServingTerminating, ..endpoint }
}

/// A slice of `service` with port `http` at 8080.
pub(crate) fn slice(service: &str, name: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let service = service_name(service);
    EndpointSlice {
        name: ObjectName::new(service.namespace.as_str(), name).unwrap(),
        service: Some(service),
        origin: None,
        ports: vec![EndpointPort {
            name: port_name("http"),
            protocol: Protocol::Tcp,
            port: port(8080),
        }],
        endpoints: endpoints.into(),
    }
}

/// The one slice of `default/web`.
pub(crate) fn web_slice(endpoints: Vec<Endpoint>) -> Change {
    Change::Slice(slice("default/web", "web-1", endpoints))
}

/// A cluster that changes and a planner that follows.
pub(crate) struct World {
    pub(crate) builder: Builder,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) planner: Planner,
}

impl World {
    /// A cluster with `node-1` and what `changes` make.
    pub(crate) fn new(policy: Policy, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut builder = Builder::new();
        let changes = std::iter::once(Change::Node(node())).chain(changes);
        let (snapshot, _) = builder.apply(changes);
        let mut planner = Planner::new(policy, NodeView::bare(node_name("node-1")));
        planner.update(&snapshot, &Delta::everything(&snapshot));
        let world = Self { builder, snapshot, planner };
        world.check();
        world
    }

    /// `default/web` as `service`, with these endpoints.
    pub(crate) fn web(service: Service, endpoints: Vec<Endpoint>) -> Self {
        Self::new(policy(), [Change::Service(service), web_slice(endpoints)])
    }

    /// Applies `changes` and has the planner follow.
    pub(crate) fn apply(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
    ) -> podway_proxy_plan::planner::Changes {
        let (snapshot, delta) = self.builder.apply(changes);
        self.snapshot = snapshot;
        let changes = self.planner.update(&self.snapshot, &delta);
        self.check();
        changes
    }

    /// Fails unless the plan is well-formed.
    pub(crate) fn check(&self) {
        assert_eq!(check(&self.planner, &self.snapshot), [], "{}", self.planner);
    }

    /// What happens to a TCP connection, as text: the targets, each with `!` when masqueraded.
    pub(crate) fn tcp(&self, source: &str, destination: &str) -> String {
        self.send(Protocol::Tcp, source, destination)
    }

    /// What happens to the first packet of a flow, as [`World::tcp`] says it.
    pub(crate) fn send(&self, protocol: Protocol, source: &str, destination: &str) -> String {
        let destination: std::net::SocketAddr = destination.parse().unwrap();
        let packet = Packet {
            source: ip(source),
            destination: destination.ip(),
            protocol,
            port: port(destination.port()),
            interface: None,
        };
        match route(&self.planner, &packet) {
            Verdict::Untouched => "untouched".to_owned(),
            Verdict::Reject => "reject".to_owned(),
            Verdict::Drop => "drop".to_owned(),
            Verdict::Dnat(targets) => targets
                .iter()
                .map(|target| {
                    let mark = if target.masquerade { "!" } else { "" };
                    format!("{}{mark}", target.backend.address)
                })
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}
