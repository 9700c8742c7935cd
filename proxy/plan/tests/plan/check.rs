//! Every flaw that a plan may have is found.

use std::net::SocketAddr;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::TrafficPolicy::{Cluster, Local};
use podway_proxy_plan::check::{Flaw, check, check_plan};
use podway_proxy_plan::plan::{Action, Backend, Place, Pool, ServicePlan};

use crate::support::*;

/// A good plan that uses both pools.
fn good() -> ServicePlan {
    let endpoints = vec![here("10.244.1.5"), here("10.244.1.6"), there("10.244.2.5")];
    let world = World::web(web_with(Cluster, Local), endpoints);
    ServicePlan::clone(world.planner.plan(&service_name("default/web")).unwrap())
}

/// The flaws of the good plan after `spoil` was done to it.
fn flaws(spoil: impl FnOnce(&mut ServicePlan)) -> Vec<Flaw> {
    let mut plan = good();
    assert_eq!(check_plan(&plan), []);
    spoil(&mut plan);
    check_plan(&plan)
}

fn backend(text: &str, place: Place) -> Backend {
    Backend { address: text.parse().unwrap(), place, weight: 1 }
}

#[test]
fn plan_without_port_is_found() {
    assert_eq!(flaws(|plan| plan.ports.clear()), [Flaw::NoPort]);
}

#[test]
fn port_that_comes_twice_is_found() {
    let flaws = flaws(|plan| plan.ports.push(plan.ports[0].clone()));
    assert_eq!(flaws, [Flaw::PortOrder { port: port_name("http") }]);
}

#[test]
fn port_without_frontend_is_found() {
    let flaws = flaws(|plan| {
        plan.ports[0].frontends.clear();
        plan.ports[0].cluster = [].into();
        plan.ports[0].local = [].into();
    });
    assert_eq!(flaws, [Flaw::NoFrontend { port: port_name("http") }]);
}

#[test]
fn frontends_out_of_order_are_found() {
    let key = good().ports[0].frontends[0].key;
    assert_eq!(flaws(|plan| plan.ports[0].frontends.swap(0, 1)), [Flaw::FrontendOrder { key }]);
}

#[test]
fn frontend_of_another_protocol_is_found() {
    let mut key = good().ports[0].frontends[0].key;
    key.protocol = Protocol::Udp;
    assert_eq!(flaws(|plan| plan.ports[0].frontends[0].key = key), [Flaw::ForeignFrontend { key }]);
}

#[test]
fn frontend_of_another_family_is_found() {
    let last = good().ports[0].frontends.len() - 1;
    let mut key = good().ports[0].frontends[last].key;
    key.address = ip("2001:db8::1");
    assert_eq!(
        flaws(|plan| plan.ports[0].frontends[last].key = key),
        [Flaw::ForeignFrontend { key }]
    );
}

#[test]
fn empty_pool_is_found_at_each_frontend_that_needs_it() {
    let keys: Vec<_> = good().ports[0].frontends.iter().map(|frontend| frontend.key).collect();
    let expected: Vec<_> = keys.into_iter().map(|key| Flaw::EmptyPool { key }).collect();
    assert_eq!(flaws(|plan| plan.ports[0].cluster = [].into()), expected);
}

#[test]
fn empty_local_pool_is_no_flaw_where_the_source_is_preserved() {
    assert_eq!(flaws(|plan| plan.ports[0].local = [].into()), []);
}

#[test]
fn cluster_ip_that_preserves_the_source_is_found() {
    let key = good().ports[0].frontends[0].key;
    assert_eq!(
        flaws(|plan| plan.ports[0].frontends[0].action = Action::PreserveSource),
        [Flaw::InternalPreservesSource { key }]
    );
}

#[test]
fn endpoints_out_of_order_are_found() {
    let address: SocketAddr = "10.244.1.5:8080".parse().unwrap();
    let pool = [backend("10.244.1.6:8080", Place::Here), backend("10.244.1.5:8080", Place::Here)];
    assert_eq!(
        flaws(|plan| plan.ports[0].cluster = pool.into()),
        [Flaw::EndpointOrder { pool: Pool::Cluster, address }]
    );
}

#[test]
fn endpoint_at_one_address_in_two_places_is_found() {
    let address: SocketAddr = "10.244.1.5:8080".parse().unwrap();
    let pool = [Place::Here, Place::Elsewhere].map(|place| backend("10.244.1.5:8080", place));
    assert_eq!(
        flaws(|plan| plan.ports[0].cluster = pool.into()),
        [Flaw::EndpointOrder { pool: Pool::Cluster, address }]
    );
}

#[test]
fn endpoint_in_the_wrong_pool_is_found() {
    let rows = [
        (
            "remote endpoint in the local pool",
            Pool::Local,
            backend("10.244.2.5:8080", Place::Elsewhere),
        ),
        ("endpoint of another family", Pool::Cluster, backend("[fd00:244::5]:8080", Place::Here)),
    ];
    for (row, pool, stranger) in rows {
        let flaws = flaws(|plan| match pool {
            Pool::Cluster => plan.ports[0].cluster = [stranger].into(),
            Pool::Local => plan.ports[0].local = [stranger].into(),
        });
        assert_eq!(flaws, [Flaw::ForeignEndpoint { pool, address: stranger.address }], "{row}");
    }
}

#[test]
fn pool_that_no_frontend_uses_is_found() {
    let flaws = flaws(|plan| plan.ports[0].frontends.truncate(1));
    assert_eq!(flaws, [Flaw::UnusedPool { pool: Pool::Local, port: port_name("http") }]);
}

#[test]
fn endpoint_that_may_not_be_used_is_found() {
    let world = World::web(web(), vec![there("10.244.2.5")]);
    let rows = [
        ("it is not ready", vec![not_ready(there("10.244.2.5"))]),
        ("it is elsewhere than thought", vec![here("10.244.2.5")]),
        ("it is gone", vec![]),
    ];
    for (row, endpoints) in rows {
        let (snapshot, _) = Builder::new().apply([Change::Service(web()), web_slice(endpoints)]);
        let violations = check(&world.planner, &snapshot);
        assert_eq!(
            violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "service default/web: endpoint 10.244.2.5:8080 is not a usable endpoint of the Service"
            ],
            "{row}"
        );
    }
}
