//! What an update costs and what it says.

use std::sync::Arc;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::Hints;
use podway_cluster_model::node::{Eligibility, Node};
use podway_cluster_model::service::TrafficPolicy::{Cluster, Local};
use podway_cluster_model::snapshot::Delta;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::planner::Planner;

use crate::support::*;

#[test]
fn update_names_only_the_service_that_changed() {
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    world.apply([Change::Service(plain("default/other", "10.96.0.20"))]);
    let changes = world.apply([web_slice(vec![here("10.244.1.6")])]);
    assert_eq!(changes.plans.keys().collect::<Vec<_>>(), [&service_name("default/web")]);
    let plan = changes.plans.values().next().unwrap().as_ref().unwrap();
    assert!(Arc::ptr_eq(plan, world.planner.plan(&service_name("default/web")).unwrap()));
}

#[test]
fn change_without_effect_here_is_not_named() {
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    let before = Arc::clone(world.planner.plan(&service_name("default/web")).unwrap());
    let rows = [
        (
            "endpoint that is not ready",
            web_slice(vec![here("10.244.1.5"), not_ready(there("10.244.2.5"))]),
        ),
        (
            "split over another slice",
            Change::Slice(slice("default/web", "more", vec![here("10.244.1.5")])),
        ),
        (
            "slice of no Service",
            Change::Slice(slice("default/none", "none", vec![here("10.244.1.7")])),
        ),
        ("another node", Change::Node(Node { name: node_name("node-2"), ..node() })),
        (
            "own node, nothing of interest",
            Change::Node(Node { eligibility: Eligibility::Leaving, ..node() }),
        ),
    ];
    for (row, change) in rows {
        let changes = world.apply([change]);
        assert!(changes.is_empty(), "{row}: {changes:?}");
    }
    assert!(Arc::ptr_eq(&before, world.planner.plan(&service_name("default/web")).unwrap()));
}

#[test]
fn remote_endpoints_do_not_change_a_plan_that_uses_local_ones_only() {
    let mut service = plain("default/web", "10.96.0.10");
    service.internal_policy = Local;
    let mut world = World::web(service, vec![here("10.244.1.5")]);
    let changes = world.apply([web_slice(vec![here("10.244.1.5"), there("10.244.2.5")])]);
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn update_visits_no_service_outside_the_delta() {
    // A Service that is not in the delta is taken away from the snapshot behind the planner's back:
    // a planner that looked at it would notice.
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    let mut other = Builder::new();
    let (snapshot, delta) = other.apply([Change::Service(plain("default/other", "10.96.0.20"))]);
    let changes = world.planner.update(&snapshot, &delta);
    assert_eq!(changes.plans.keys().collect::<Vec<_>>(), [&service_name("default/other")]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.5:8080");
}

#[test]
fn change_of_the_own_node_that_decides_nothing_visits_no_service() {
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    let leaving = Node { eligibility: Eligibility::Leaving, ..node() };
    // As above, the snapshot lacks the Service.
    let (snapshot, delta) = Builder::new().apply([Change::Node(leaving)]);
    assert!(delta.nodes.contains(&node_name("node-1")));
    assert!(world.planner.update(&snapshot, &delta).is_empty());
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.1.5:8080");
}

#[test]
fn replan_finds_what_no_delta_named() {
    let mut world = World::web(web(), vec![here("10.244.1.5")]);
    let mut other = Builder::new();
    let (snapshot, _) =
        other.apply([Change::Node(node()), Change::Service(plain("default/other", "10.96.0.20"))]);
    let changes = world.planner.replan(&snapshot);
    assert_eq!(
        changes
            .plans
            .iter()
            .map(|(name, plan)| (name.to_string(), plan.is_some()))
            .collect::<Vec<_>>(),
        [("default/other".to_owned(), true), ("default/web".to_owned(), false)]
    );
    assert!(world.planner.replan(&snapshot).is_empty());
}

#[test]
fn nothing_is_planned_before_the_first_snapshot() {
    let planner = Planner::new(policy(), NodeView::bare(node_name("node-1")));
    assert_eq!(planner.plans().count(), 0);
    assert_eq!(planner.to_string(), "");
}

#[test]
fn change_of_the_own_node_plans_every_service_anew() {
    let hinted = |address: &str, zone: &str| {
        let mut endpoint = there(address);
        endpoint.hints = Hints::new([Arc::from(zone)].into(), Default::default());
        endpoint
    };
    let mut world = World::web(
        web_with(Cluster, Cluster),
        vec![hinted("10.244.2.1", "zone-a"), hinted("10.244.2.2", "zone-b")],
    );
    world.apply([Change::Service(plain("default/other", "10.96.0.20"))]);
    let changes = world.apply([Change::Node(Node { zone: Some(Arc::from("zone-b")), ..node() })]);
    assert_eq!(changes.plans.keys().collect::<Vec<_>>(), [&service_name("default/web")]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.2:8080");
}

#[test]
fn view_of_a_node_is_its_object() {
    let view = NodeView::from(&node());
    assert_eq!(view, NodeView::bare(node_name("node-1")).with_object(Some(&node())));
    assert_eq!(view.addresses, node().addresses);
    assert_eq!(view.pod_cidrs, node().pod_cidrs);
    assert_eq!(view.zone, node().zone);
    let interfaces = vec![ip("198.18.0.1")];
    let bare = view.with_interfaces(interfaces.clone()).with_object(None);
    assert_eq!(bare, NodeView::bare(node_name("node-1")).with_interfaces(interfaces));
}

#[test]
fn everything_and_the_delta_of_the_first_step_are_the_same() {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply([
        Change::Node(node()),
        Change::Service(web()),
        web_slice(vec![here("10.244.1.5")]),
    ]);
    let plan = |delta: &Delta| {
        let mut planner = Planner::new(policy(), NodeView::bare(node_name("node-1")));
        planner.update(&snapshot, delta)
    };
    assert_eq!(plan(&delta), plan(&Delta::everything(&snapshot)));
}
