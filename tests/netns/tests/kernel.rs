//! The table that we write, read back by nft: another program, with another author's idea of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use nftables::schema::NfListObject;
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::{LocalName, NodeName};
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{
    Affinity, Choice, LoadBalancerAddress, LoadBalancerMode, Service, ServiceKind, TrafficPolicy,
};
use podway_proxy_nft::element::Element;
use podway_proxy_nft::kernel::{BackendError, Kernel};
use podway_proxy_nft::monitor::{Alone, Monitor};
use podway_proxy_nft::names::SetName;
use podway_proxy_nft::program::{MAX_TRANSLATED_CLIENTS, Options, Program, REMEMBERED};
use podway_proxy_nft::schema::NodeLocal;
use podway_proxy_nft::transaction::Transaction;
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::{ConntrackBypass, DeadTcp, Policy, UnknownPorts};
use podway_tests_netns::isolated;
use podway_tests_synthetic::{Cluster, POD_CIDR, pod_ip};

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
fn clients_remembered_outlive_a_full_write_and_not_their_endpoint() {
    if !isolated("clients_remembered_outlive_a_full_write_and_not_their_endpoint") {
        return;
    }
    let cluster = Cluster { services: 2, endpoints: 2 };
    let mut node = Node::with(cluster);
    node.apply(vec![Change::Service(service_with_everything(cluster))]);
    let listing = list(Family::Ip);
    let id = listing
        .lines()
        .find_map(|line| line.trim().strip_prefix("elements = { 10.96.0.1 . tcp . 80 : 0x"));
    let id = id.unwrap().split([' ', ',']).next().unwrap();
    for (client, endpoint) in [("11.9.9.1", pod_ip(0, 0, 0)), ("11.9.9.2", pod_ip(0, 1, 0))] {
        let element = format!("{client} . tcp . 0x{id} timeout 10800s : {endpoint} . 8080");
        nft(&["add", "element", "ip", "podway", "affinity", "{", &element, "}"], "");
    }
    let clients = |node: &Node| {
        let learned = node.kernel.learned(Family::Ip).unwrap();
        let mut clients: Vec<_> = learned.iter().map(|one| one.client.to_string()).collect();
        clients.sort();
        clients
    };
    assert_eq!(clients(&node), ["11.9.9.1", "11.9.9.2"]);
    node.write_everything();
    assert_eq!(clients(&node), ["11.9.9.1", "11.9.9.2"], "a full write forgets nobody");
    let left = node.kernel.learned(Family::Ip).unwrap()[0];
    assert!(left.expires_ms <= left.timeout_ms && left.timeout_ms == 10_800_000, "{left:?}");

    // The first endpoint moves: its client is free to go elsewhere, the other stays.
    node.apply(vec![Change::Slice(cluster.slice(0, 1).unwrap())]);
    assert_eq!(clients(&node), ["11.9.9.2"]);
    node.apply(vec![Change::ServiceGone(cluster.service(0).unwrap().name)]);
    assert_eq!(clients(&node), [] as [&str; 0]);
}

#[test]
fn refusals_are_counted_at_their_frontend() {
    if !isolated("refusals_are_counted_at_their_frontend") {
        return;
    }
    let cluster = Cluster { services: 2, endpoints: 0 };
    let node = Node::with(cluster);
    let counted = node.kernel.counted(Family::Ip, SetName::Rejected).unwrap();
    let mut counted: Vec<_> =
        counted.iter().map(|(key, packets)| (key.to_string(), *packets)).collect();
    counted.sort();
    assert_eq!(counted, [("10.96.0.1:80/tcp".into(), 0), ("10.96.0.2:80/tcp".into(), 0)]);
    for arguments in [
        "link set lo up",
        "link add wire type veth peer name end",
        "link set wire up",
        "link set end up",
        "address add 192.0.2.1/24 dev wire",
        "route add default via 192.0.2.2",
    ] {
        assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
    }
    let refused = std::net::TcpStream::connect_timeout(
        &"10.96.0.2:80".parse().unwrap(),
        Duration::from_secs(5),
    );
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let counted = node.kernel.counted(Family::Ip, SetName::Rejected).unwrap();
    let packets =
        |address: &str| counted.iter().find(|(key, _)| key.to_string() == address).unwrap().1;
    assert_eq!((packets("10.96.0.1:80/tcp"), packets("10.96.0.2:80/tcp")), (0, 1));
    // The same, asked for one by one.
    let key = |address: &str| counted.iter().find(|(key, _)| key.to_string() == address).unwrap().0;
    let packets = |key: &FrontendKey| node.kernel.counted_at(SetName::Rejected, key).unwrap();
    let one = key("10.96.0.1:80/tcp");
    assert_eq!(packets(&one), Some(0));
    assert_eq!(packets(&key("10.96.0.2:80/tcp")), Some(1));
    assert_eq!(packets(&FrontendKey { address: "10.96.9.9".parse().unwrap(), ..one }), None);
    let six = FrontendKey { address: "fd00:96::1".parse().unwrap(), ..one };
    assert_eq!(packets(&six), None);
}

