//! How clients are spread by weight and by hash, counted with packets of thousands of clients.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use podway_cluster_model::builder::Change;
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{Choice, Service, Spread};
use podway_proxy_plan::route::Packet;
use podway_tests_netns::isolated;
use podway_tests_synthetic::{Cluster, SERVICE_PORT, cluster_ip, pod_ip};

use crate::node::{Node, Settings};
use crate::wire::{Seen, Wire};

/// Weights of the Service's endpoints.
const WEIGHTS: [u8; 5] = [1, 1, 2, 3, 5];

/// Clients of the Service, one packet each.
const CLIENTS: u32 = 3_000;

/// The Service has so many endpoints.
const CLUSTER: Cluster = Cluster { services: 1, endpoints: 5 };

/// Chi-square with four degrees of freedom is above this once in a million times.
const BOUND: f64 = 33.4;

fn settings() -> Settings {
    Settings {
        tells_pods: true,
        masquerades_all: false,
        allows_external: false,
        refuses_unknown: true,
        masquerade_bit: 14,
    }
}

/// The Service with its weights and this way to choose.
fn service(choice: Choice) -> Service {
    let mut service = CLUSTER.service(0).unwrap();
    let weights = (0..)
        .zip(WEIGHTS)
        .map(|(endpoint, weight)| (Arc::from(pod_ip(0, endpoint, 0).to_string()), weight));
    service.spread = Spread { choice, weights: weights.collect() };
    service
}

/// Where each client's first packet goes, in the order of clients.
fn reached(wire: &mut Wire) -> Vec<IpAddr> {
    let endpoint = |client: u32| {
        let packet = Packet {
            // The range for tests of forwarding devices; a step that is odd meets every octet.
            source: Ipv4Addr::from(0xc612_0000 + client * 41).into(),
            destination: cluster_ip(0),
            protocol: Protocol::Tcp,
            port: Port::new(SERVICE_PORT).unwrap(),
            interface: None,
        };
        match wire.send(&packet, true).unwrap() {
            Seen::Packet { destination, .. } => SocketAddr::ip(&destination),
            other @ (Seen::Nothing | Seen::Refusal { .. }) => panic!("{packet:?}: {other:?}"),
        }
    };
    (0..CLIENTS).map(endpoint).collect()
}

/// Chi-square of where clients went against the weights.
fn chi_square(reached: &[IpAddr]) -> f64 {
    let mut counts: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for endpoint in reached {
        *counts.entry(*endpoint).or_default() += 1;
    }
    let total: f64 = WEIGHTS.iter().copied().map(f64::from).sum();
    let term = |(endpoint, weight): (u32, u8)| {
        let expected = f64::from(CLIENTS) * f64::from(weight) / total;
        let found = counts.get(&pod_ip(0, endpoint, 0)).copied().unwrap_or_default();
        (f64::from(found) - expected).powi(2) / expected
    };
    let statistic = (0..).zip(WEIGHTS).map(term).sum();
    eprintln!("chi-square {statistic:.1} of {counts:?}");
    statistic
}

#[test]
fn connections_follow_the_weights_of_endpoints() {
    if !isolated("spread::connections_follow_the_weights_of_endpoints") {
        return;
    }
    let (mut wire, mut node) = (Wire::new(), Node::new(settings()));
    let slice = Change::Slice(CLUSTER.slice(0, 0).unwrap());
    node.apply(vec![Change::Service(service(Choice::Random)), slice]).unwrap();
    let (first, second) = (reached(&mut wire), reached(&mut wire));
    for reached in [&first, &second] {
        let statistic = chi_square(reached);
        assert!(statistic < BOUND, "{statistic}");
    }
    assert_ne!(first, second, "every connection is drawn by itself");
}

#[test]
fn clients_keep_to_an_endpoint_by_hash_and_one_that_goes_moves_only_its_own() {
    let test = "spread::clients_keep_to_an_endpoint_by_hash_and_one_that_goes_moves_only_its_own";
    if !isolated(test) {
        return;
    }
    let (mut wire, mut node) = (Wire::new(), Node::new(settings()));
    let mut slice = CLUSTER.slice(0, 0).unwrap();
    let changes = vec![Change::Service(service(Choice::ClientHash)), Change::Slice(slice.clone())];
    node.apply(changes).unwrap();
    let before = reached(&mut wire);
    let statistic = chi_square(&before);
    assert!(statistic < BOUND, "{statistic}");
    assert_eq!(reached(&mut wire), before, "a client stays where it was");

    let mut endpoints = slice.endpoints.to_vec();
    let gone = endpoints.remove(3).address;
    slice.endpoints = endpoints.into();
    node.apply(vec![Change::Slice(slice)]).unwrap();
    let after = reached(&mut wire);
    let mut moved: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for (old, new) in before.iter().zip(&after) {
        assert!(old == new || *old == gone, "a client of {old} moved to {new}");
        if *old == gone {
            *moved.entry(*new).or_default() += 1;
        }
    }
    // A quarter of the clients were its own, and each of the others takes some of them.
    assert_eq!(moved.len(), WEIGHTS.len() - 1, "{moved:?}");
    assert!(!after.contains(&gone));

    // A node that starts anew makes the same choice, as every other node does.
    node.write_whole().unwrap();
    assert_eq!(reached(&mut wire), after);
}
