use std::sync::Arc;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::snapshot::Delta;
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_nft::transaction::Change as Written;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::Policy;

use super::*;
use crate::fixture::{self, Stack, service, slice};

/// A plan that changes and what is counted.
struct Bench {
    builder: Builder,
    planner: Planner,
    refusals: Refusals,
}

impl Bench {
    fn new(changes: Vec<Change>) -> Self {
        let node = NodeView::bare(podway_cluster_model::name::NodeName::new("node-a").unwrap());
        let mut bench = Self {
            builder: Builder::new(),
            planner: Planner::new(Policy::default(), node),
            refusals: Refusals::default(),
        };
        bench.apply(changes);
        bench
    }

    fn apply(&mut self, changes: Vec<Change>) {
        let (snapshot, delta) = self.builder.apply(changes);
        self.refusals.follow(&self.planner.update(&snapshot, &delta));
    }

    fn all(&self) -> Vec<String> {
        let line = |refused: Refused| {
            let Refused { service, port, verdict, packets } = refused;
            format!("{service} {:?} {} {packets}", port.as_str(), verdict.name())
        };
        self.refusals.all().into_iter().map(line).collect()
    }
}

fn key(number: u8) -> FrontendKey {
    FrontendKey {
        address: format!("10.96.0.{number}").parse().unwrap(),
        protocol: podway_cluster_model::port::Protocol::Tcp,
        port: podway_cluster_model::port::Port::new(80).unwrap(),
    }
}

#[test]
fn counts_add_up_over_elements_that_come_and_go() {
    let mut bench = Bench::new(vec![service(1, Stack::V4), service(2, Stack::V4)]);
    assert_eq!(bench.all(), [""; 0], "nothing is told of who never refused");
    bench.refusals.saw(Verdict::Reject, key(1), 3);
    bench.refusals.saw(Verdict::Reject, key(2), 0);
    bench.refusals.saw(Verdict::Reject, key(1), 5);
    assert_eq!(bench.all(), ["shop/web-1 \"\" reject 5"]);

    // Endpoints come: the element goes, and is another one when they are gone again.
    bench.refusals.forget(&[(Verdict::Reject, key(1))]);
    bench.apply(vec![slice(1, 1)]);
    bench.apply(vec![slice(1, 0)]);
    bench.refusals.saw(Verdict::Reject, key(1), 5);
    assert_eq!(bench.all(), ["shop/web-1 \"\" reject 10"]);
    bench.refusals.forget_family(Family::Ip6);
    bench.refusals.saw(Verdict::Reject, key(1), 6);
    bench.refusals.forget_family(Family::Ip);
    bench.refusals.saw(Verdict::Reject, key(1), 6);
    assert_eq!(bench.all(), ["shop/web-1 \"\" reject 17"]);
    // Somebody else emptied the table and nobody told us.
    bench.refusals.saw(Verdict::Reject, key(1), 2);
    assert_eq!(bench.all(), ["shop/web-1 \"\" reject 19"]);
    bench.apply(vec![Change::ServiceGone(fixture::name(1))]);
    assert_eq!(bench.all(), [""; 0], "a Service that is gone is not told of");
}

#[test]
fn frontend_that_changes_hands_counts_for_its_new_owner() {
    let mut bench = Bench::new(vec![service(1, Stack::V4)]);
    bench.refusals.saw(Verdict::Reject, key(1), 3);
    let Change::Service(mut heir) = service(1, Stack::V4) else { unreachable!() };
    heir.name = fixture::name(7);
    bench.apply(vec![Change::Service(heir)]);
    bench.refusals.forget(&[(Verdict::Reject, key(1))]);
    bench.apply(vec![Change::ServiceGone(fixture::name(1))]);
    bench.refusals.saw(Verdict::Reject, key(1), 2);
    assert_eq!(bench.all(), ["shop/web-7 \"\" reject 2"]);
}

#[test]
fn elements_that_count_are_found_among_those_taken_out() {
    let mut builder = Builder::new();
    let node = NodeView::bare(podway_cluster_model::name::NodeName::new("node-a").unwrap());
    let mut planner = Planner::new(Policy::default(), node);
    let mut program = Program::new(Options::default());
    let (snapshot, _) = builder.apply([service(1, Stack::V4), service(2, Stack::V4)]);
    program.update(planner.update(&snapshot, &Delta::everything(&snapshot)).plans);
    let (snapshot, delta) = builder.apply([slice(1, 2)]);
    let [ip, _] = program.update(planner.update(&Arc::clone(&snapshot), &delta).plans);
    let Written::Elements { deleted, .. } = ip.change else { panic!("{ip}") };
    assert_eq!(counting(&deleted), [(Verdict::Reject, key(1))]);
}