#[test]
fn pods_that_rules_translate_are_counted_where_the_kernel_tells_their_number() {
    if !isolated("pods_that_rules_translate_are_counted_where_the_kernel_tells_their_number") {
        return;
    }
    let mut node = Node::new();
    let counted = |node: &Node| Family::ALL.map(|one| node.kernel.translated_clients(one).unwrap());
    assert_eq!(counted(&node), [None, None], "without a table");
    let choose = |node: &mut Node, bypass| {
        let cluster_cidrs = vec![POD_CIDR.parse().unwrap()];
        node.program.set_options(Options { cluster_cidrs, bypass, ..Options::default() });
        node.write_everything();
    };
    choose(&mut node, ConntrackBypass::Off);
    assert_eq!(counted(&node), [None, None], "without the set");
    choose(&mut node, ConntrackBypass::On);
    assert!(list(Family::Ip).contains(&format!("size {MAX_TRANSLATED_CLIENTS}\n")));
    let [before, six] = counted(&node);
    assert_eq!(six, None, "no pods of this family");
    // Older kernels do not tell.
    assert!(before.is_none_or(|clients| clients == 0), "{before:?}");
    let clients = [pod_ip(0, 0, 0), pod_ip(0, 1, 0), pod_ip(1, 0, 0)];
    let timeout_ms = u64::from(REMEMBERED) * 1_000;
    let clients = clients.map(|address| Element::TranslatedClient { address, timeout_ms });
    node.kernel.renew(Family::Ip, &clients).unwrap();
    assert_eq!(counted(&node)[0], before.map(|_| 3));
}

#[test]
fn table_reads_back_as_the_plan_prints_it() {
    if !isolated("table_reads_back_as_the_plan_prints_it") {
        return;
    }
    let cluster = Cluster { services: 5, endpoints: 3 };
    let mut node = Node::with(cluster);
    let mut service = service_with_everything(cluster);
    service.affinity = Affinity::None;
    let mut hashed = cluster.service(1).unwrap();
    hashed.spread.choice = Choice::ClientHash;
    node.apply(vec![Change::Service(service), Change::Service(hashed)]);
    for family in Family::ALL {
        assert_reads_back(&mut node, family);
    }
    // Version 1.0.6 of nft aborts when it is to write, not when it is to list, a rule that learns
    // IPv6 clients: it uses too few registers.
    let mut service = service_with_everything(cluster);
    let addresses = ["10.96.0.1", "fd00:96::1"].map(|text| text.parse().unwrap());
    service.kind = ServiceKind::ClusterIp(addresses.to_vec());
    let mut six = cluster.slice(0, 0).unwrap();
    six.name.name = LocalName::new("six").unwrap();
    six.endpoints = six.endpoints[..1].to_vec().into();
    six.endpoints[0].address = "fd00:244::5".parse().unwrap();
    node.apply(vec![Change::Service(service), Change::Slice(six)]);
    assert_reads_back(&mut node, Family::Ip);
    assert!(list(Family::Ip6).contains("update @affinity { ip6 saddr . meta l4proto . ct mark"));
}

#[test]
fn every_choice_of_the_operator_reads_back() {
    if !isolated("every_choice_of_the_operator_reads_back") {
        return;
    }
    let cluster = Cluster { services: 2, endpoints: 3 };
    let mut node = Node::with(cluster);
    let base = Options::default();
    let interface = |name| Options { pod_interface: name, ..base.clone() };
    let pods: Vec<_> =
        ["10.244.0.0/16", "fd00:10:244::/48"].iter().map(|cidr| cidr.parse().unwrap()).collect();
    let choices = [
        Options { dead_tcp: DeadTcp::Reset, ..base.clone() },
        Options { unknown_ports: UnknownPorts::Ignore, masquerade_bit: 31, ..base.clone() },
        Options { service_cidrs: vec!["10.96.0.0/12".parse().unwrap()], ..base.clone() },
        Options { node_local: NodeLocal::On, ..base.clone() },
        Options { cluster_cidrs: pods.clone(), bypass: ConntrackBypass::On, ..base.clone() },
        Options {
            cluster_cidrs: pods.clone(),
            bypass: ConntrackBypass::On,
            node_local: NodeLocal::On,
            ..base.clone()
        },
        interface(InterfaceName::exactly("cni0")),
        interface(InterfaceName::beginning_with("veth")),
    ];
    for options in choices {
        node.program.set_options(options);
        node.write_everything();
        for family in Family::ALL {
            assert_reads_back(&mut node, family);
        }
    }
}

/// Fails unless nft lists the table as it does one that it made itself from our text.
fn assert_reads_back(node: &mut Node, family: Family) {
    let written = list(family);
    node.kernel.delete_tables().unwrap();
    nft(&["-f", "-"], &node.program.full(family).to_string());
    let expected = list(family);
    assert_eq!(sorted_lines(&written), sorted_lines(&expected));
    assert!(expected.contains("typeof"), "the keys are typed:\n{expected}");
    node.write_everything();
}

