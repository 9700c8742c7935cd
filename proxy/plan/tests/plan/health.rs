//! What load balancers are told of this node.

use std::collections::BTreeMap;

use podway_cluster_model::arbitrary;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::port::Port;
use podway_cluster_model::service::{ProxyOwner, Service, TrafficPolicy};
use podway_cluster_model::snapshot::Delta;
use podway_proxy_plan::health::{HealthCheck, HealthChecks};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{
    here, node_name, not_ready, plain, port, service_name, slice, terminating, there, web_slice,
    web_with,
};

/// A cluster that changes and health checks that follow.
struct Checks {
    builder: Builder,
    checks: HealthChecks,
}

impl Checks {
    fn new() -> Self {
        Self { builder: Builder::new(), checks: HealthChecks::new(node_name("node-1")) }
    }

    /// Applies `changes` and says which ports tell something else, as text.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<String> {
        let (snapshot, delta) = self.builder.apply(changes);
        self.checks
            .update(&snapshot, &delta)
            .into_iter()
            .map(|(port, check)| match check {
                Some(HealthCheck { service, local_endpoints }) => {
                    format!("{port}: {service} {local_endpoints}")
                }
                None => format!("{port}: closed"),
            })
            .collect()
    }
}

/// `default/web` with a health check at 32100.
fn checked() -> Service {
    let mut service = web_with(TrafficPolicy::Cluster, TrafficPolicy::Local);
    service.external.health_check_node_port = Some(port(32_100));
    service
}

#[test]
fn ready_endpoints_of_this_node_are_counted_by_address() {
    for (endpoints, count, why) in [
        (vec![], 0, "none"),
        (vec![here("10.244.1.5"), there("10.244.2.5")], 1, "one of two is here"),
        (vec![here("10.244.1.5"), here("10.244.1.5")], 1, "one address given twice"),
        (vec![terminating(here("10.244.1.5"))], 0, "on its way out, though it gets traffic"),
        (vec![not_ready(here("10.244.1.5")), here("10.244.1.6")], 1, "one is not ready"),
    ] {
        let mut checks = Checks::new();
        let told = checks.apply(vec![Change::Service(checked()), web_slice(endpoints)]);
        assert_eq!(told, [format!("32100: default/web {count}")], "{why}");
    }
}

#[test]
fn pod_with_two_ports_or_two_families_counts_once() {
    let mut two_ports = slice("default/web", "web-1", vec![here("10.244.1.5")]);
    let mut second = two_ports.ports[0].clone();
    second.port = port(9090);
    two_ports.ports.push(second);
    let six = slice("default/web", "web-6", vec![here("fd00:244::5")]);
    let mut checks = Checks::new();
    let told = checks.apply(vec![
        Change::Service(checked()),
        Change::Slice(two_ports),
        Change::Slice(six),
    ]);
    assert_eq!(told, ["32100: default/web 1"]);
}

#[test]
fn port_closes_when_the_service_no_longer_asks() {
    for (change, why) in [
        (Change::ServiceGone(service_name("default/web")), "deleted"),
        (Change::Service(plain("default/web", "10.96.0.10")), "another type"),
        (Change::Service(Service { proxy: ProxyOwner::Other, ..checked() }), "another proxy"),
    ] {
        let mut checks = Checks::new();
        checks.apply(vec![Change::Service(checked())]);
        assert_eq!(checks.apply(vec![change]), ["32100: closed"], "{why}");
    }
}

#[test]
fn port_moves_with_the_service_and_stays_silent_when_nothing_differs() {
    let mut checks = Checks::new();
    checks.apply(vec![Change::Service(checked()), web_slice(vec![here("10.244.1.5")])]);
    assert_eq!(
        checks.apply(vec![web_slice(vec![here("10.244.1.6"), there("10.244.2.5")])]),
        [] as [&str; 0],
        "one other endpoint in place of one"
    );
    let mut moved = checked();
    moved.external.health_check_node_port = Some(port(32_200));
    let told = checks.apply(vec![Change::Service(moved)]);
    assert_eq!(told, ["32100: closed", "32200: default/web 1"]);
}

#[test]
fn older_service_has_a_port_that_two_want() {
    let mut checks = Checks::new();
    let young = Service { created_unix_seconds: Some(200), ..checked() };
    checks.apply(vec![Change::Service(young)]);
    let old =
        Service { name: service_name("default/zoo"), created_unix_seconds: Some(100), ..checked() };
    assert_eq!(checks.apply(vec![Change::Service(old)]), ["32100: default/zoo 0"]);
    let gone = Change::ServiceGone(service_name("default/zoo"));
    assert_eq!(checks.apply(vec![gone]), ["32100: default/web 0"]);
}

proptest! {
    #[test]
    fn step_by_step_comes_to_the_same_as_all_at_once(
        first in arbitrary::cluster(),
        steps in vec(arbitrary::changes(4), 0..12),
    ) {
        let mut builder = Builder::new();
        let mut followed = HealthChecks::new(node_name("node-1"));
        let mut told: BTreeMap<Port, HealthCheck> = BTreeMap::new();
        let mut newest = None;
        for step in std::iter::once(first).chain(steps) {
            let (snapshot, delta) = builder.apply(step);
            for (port, check) in followed.update(&snapshot, &delta) {
                let before = match check.clone() {
                    Some(check) => told.insert(port, check),
                    None => told.remove(&port),
                };
                prop_assert_ne!(before, check, "a port that tells the same was told");
            }
            newest = Some(snapshot);
        }
        let snapshot = newest.unwrap();
        let whole = HealthChecks::new(node_name("node-1"))
            .update(&snapshot, &Delta::everything(&snapshot));
        let whole: BTreeMap<Port, HealthCheck> =
            whole.into_iter().filter_map(|(port, check)| Some((port, check?))).collect();
        prop_assert_eq!(told, whole);
    }
}
