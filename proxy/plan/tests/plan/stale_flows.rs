//! Which tracked flows are stale after a change.

use std::collections::BTreeSet;
use std::sync::Arc;

use podway_cluster_model::builder::Change;
use podway_cluster_model::endpoint::{Endpoint, EndpointSlice};
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::{Service, TrafficPolicy};
use podway_proxy_plan::plan::FrontendKey;
use podway_proxy_plan::policy::{DeadTcp, Policy};
use podway_proxy_plan::stale_flows::{self, Flow, Permitted, suspects};

use crate::support::{
    World, here, ip, not_ready, plain, policy, port, service_name, service_port, slice,
    terminating, there, web,
};

const ONE: &str = "10.244.1.5";
const TWO: &str = "10.244.2.5";

/// `default/web` with one port of `protocol`.
fn with_protocol(protocol: Protocol) -> Service {
    let mut service = web();
    service.ports[0].protocol = protocol;
    service
}

fn slice_of(protocol: Protocol, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut slice = slice("default/web", "web-1", endpoints);
    slice.ports[0].protocol = protocol;
    slice
}

fn world(protocol: Protocol, endpoints: Vec<Endpoint>) -> World {
    let slice = Change::Slice(slice_of(protocol, endpoints));
    World::new(policy(), [Change::Service(with_protocol(protocol)), slice])
}

/// Applies `changes` and gives the suspects as text.
fn suspects_of(world: &mut World, changes: Vec<Change>) -> Vec<String> {
    let before = Arc::clone(&world.snapshot);
    let (after, delta) = world.builder.apply(changes);
    let changes = world.planner.update(&after, &delta);
    world.snapshot = after;
    let change = stale_flows::Change {
        before: &before,
        after: &world.snapshot,
        delta: &delta,
        changes: &changes,
        planner: &world.planner,
    };
    suspects(change).iter().map(ToString::to_string).collect()
}

fn key(text: &str, protocol: Protocol) -> FrontendKey {
    let address: std::net::SocketAddr = text.parse().unwrap();
    FrontendKey { address: address.ip(), protocol, port: port(address.port()) }
}

/// Whether a flow to `destination` that `answerer` answers is stale in the newest state.
fn is_stale(world: &World, protocol: Protocol, destination: &str, answerer: &str) -> bool {
    let destination = key(destination, protocol);
    let permitted = Permitted::at([destination], &world.planner, &world.snapshot);
    permitted.forbids(&Flow { destination, answerer: answerer.parse().unwrap() })
}

const ALL_UDP: [&str; 4] =
    ["10.96.0.10:80/udp", "192.0.2.1:30080/udp", "203.0.113.10:80/udp", "203.0.113.20:80/udp"];

#[test]
fn udp_flow_of_an_endpoint_that_goes_is_stale_at_every_frontend() {
    for protocol in [Protocol::Udp, Protocol::Sctp] {
        let mut world = world(protocol, vec![here(ONE), there(TWO)]);
        let gone = Change::Slice(slice_of(protocol, vec![there(TWO)]));
        let found = suspects_of(&mut world, vec![gone]);
        assert_eq!(found, ALL_UDP.map(|key| key.replace("udp", protocol.name())));
        for frontend in ["10.96.0.10:80", "192.0.2.1:30080"] {
            assert!(is_stale(&world, protocol, frontend, "10.244.1.5:8080"));
            assert!(!is_stale(&world, protocol, frontend, "10.244.2.5:8080"));
        }
    }
}