/// Lines with the elements of each set apart and sorted: a hash table has no order.
fn sorted_lines(listing: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut elements: Vec<String> = Vec::new();
    for line in listing.lines().map(str::trim) {
        let content = line.trim_start_matches("elements = {").trim_end_matches('}').trim();
        if line.contains("elements = {") || !elements.is_empty() && !line.ends_with(['{', '}']) {
            elements.extend(content.split(',').map(|part| part.trim().to_owned()));
            continue;
        }
        if !elements.is_empty() && line.contains(" . ") && line.ends_with('}') {
            elements.extend(content.split(',').map(|part| part.trim().to_owned()));
            continue;
        }
        elements.sort();
        lines.append(&mut elements);
        lines.push(line.to_owned());
    }
    lines.retain(|line| !line.is_empty());
    lines
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
fn own_changes_are_not_told_and_those_of_others_are() {
    if !isolated("own_changes_are_not_told_and_those_of_others_are") {
        return;
    }
    let cluster = Cluster { services: 3, endpoints: 2 };
    let mut node = Node::with(cluster);
    let mut monitor = Monitor::open(&node.kernel).unwrap();
    node.apply(vec![Change::Slice(cluster.slice(1, 1).unwrap())]);
    nft(&["add", "table", "ip", "other"], "");
    assert_eq!(monitor.wait(Duration::from_millis(200)).unwrap(), None);

    nft(&["flush", "table", "ip", "podway"], "");
    let intrusion = monitor.wait(Duration::from_secs(5)).unwrap().expect("the flush is told");
    assert_eq!(intrusion.families, [Family::Ip].into());
    assert_eq!(intrusion.process.map(|process| process.name), Some("nft".to_owned()));

    nft(&["delete", "table", "ip6", "podway"], "");
    let intrusion = monitor.wait(Duration::from_secs(5)).unwrap().expect("the deletion is told");
    assert_eq!(intrusion.families, [Family::Ip6].into());
}

#[test]
fn full_write_is_unheard_and_knows_whether_it_was_alone() {
    if !isolated("full_write_is_unheard_and_knows_whether_it_was_alone") {
        return;
    }
    let mut node = Node::with(Cluster { services: 3, endpoints: 2 });
    let mut monitor = Monitor::open(&node.kernel).unwrap();
    let silencer = monitor.silencer();
    // Counts commits, whoever's they are.
    let kernel = Kernel::open().unwrap();
    let ((), alone) = silencer.unheard(&kernel, 2, || node.write_everything()).unwrap();
    assert_eq!(alone, Alone::Yes);
    let ((), alone) = silencer
        .unheard(&kernel, 2, || {
            node.write_everything();
            nft(&["flush", "table", "ip", "podway"], "");
        })
        .unwrap();
    assert_eq!(alone, Alone::No);
    assert_eq!(monitor.wait(Duration::from_millis(200)).unwrap(), None);
    node.write_everything();
    nft(&["flush", "table", "ip", "podway"], "");
    assert!(monitor.wait(Duration::from_secs(5)).unwrap().is_some(), "it listens again");
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

#[test]
fn frontend_answered_on_the_node_is_forgotten_unless_it_is_renewed() {
    if !isolated("frontend_answered_on_the_node_is_forgotten_unless_it_is_renewed") {
        return;
    }
    let mut node = Node::with(Cluster { services: 2, endpoints: 2 });
    let options = Options { node_local: NodeLocal::On, ..node.program.options().clone() };
    node.program.set_options(options);
    let key = FrontendKey {
        address: "10.96.0.1".parse().unwrap(),
        protocol: Protocol::Udp,
        port: Port::new(53).unwrap(),
    };
    let element = |timeout_ms| [Element::NodeLocalDns { key, timeout_ms }];
    let error = node.kernel.renew(Family::Ip, &element(60_000)).unwrap_err();
    let BackendError::Rejected { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound, "there is no such set yet");

    node.write_everything();
    let is_there = || {
        let listing = nft(&["list", "set", "ip", "podway", "node-local-dns"], "");
        listing.contains("10.96.0.1 . udp . 53 timeout")
    };
    // Whether or not it is there already, and again and again.
    for _ in 0..3 {
        node.kernel.renew(Family::Ip, &element(60_000)).unwrap();
        assert!(is_there());
    }
    // A full write keeps what it is told to keep, and nothing else.
    node.kernel.commit_with(&node.program.full(Family::Ip), &element(60_000)).unwrap();
    assert!(is_there());
    node.kernel.commit(&node.program.full(Family::Ip)).unwrap();
    assert!(!is_there());
    for _ in 0..2 {
        node.kernel.renew(Family::Ip, &element(60_000)).unwrap();
        node.kernel.withdraw(Family::Ip, &element(60_000)).unwrap();
        assert!(!is_there());
        node.kernel.withdraw(Family::Ip, &element(60_000)).unwrap();
    }
    // Nobody renews it: the kernel takes it out by itself.
    node.kernel.renew(Family::Ip, &element(500)).unwrap();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while is_there() {
        assert!(std::time::Instant::now() < patience, "the element does not expire");
        std::thread::yield_now();
    }
    node.kernel.renew(Family::Ip, &element(60_000)).unwrap();
    assert!(is_there());
}
