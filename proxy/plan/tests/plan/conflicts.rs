//! Services that claim one address and port: the oldest has it.

use podway_cluster_model::builder::Change;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::Service;
use podway_proxy_plan::planner::Changes;

use crate::support::*;

fn aged(name: &str, created_unix_seconds: Option<i64>) -> Service {
    Service { created_unix_seconds, ..plain(name, "10.96.0.10") }
}

/// A Service with its one endpoint.
fn served(service: Service, endpoint: &str) -> [Change; 2] {
    let slice = slice(&service.name.to_string(), service.name.name.as_str(), vec![there(endpoint)]);
    [Change::Service(service), Change::Slice(slice)]
}

fn texts(conflicts: &[podway_proxy_plan::claims::Conflict]) -> Vec<String> {
    conflicts.iter().map(ToString::to_string).collect()
}

fn planned(changes: &Changes) -> Vec<String> {
    changes
        .plans
        .iter()
        .map(|(name, plan)| format!("{name} {}", if plan.is_some() { "planned" } else { "gone" }))
        .collect()
}

const OLD: &str = "10.244.2.1:8080";
const NEW: &str = "10.244.2.2:8080";

#[test]
fn older_service_wins_whichever_comes_first() {
    let rows = [
        ("created earlier", Some(100), Some(200), "default/z", "default/a"),
        ("created at some time, other at none", Some(100), None, "default/z", "default/a"),
        ("same time, name first", Some(100), Some(100), "default/a", "default/b"),
        ("same time, namespace first", Some(100), Some(100), "a/z", "b/a"),
        ("no time at all, name first", None, None, "default/a", "default/b"),
    ];
    for (row, old_time, new_time, old_name, new_name) in rows {
        let old = served(aged(old_name, old_time), "10.244.2.1");
        let new = served(aged(new_name, new_time), "10.244.2.2");
        let one_way = World::new(policy(), old.clone().into_iter().chain(new.clone()));
        let mut other_way = World::new(policy(), new);
        other_way.apply(old);
        for world in [one_way, other_way] {
            assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), OLD, "{row}");
            let conflict = format!(
                "10.96.0.10:80/tcp: service {new_name} port \"http\" \
                 yields to service {old_name} port \"http\""
            );
            let conflicts: Vec<_> = world.planner.conflicts().collect();
            assert_eq!(texts(&conflicts), [conflict], "{row}");
        }
    }
}

#[test]
fn loser_takes_over_when_the_winner_goes() {
    let old = served(aged("default/old", Some(1)), "10.244.2.1");
    let new = served(aged("default/new", Some(2)), "10.244.2.2");
    let mut world = World::new(policy(), old.into_iter().chain(new));

    let changes = world.apply([Change::ServiceGone(service_name("default/old"))]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), NEW);
    assert_eq!(planned(&changes), ["default/new planned", "default/old gone"]);
    assert_eq!(changes.appeared, []);
    assert_eq!(
        texts(&changes.healed),
        ["10.96.0.10:80/tcp: service default/new port \"http\" \
          yields to service default/old port \"http\""]
    );
}

#[test]
fn older_service_that_comes_late_takes_the_frontend() {
    let mut world = World::new(policy(), served(aged("default/new", Some(2)), "10.244.2.2"));
    let changes = world.apply(served(aged("default/old", Some(1)), "10.244.2.1"));
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), OLD);
    assert_eq!(planned(&changes), ["default/new gone", "default/old planned"]);
    assert_eq!(changes.appeared.len(), 1);
    assert_eq!(changes.healed, []);
}

#[test]
fn younger_service_that_comes_late_changes_nothing_but_the_conflict() {
    let mut world = World::new(policy(), served(aged("default/old", Some(1)), "10.244.2.1"));
    let changes = world.apply(served(aged("default/new", Some(2)), "10.244.2.2"));
    assert_eq!(planned(&changes), Vec::<String>::new());
    assert_eq!(changes.appeared.len(), 1);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), OLD);
}

#[test]
fn third_claimant_moves_up_only_when_both_others_are_gone() {
    let services = [("default/one", 1), ("default/two", 2), ("default/three", 3)];
    let changes = services
        .iter()
        .flat_map(|(name, time)| served(aged(name, Some(*time)), &format!("10.244.2.{time}")));
    let mut world = World::new(policy(), changes);
    assert_eq!(world.planner.conflicts().count(), 2);

    let changes = world.apply([Change::ServiceGone(service_name("default/two"))]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.1:8080");
    assert_eq!((changes.appeared.len(), changes.healed.len()), (0, 1));

    world.apply([Change::ServiceGone(service_name("default/one"))]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "10.244.2.3:8080");
    assert_eq!(world.planner.conflicts().count(), 0);
}

#[test]
fn service_that_loses_one_frontend_keeps_the_others() {
    let mut front = plain("default/front", "10.96.0.20");
    front.ports[0].node_port = Some(port(30080));
    let world = World::new(
        policy(),
        [Change::Service(Service { created_unix_seconds: Some(1), ..web() })]
            .into_iter()
            .chain(served(front, "10.244.2.1")),
    );
    assert_eq!(world.tcp(POD_HERE, "10.96.0.20:80"), OLD);
    assert_eq!(world.tcp(OUTSIDE, NODE_PORT), "reject", "the node port is the older Service's");
}

#[test]
fn service_recreated_under_its_address_by_another_name_is_no_conflict() {
    let mut world = World::new(policy(), served(aged("default/old", Some(1)), "10.244.2.1"));
    let gone = Change::ServiceGone(service_name("default/old"));
    let new = served(aged("default/new", Some(2)), "10.244.2.2");
    let changes = world.apply(std::iter::once(gone).chain(new));
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), NEW);
    assert_eq!((changes.appeared, changes.healed), (vec![], vec![]));
}

#[test]
fn recreated_service_loses_its_age() {
    let old = served(aged("default/old", Some(1)), "10.244.2.1");
    let new = served(aged("default/new", Some(2)), "10.244.2.2");
    let mut world = World::new(policy(), old.into_iter().chain(new));
    let changes = world.apply([Change::Service(aged("default/old", Some(3)))]);
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), NEW);
    assert_eq!((changes.appeared.len(), changes.healed.len()), (1, 1));
}

#[test]
fn two_ports_of_one_service_may_conflict_too() {
    let mut service = plain("default/web", "10.96.0.10");
    service.ports.push(service_port("also", Protocol::Tcp, 80));
    let world = World::new(policy(), served(service, "10.244.2.1"));
    let conflicts: Vec<_> = world.planner.conflicts().collect();
    assert_eq!(
        texts(&conflicts),
        ["10.96.0.10:80/tcp: service default/web port \"http\" \
          yields to service default/web port \"also\""]
    );
    assert_eq!(world.tcp(POD_HERE, CLUSTER_IP), "reject", "port \"also\" has no endpoint");
}
