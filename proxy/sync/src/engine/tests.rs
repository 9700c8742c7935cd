use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::NodeName;
use podway_cluster_model::node::{Eligibility, Node};
use podway_proxy_nft::transaction::Change as Written;
use podway_proxy_plan::policy::{PodDetection, Policy};

use super::*;
use crate::fixture::{self, Stack, service, slice};

const SECOND: Duration = Duration::from_secs(1);

/// An engine, the cluster it follows, and a clock that stands still.
struct Bench {
    engine: Engine,
    builder: Builder,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { engine: fixture::engine(), builder: Builder::new(), start: Instant::now() }
    }

    /// A bench whose tables were written at the start, with two Services in them.
    fn in_step() -> Self {
        let mut bench = Self::new();
        bench.follow([service(1, Stack::Dual), slice(1, 2), service(2, Stack::V4)]);
        for family in Family::ALL {
            bench.engine.written_whole(family, bench.start);
        }
        bench
    }

    fn follow(&mut self, changes: impl IntoIterator<Item = Change>) -> Step {
        let (snapshot, delta) = self.builder.apply(changes);
        self.engine.follow(&snapshot, &delta, self.start)
    }

    fn due_after(&self, passed: Duration) -> Vec<Family> {
        self.engine.due(self.start + passed)
    }
}

fn families(step: &Step) -> Vec<Family> {
    step.transactions.iter().map(|transaction| transaction.family).collect()
}

#[test]
fn nothing_is_due_before_the_first_snapshot() {
    let bench = Bench::new();
    assert_eq!(bench.engine.next_due(), None);
    assert_eq!(bench.due_after(100_000 * SECOND), []);
    assert!(!bench.engine.is_programmed());
}

#[test]
fn first_snapshot_makes_both_tables_due_whole_even_when_it_is_empty() {
    let mut bench = Bench::new();
    let step = bench.follow([]);
    assert_eq!(step.concerned, Family::ALL);
    assert!(step.transactions.is_empty());
    assert_eq!(bench.due_after(Duration::ZERO), Family::ALL);
    for family in Family::ALL {
        assert!(!bench.engine.is_programmed());
        bench.engine.written_whole(family, bench.start);
    }
    assert!(bench.engine.is_programmed());
    assert_eq!(bench.due_after(Duration::ZERO), []);
}

#[test]
fn change_in_step_is_a_transaction_of_its_family_alone() {
    let mut bench = Bench::in_step();
    let step = bench.follow([slice(1, 3)]);
    assert_eq!(families(&step), [Family::Ip]);
    assert_eq!(step.concerned, [Family::Ip]);
    assert!(matches!(step.transactions[0].change, Written::Elements { .. }));

    let unchanged = bench.follow([slice(1, 3)]);
    assert!(unchanged.transactions.is_empty() && unchanged.concerned.is_empty());
}

#[test]
fn failed_family_is_written_whole_with_what_came_meanwhile() {
    let mut bench = Bench::in_step();
    let wait = bench.engine.failed(Family::Ip, bench.start);
    assert_eq!(wait, SECOND);

    let step = bench.follow([slice(1, 5)]);
    assert!(step.transactions.is_empty(), "a table in an unknown state takes no change");
    assert_eq!(step.concerned, [Family::Ip]);
    assert_eq!(bench.due_after(SECOND - Duration::from_nanos(1)), []);
    assert_eq!(bench.due_after(SECOND), [Family::Ip]);
    let full = bench.engine.full(Family::Ip).to_string();
    assert!(full.contains("10.244.1.5"), "the whole table lacks the newest endpoint");

    bench.engine.written_whole(Family::Ip, bench.start + SECOND);
    assert_eq!(families(&bench.follow([slice(1, 4)])), [Family::Ip]);
}

