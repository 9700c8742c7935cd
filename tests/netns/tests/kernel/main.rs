//! The table that we write, read back by nft: another program, with another author's idea of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counts;
mod kept;
mod monitor;
mod read_back;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use nftables::schema::NfListObject;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::NodeName;
use podway_cluster_model::service::{
    Affinity, LoadBalancerAddress, LoadBalancerMode, Service, TrafficPolicy,
};
use podway_proxy_nft::kernel::{BackendError, Kernel};
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_nft::transaction::Transaction;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::Family;
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::Policy;
use podway_tests_netns::isolated;
use podway_tests_synthetic::{Cluster, POD_CIDR};

/// A node that writes to this namespace's kernel.
struct Node {
    builder: Builder,
    planner: Planner,
    program: Program,
    kernel: Kernel,
}

impl Node {
    fn new() -> Self {
        let cluster_cidrs = vec![POD_CIDR.parse().unwrap(), "fd00:11::/32".parse().unwrap()];
        let policy = Policy { cluster_cidrs: cluster_cidrs.clone(), ..Policy::default() };
        let node = NodeView::bare(NodeName::new("node-1").unwrap());
        Self {
            builder: Builder::new(),
            planner: Planner::new(policy, node),
            program: Program::new(Options { cluster_cidrs, ..Options::default() }),
            kernel: Kernel::open().unwrap(),
        }
    }

    fn with(cluster: Cluster) -> Self {
        // In steps that an unprivileged user's socket takes as well.
        const STEP: usize = 1_000;
        let mut node = Self::new();
        node.write_everything();
        for changes in cluster.changes().unwrap().chunks(STEP) {
            node.apply(changes.to_vec());
        }
        node
    }

    fn plan(&mut self, changes: Vec<Change>) -> [Transaction; 2] {
        let (snapshot, delta) = self.builder.apply(changes);
        self.program.update(self.planner.update(&snapshot, &delta).plans)
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for transaction in self.plan(changes) {
            self.kernel.commit(&transaction).unwrap();
        }
    }

    fn write_everything(&mut self) {
        for family in Family::ALL {
            self.kernel.commit(&self.program.full(family)).unwrap();
        }
    }
}

