//! Node ports on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use podway_cluster_model::arbitrary;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::Hints;
use podway_cluster_model::node::Node;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::{Affinity, ProxyOwner, Service, ServiceKind, TrafficPolicy};
use podway_cluster_model::snapshot::Delta;
use podway_proxy_plan::loopback::{LoopbackPorts, Served};
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{Backend, FrontendKey};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{
    here, ip, node, node_name, not_ready, port, service_name, slice, terminating, there, web,
    web_slice, web_with,
};

/// A cluster that changes and ports that follow.
struct Ports {
    builder: Builder,
    ports: LoopbackPorts,
}

impl Ports {
    fn new(changes: Vec<Change>) -> Self {
        let node = NodeView::bare(node_name("node-1"));
        let mut ports = Self { builder: Builder::new(), ports: LoopbackPorts::new(node) };
        ports.apply(changes);
        ports
    }

    /// Applies `changes` and says which ports are served by others, as text.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<String> {
        let (snapshot, delta) = self.builder.apply(changes);
        let changed = self.ports.update(&snapshot, &delta);
        changed
            .iter()
            .map(|(key, served)| format!("{key}: {}", addresses(&served.backends)))
            .collect()
    }

    fn at(&self, address: &str) -> String {
        let key = FrontendKey { address: ip(address), protocol: Protocol::Tcp, port: port(30_080) };
        addresses(&self.ports.at(key).backends)
    }
}

fn addresses(backends: &[Backend]) -> String {
    backends.iter().map(|backend| backend.address.to_string()).collect::<Vec<_>>().join(" ")
}

const HERE: &str = "10.244.1.5";
const THERE: &str = "10.244.2.5";

#[test]
fn external_policy_chooses_the_endpoints() {
    use TrafficPolicy::{Cluster, Local};
    for (policy, endpoints, expected, why) in [
        (Cluster, vec![here(HERE), there(THERE)], "10.244.1.5:8080 10.244.2.5:8080", "all"),
        (Local, vec![here(HERE), there(THERE)], "10.244.1.5:8080", "those of this node"),
        (Local, vec![there(THERE)], "", "no exception for local clients"),
        (Local, vec![terminating(here(HERE)), there(THERE)], "10.244.1.5:8080", "its own fallback"),
        (Cluster, vec![not_ready(here(HERE))], "", "none serves"),
    ] {
        let service = web_with(Cluster, policy);
        let ports = Ports::new(vec![Change::Service(service), web_slice(endpoints)]);
        assert_eq!(ports.at("127.0.0.1"), expected, "{why}");
        assert_eq!(ports.at("::1"), "", "{why}");
    }
}

#[test]
fn affinity_of_the_service_is_told_with_the_endpoints() {
    let mut service = web();
    let (mut builder, node) = (Builder::new(), NodeView::bare(node_name("node-1")));
    let mut ports = LoopbackPorts::new(node);
    let key = FrontendKey { address: ip("127.0.0.1"), protocol: Protocol::Tcp, port: port(30_080) };
    for affinity in [Affinity::None, Affinity::ClientIp { timeout: Duration::from_secs(9) }] {
        service.affinity = affinity;
        let changes = [Change::Service(service.clone()), web_slice(vec![here(HERE)])];
        let (snapshot, delta) = builder.apply(changes);
        let told = ports.update(&snapshot, &delta);
        assert_eq!(told.get(&key).map(|served| served.affinity), Some(affinity));
    }
}

#[test]
fn each_family_with_a_cluster_ip_has_its_own_endpoints() {
    let mut service = web();
    service.kind = ServiceKind::ClusterIp(vec![ip("10.96.0.10"), ip("fd00:96::10")]);
    let six = slice("default/web", "web-6", vec![here("fd00:244::5")]);
    let ports =
        Ports::new(vec![Change::Service(service), web_slice(vec![here(HERE)]), Change::Slice(six)]);
    assert_eq!(ports.at("127.0.0.1"), "10.244.1.5:8080");
    assert_eq!(ports.at("::1"), "[fd00:244::5]:8080");
}

#[test]
fn port_goes_with_the_service_the_node_port_and_the_proxy() {
    let mut bare = web();
    bare.ports[0].node_port = None;
    let mut sctp = web();
    sctp.ports[0].protocol = Protocol::Sctp;
    for (change, why) in [
        (Change::ServiceGone(service_name("default/web")), "deleted"),
        (Change::Service(bare), "no node port"),
        (Change::Service(sctp), "not forwarded"),
        (Change::Service(Service { proxy: ProxyOwner::Other, ..web() }), "another proxy"),
    ] {
        let mut ports = Ports::new(vec![Change::Service(web()), web_slice(vec![here(HERE)])]);
        assert_eq!(ports.apply(vec![change]), ["127.0.0.1:30080/tcp: "], "{why}");
    }
}

#[test]
fn zone_of_the_node_counts_when_it_is_known() {
    let hinted = |address, zone: &str| {
        let mut endpoint = there(address);
        endpoint.hints = Hints::new([Arc::from(zone)].into(), Default::default());
        endpoint
    };
    let endpoints = vec![hinted(HERE, "zone-a"), hinted(THERE, "zone-b")];
    let mut ports = Ports::new(vec![Change::Service(web()), web_slice(endpoints)]);
    assert_eq!(ports.at("127.0.0.1"), "10.244.1.5:8080 10.244.2.5:8080");
    let told = ports.apply(vec![Change::Node(node())]);
    assert_eq!(told, ["127.0.0.1:30080/tcp: 10.244.1.5:8080"]);
    let elsewhere = Node { zone: Some(Arc::from("zone-b")), ..node() };
    let told = ports.apply(vec![Change::Node(elsewhere)]);
    assert_eq!(told, ["127.0.0.1:30080/tcp: 10.244.2.5:8080"]);
}

#[test]
fn older_service_has_a_port_that_two_want() {
    let young = Service { created_unix_seconds: Some(200), ..web() };
    let mut ports = Ports::new(vec![Change::Service(young), web_slice(vec![here(HERE)])]);
    let old =
        Service { name: service_name("default/zoo"), created_unix_seconds: Some(100), ..web() };
    let told = ports.apply(vec![
        Change::Service(old),
        Change::Slice(slice("default/zoo", "zoo-1", vec![there(THERE)])),
    ]);
    assert_eq!(told, ["127.0.0.1:30080/tcp: 10.244.2.5:8080"]);
}

proptest! {
    #[test]
    fn step_by_step_comes_to_the_same_as_all_at_once(
        first in arbitrary::cluster(),
        steps in vec(arbitrary::changes(4), 0..12),
    ) {
        let mut builder = Builder::new();
        let new = || LoopbackPorts::new(NodeView::bare(node_name("node-1")));
        let mut followed = new();
        let mut told: BTreeMap<FrontendKey, Served> = BTreeMap::new();
        let mut newest = None;
        for step in std::iter::once(first).chain(steps) {
            let (snapshot, delta) = builder.apply(step);
            for (key, served) in followed.update(&snapshot, &delta) {
                prop_assert!(told.get(&key) != Some(&served), "{} was told again", key);
                told.insert(key, served);
            }
            newest = Some(snapshot);
        }
        told.retain(|_, served| !served.backends.is_empty());
        let snapshot = newest.unwrap();
        let mut whole = new().update(&snapshot, &Delta::everything(&snapshot));
        whole.retain(|_, served| !served.backends.is_empty());
        prop_assert_eq!(told, whole);
    }
}