#[test]
fn wait_doubles_with_each_failure_up_to_half_a_minute() {
    let mut bench = Bench::in_step();
    let waits = (0..8).map(|_| bench.engine.failed(Family::Ip6, bench.start).as_secs());
    assert_eq!(waits.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(retry_delay(u32::MAX), MAX_RETRY);

    bench.engine.written_whole(Family::Ip6, bench.start);
    assert_eq!(bench.engine.failed(Family::Ip6, bench.start), SECOND, "success starts anew");
}

#[test]
fn touched_table_is_repaired_at_once_but_not_again_and_again() {
    let mut bench = Bench::in_step();
    let later = bench.start + 10 * SECOND;
    assert!(bench.engine.touched(Family::Ip, later));
    assert!(!bench.engine.touched(Family::Ip, later), "one repair is enough");
    assert_eq!(bench.engine.due(later), [Family::Ip]);
    assert_eq!(bench.engine.due(later - SECOND), []);

    bench.engine.written_whole(Family::Ip, later);
    assert!(bench.engine.touched(Family::Ip, later));
    assert_eq!(bench.engine.due(later), []);
    assert_eq!(bench.engine.due(later + REPAIR_INTERVAL), [Family::Ip]);
}

#[test]
fn touched_table_is_no_concern_before_the_first_write() {
    let mut bench = Bench::new();
    assert!(!bench.engine.touched(Family::Ip, bench.start));
    bench.follow([]);
    assert!(!bench.engine.touched(Family::Ip, bench.start));
}

#[test]
fn untouched_table_is_written_whole_once_an_hour() {
    let bench = Bench::in_step();
    assert_eq!(bench.due_after(3599 * SECOND), []);
    assert_eq!(bench.due_after(3600 * SECOND), Family::ALL);
    assert_eq!(bench.engine.next_due(), Some(bench.start + 3600 * SECOND));
}

#[test]
fn family_that_the_kernel_lacks_is_left_alone() {
    let mut bench = Bench::in_step();
    bench.engine.unsupported(Family::Ip6);
    assert!(bench.engine.is_programmed());
    assert!(!bench.engine.touched(Family::Ip6, bench.start));
    assert_eq!(bench.due_after(3600 * SECOND), [Family::Ip]);
    let step = bench.follow([service(3, Stack::Dual)]);
    assert_eq!((families(&step), &*step.concerned), (vec![Family::Ip], &[Family::Ip][..]));

    bench.engine.unsupported(Family::Ip);
    assert!(!bench.engine.is_programmed(), "a node without any table serves nothing");
}

#[test]
fn new_interface_address_opens_node_ports_there() {
    let mut bench = Bench::new();
    let mut with_node_port = service(1, Stack::V4);
    let Change::Service(node_port_service) = &mut with_node_port else { unreachable!() };
    node_port_service.ports[0].node_port = podway_cluster_model::port::Port::new(30_001);
    bench.follow([with_node_port, slice(1, 1)]);
    for family in Family::ALL {
        bench.engine.written_whole(family, bench.start);
    }
    let step = bench.engine.set_interfaces(vec!["192.0.2.1".parse().unwrap()]);
    assert_eq!(families(&step), [Family::Ip]);
    assert!(step.transactions[0].to_string().contains("192.0.2.1 . tcp . 30001"));
    assert!(
        bench.engine.set_interfaces(vec!["192.0.2.1".parse().unwrap()]).transactions.is_empty()
    );
}

#[test]
fn pod_addresses_of_the_node_change_the_rules_where_they_tell_pods() {
    let node = |cidr: &str| {
        Change::Node(Node {
            name: NodeName::new("node-a").unwrap(),
            addresses: Vec::new(),
            pod_cidrs: vec![cidr.parse().unwrap()],
            zone: None,
            eligibility: Eligibility::Eligible,
        })
    };
    for (pods, expected) in
        [(PodDetection::NodeCidrs, Family::ALL.to_vec()), (PodDetection::ClusterCidrs, vec![])]
    {
        let policy = Policy { pods, ..Policy::default() };
        let mut bench = Bench { engine: fixture::engine_with(policy), ..Bench::new() };
        bench.follow([service(1, Stack::V4), slice(1, 2), node("10.244.1.0/24")]);
        for family in Family::ALL {
            bench.engine.written_whole(family, bench.start);
        }
        assert_eq!(bench.due_after(SECOND), [], "{pods:?}");
        let step = bench.follow([node("10.244.9.0/24")]);
        assert!(step.transactions.is_empty());
        assert_eq!((step.concerned, bench.due_after(Duration::ZERO)), (expected.clone(), expected));
        let text = bench.engine.full(Family::Ip).to_string();
        let asked = text.contains("10.244.9.0/24");
        assert_eq!(asked, pods == PodDetection::NodeCidrs, "{text}");
    }
}
