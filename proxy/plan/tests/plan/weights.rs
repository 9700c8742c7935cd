//! Weights of endpoints: our own annotation.

use std::sync::Arc;

use podway_cluster_model::endpoint::Endpoint;
use podway_cluster_model::name::LocalName;
use podway_cluster_model::service::Choice;

use crate::support::*;

fn of_pod(address: &str, pod: &str) -> Endpoint {
    Endpoint { pod: Some(LocalName::new(pod).unwrap()), ..there(address) }
}

/// The endpoints of `default/web` with their weights, as the plan has them.
fn planned(weights: &[(&str, u8)], endpoints: Vec<Endpoint>) -> Vec<(String, u8)> {
    let mut service = plain("default/web", "10.96.0.10");
    service.spread.weights =
        weights.iter().map(|(name, weight)| (Arc::from(*name), *weight)).collect();
    let world = World::web(service, endpoints);
    let port = world.planner.plans().flat_map(|plan| &plan.ports).next().unwrap();
    let weight = |backend: &podway_proxy_plan::plan::Backend| {
        (backend.address.ip().to_string(), backend.weight)
    };
    port.cluster.iter().map(weight).collect()
}

#[test]
fn weights_count_by_pod_or_address_and_the_address_comes_first() {
    let endpoints = || vec![of_pod("10.244.2.5", "web-0"), of_pod("10.244.2.6", "web-1")];
    let found = |pairs: &[(&str, u8)]| {
        planned(pairs, endpoints()).into_iter().map(|(_, weight)| weight).collect::<Vec<_>>()
    };
    assert_eq!(found(&[]), [1, 1]);
    assert_eq!(found(&[("web-1", 3)]), [1, 3]);
    assert_eq!(found(&[("10.244.2.5", 7), ("web-0", 3)]), [7, 1]);
    assert_eq!(found(&[("web-9", 7)]), [1, 1], "a Pod that is not there");
}

#[test]
fn weight_0_gets_nothing_while_another_has_more() {
    let both = || vec![of_pod("10.244.2.5", "web-0"), of_pod("10.244.2.6", "web-1")];
    assert_eq!(planned(&[("web-0", 0)], both()), [("10.244.2.6".to_owned(), 1)]);
    let alike = planned(&[("web-0", 0), ("web-1", 0)], both());
    assert_eq!(alike, [("10.244.2.5".to_owned(), 1), ("10.244.2.6".to_owned(), 1)]);
    let drained = vec![of_pod("10.244.2.5", "web-0"), not_ready(of_pod("10.244.2.6", "web-1"))];
    assert_eq!(
        planned(&[("web-0", 0)], drained),
        [("10.244.2.5".to_owned(), 1)],
        "better one that is to get nothing than none"
    );
}

#[test]
fn choice_by_hash_goes_with_the_port() {
    let mut service = plain("default/web", "10.96.0.10");
    service.spread.choice = Choice::ClientHash;
    let world = World::web(service, vec![there("10.244.2.5")]);
    let port = world.planner.plans().flat_map(|plan| &plan.ports).next().unwrap();
    assert_eq!(port.choice, Choice::ClientHash);
}