/// Runs nft in this namespace; `input` is what it reads.
fn nft(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn list(family: Family) -> String {
    nft(&["list", "table", family.name(), "podway"], "")
}

/// Number of chains and rules of the table in nft's JSON.
///
/// Chains are read by the nftables crate. Version 0.6 of it cannot read every rule that nft 1.0.6
/// prints (a lone masquerade flag), so rules are only counted.
fn chains_and_rules(family: Family) -> (usize, usize) {
    let json = nft(&["--json", "--terse", "list", "table", family.name(), "podway"], "");
    let listing: serde_json::Value = serde_json::from_str(&json).unwrap();
    let objects = listing["nftables"].as_array().unwrap();
    let chains = objects
        .iter()
        .filter(|object| object.get("chain").is_some())
        .map(|object| serde_json::from_value::<NfListObject<'_>>(object.clone()).unwrap())
        .filter(|object| matches!(object, NfListObject::Chain(chain) if chain.table == "podway"))
        .count();
    (chains, objects.iter().filter(|object| object.get("rule").is_some()).count())
}

/// A Service of which every kind of element comes: load balancer with source ranges, local policy,
/// clients that are remembered.
fn service_with_everything(cluster: Cluster) -> Service {
    let mut service = cluster.service(0).unwrap();
    service.affinity = Affinity::ClientIp { timeout: Duration::from_secs(10_800) };
    service.external.policy = TrafficPolicy::Local;
    service.external.load_balancer = vec![LoadBalancerAddress {
        address: "203.0.113.5".parse().unwrap(),
        mode: LoadBalancerMode::Vip,
    }];
    service.external.source_ranges =
        vec!["198.51.100.0/24".parse().unwrap(), "192.0.2.7/32".parse().unwrap()];
    service
}

#[test]
fn chains_and_rules_are_the_same_for_10_and_10_000_services() {
    if !isolated("chains_and_rules_are_the_same_for_10_and_10_000_services") {
        return;
    }
    let few = Node::with(Cluster { services: 10, endpoints: 3 });
    let counted_few = Family::ALL.map(chains_and_rules);
    few.kernel.delete_tables().unwrap();
    let many = Node::with(Cluster { services: 10_000, endpoints: 3 });
    assert_eq!(Family::ALL.map(chains_and_rules), counted_few);
    assert!(counted_few[0].1 > 0, "there are rules");
    many.kernel.delete_tables().unwrap();
}

#[test]
fn rules_for_affinity_timeouts_do_not_pile_up() {
    if !isolated("rules_for_affinity_timeouts_do_not_pile_up") {
        return;
    }
    let cluster = Cluster { services: 2, endpoints: 2 };
    let mut node = Node::with(cluster);
    let without = Family::ALL.map(chains_and_rules);
    let remember = |node: &mut Node, seconds: u64| {
        let mut service = cluster.service(0).unwrap();
        let timeout = Duration::from_secs(seconds);
        service.affinity = Affinity::ClientIp { timeout };
        node.apply(vec![Change::Service(service)]);
        list(Family::Ip)
    };
    remember(&mut node, 10);
    let with_one = Family::ALL.map(chains_and_rules);
    assert!(with_one[0] > without[0]);
    assert_eq!(with_one[1], without[1], "the other family remembers nobody");
    for seconds in 11..=40 {
        let listing = remember(&mut node, seconds);
        assert!(listing.contains(&format!("set affinity-{seconds}s {{")), "{listing}");
        assert_eq!(Family::ALL.map(chains_and_rules), with_one, "after {seconds} s");
    }
    // One that was in use a moment ago takes no rule, and one in use by another Service stays.
    let mut other = cluster.service(1).unwrap();
    other.affinity = Affinity::ClientIp { timeout: Duration::from_secs(41) };
    node.apply(vec![Change::Service(other)]);
    let with_two = chains_and_rules(Family::Ip);
    assert_eq!(with_two, (with_one[0].0, with_one[0].1 + 1));
    assert_eq!(list(Family::Ip).matches("set affinity-").count(), 2);
    remember(&mut node, 41);
    remember(&mut node, 40);
    assert_eq!(chains_and_rules(Family::Ip), with_two);

    // Without affinity the next whole write takes the rest.
    node.apply((0..2).map(|index| Change::Service(cluster.service(index).unwrap())).collect());
    node.write_everything();
    assert_eq!(Family::ALL.map(chains_and_rules), without);
}

#[test]
fn refused_transaction_changes_nothing_and_says_where() {
    if !isolated("refused_transaction_changes_nothing_and_says_where") {
        return;
    }
    let cluster = Cluster { services: 3, endpoints: 2 };
    let mut node = Node::with(cluster);
    let before = list(Family::Ip);
    // The kernel loses an element that the program still counts on.
    nft(&["flush", "set", "ip", "podway", "frontends"], "");
    let lost = list(Family::Ip);
    let gone = node.plan(vec![Change::ServiceGone(cluster.service(1).unwrap().name)]);
    let error = node.kernel.commit(&gone[0]).unwrap_err();
    let BackendError::Rejected { at, .. } = &error else { panic!("{error}") };
    assert_eq!(at.to_string(), "\"delete elements of set frontends\"");
    assert_eq!(list(Family::Ip), lost, "half of the transaction was applied");
    // A full write repairs it.
    node.write_everything();
    assert!(!list(Family::Ip).contains("bench/s1:http"));
    assert!(before.contains("bench/s1:http") && list(Family::Ip).contains("bench/s2:http"));
}

#[test]
fn cleanup_deletes_our_tables_and_no_other() {
    if !isolated("cleanup_deletes_our_tables_and_no_other") {
        return;
    }
    let foreign = "table ip podway-not-ours {\n\tchain a {\n\t\taccept\n\t}\n}\n";
    nft(&["-f", "-"], foreign);
    let node = Node::with(Cluster { services: 1, endpoints: 1 });
    assert_eq!(node.kernel.delete_tables().unwrap(), Family::ALL);
    assert_eq!(node.kernel.delete_tables().unwrap(), []);
    assert_eq!(nft(&["list", "ruleset"], ""), foreign);
}