#[test]
fn endpoint_that_serves_on_its_way_out_keeps_its_flows() {
    let mut world = world(Protocol::Udp, vec![here(ONE), there(TWO)]);
    let leaving = slice_of(Protocol::Udp, vec![terminating(here(ONE)), there(TWO)]);
    let found = suspects_of(&mut world, vec![Change::Slice(leaving)]);
    assert_eq!(found, [] as [&str; 0]);
    assert!(!is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.1.5:8080"));

    let failed = slice_of(Protocol::Udp, vec![not_ready(here(ONE)), there(TWO)]);
    let found = suspects_of(&mut world, vec![Change::Slice(failed)]);
    assert_eq!(found, ALL_UDP);
    assert!(is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.1.5:8080"));
}

#[test]
fn endpoint_that_a_policy_keeps_from_this_node_keeps_its_flows() {
    let mut world = world(Protocol::Udp, vec![here(ONE), there(TWO)]);
    let mut local = with_protocol(Protocol::Udp);
    local.internal_policy = TrafficPolicy::Local;
    local.external.policy = TrafficPolicy::Local;
    let found = suspects_of(&mut world, vec![Change::Service(local)]);
    assert_eq!(found, [] as [&str; 0]);
    assert!(!is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.2.5:8080"));
}

#[test]
fn first_endpoint_frees_flows_that_nobody_answered() {
    let mut world = world(Protocol::Udp, vec![not_ready(here(ONE))]);
    let ready = Change::Slice(slice_of(Protocol::Udp, vec![here(ONE)]));
    assert_eq!(suspects_of(&mut world, vec![ready]), ALL_UDP);
    assert!(is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.96.0.10:80"));
    assert!(!is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.1.5:8080"));

    // One more endpoint makes nothing stale.
    let more = Change::Slice(slice_of(Protocol::Udp, vec![here(ONE), there(TWO)]));
    assert_eq!(suspects_of(&mut world, vec![more]), [] as [&str; 0]);
}

#[test]
fn service_without_endpoints_keeps_no_flow() {
    let mut world = world(Protocol::Udp, vec![here(ONE)]);
    let empty = Change::Slice(slice_of(Protocol::Udp, vec![]));
    assert_eq!(suspects_of(&mut world, vec![empty]), ALL_UDP);
    assert!(is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.1.5:8080"));
}

#[test]
fn deleted_service_keeps_only_what_was_never_translated() {
    let mut world = world(Protocol::Udp, vec![here(ONE)]);
    let gone = Change::ServiceGone(service_name("default/web"));
    assert_eq!(suspects_of(&mut world, vec![gone]), ALL_UDP);
    assert!(is_stale(&world, Protocol::Udp, "192.0.2.1:30080", "10.244.1.5:8080"));
    assert!(!is_stale(&world, Protocol::Udp, "192.0.2.1:30080", "192.0.2.1:30080"));
}

#[test]
fn frontend_that_another_service_takes_over_keeps_the_flows_of_the_new_one() {
    let mut world = world(Protocol::Udp, vec![here(ONE)]);
    let mut heir = plain("default/zoo", "10.96.0.10");
    heir.ports = vec![service_port("http", Protocol::Udp, 80)];
    let mut backends = slice("default/zoo", "zoo-1", vec![there(TWO)]);
    backends.ports[0].protocol = Protocol::Udp;
    world.apply([Change::Service(heir), Change::Slice(backends)]);
    let gone = Change::ServiceGone(service_name("default/web"));
    suspects_of(&mut world, vec![gone]);
    assert!(is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.1.5:8080"));
    assert!(!is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.2.5:8080"));
}

#[test]
fn endpoint_that_moves_to_another_port_leaves_its_flows() {
    let mut world = world(Protocol::Udp, vec![here(ONE)]);
    let mut moved = slice_of(Protocol::Udp, vec![here(ONE)]);
    moved.ports[0].port = port(9090);
    assert_eq!(suspects_of(&mut world, vec![Change::Slice(moved)]), ALL_UDP);
    assert!(is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.1.5:8080"));
    assert!(!is_stale(&world, Protocol::Udp, "10.96.0.10:80", "10.244.1.5:9090"));
}

#[test]
fn tcp_is_left_alone_unless_asked_and_then_only_for_endpoints_that_are_gone() {
    let gone = || vec![Change::Slice(slice_of(Protocol::Tcp, vec![there(TWO)]))];
    let failed =
        || vec![Change::Slice(slice_of(Protocol::Tcp, vec![not_ready(here(ONE)), there(TWO)]))];
    let world = |dead_tcp| {
        let endpoints = vec![here(ONE), there(TWO)];
        let slice = Change::Slice(slice_of(Protocol::Tcp, endpoints));
        let service = Change::Service(with_protocol(Protocol::Tcp));
        World::new(Policy { dead_tcp, ..policy() }, [service, slice])
    };
    assert_eq!(suspects_of(&mut world(DeadTcp::Keep), gone()), [] as [&str; 0]);
    assert_eq!(suspects_of(&mut world(DeadTcp::Reset), failed()), [] as [&str; 0]);

    let mut world = world(DeadTcp::Reset);
    let found = suspects_of(&mut world, gone());
    assert_eq!(found, ALL_UDP.map(|key| key.replace("udp", "tcp")));
    assert!(is_stale(&world, Protocol::Tcp, "10.96.0.10:80", "10.244.1.5:8080"));
    assert!(!is_stale(&world, Protocol::Tcp, "10.96.0.10:80", "10.244.2.5:8080"));
    // A connection to whoever has the address itself is none of ours.
    assert!(!is_stale(&world, Protocol::Tcp, "192.0.2.1:30080", "192.0.2.1:30080"));
    world.apply([Change::ServiceGone(service_name("default/web"))]);
    assert!(!is_stale(&world, Protocol::Tcp, "10.96.0.10:80", "10.244.2.5:8080"));
}

#[test]
fn services_that_did_not_change_are_not_suspected() {
    let mut other = plain("default/other", "10.96.0.11");
    other.ports = vec![service_port("http", Protocol::Udp, 80)];
    let mut world = World::new(
        Policy::default(),
        [
            Change::Service(with_protocol(Protocol::Udp)),
            Change::Slice(slice_of(Protocol::Udp, vec![here(ONE)])),
            Change::Service(other),
        ],
    );
    let gone = Change::Slice(slice_of(Protocol::Udp, vec![]));
    let found: BTreeSet<String> = suspects_of(&mut world, vec![gone]).into_iter().collect();
    assert!(found.contains("10.96.0.10:80/udp"));
    assert!(!found.iter().any(|key| key.starts_with("10.96.0.11")), "{found:?}");
    // A flow that nobody suspects is never stale.
    let permitted =
        Permitted::at([key("10.96.0.10:80", Protocol::Udp)], &world.planner, &world.snapshot);
    let flow = Flow {
        destination: key("10.96.0.11:80", Protocol::Udp),
        answerer: std::net::SocketAddr::new(ip(ONE), 8080),
    };
    assert!(!permitted.forbids(&flow));
}
