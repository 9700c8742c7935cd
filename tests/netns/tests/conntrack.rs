//! The kernel's table of tracked flows: which entries are deleted, seen by the program `conntrack`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::NodeName;
use podway_cluster_model::port::{Port, Protocol};
use podway_cluster_model::service::{Service, ServiceKind};
use podway_cluster_model::snapshot::Delta;
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::Policy;
use podway_proxy_plan::stale_flows::Permitted;
use podway_proxy_sync::conntrack::Conntrack;
use podway_tests_netns::isolated;
use podway_tests_synthetic::Cluster;

/// A tracked flow as the program `conntrack` takes it.
struct Entry {
    protocol: &'static str,
    destination: &'static str,
    answerer: &'static str,
    client_port: u16,
    zone: u16,
}

impl Entry {
    /// Puts it into the table.
    fn insert(&self) {
        let Self { protocol, destination, answerer, client_port, zone } = self;
        let (to, port) = destination.rsplit_once('-').unwrap();
        let (from, reply_port) = answerer.rsplit_once('-').unwrap();
        let client = if to.contains(':') { "fd00:99::1" } else { "11.9.9.1" };
        let state = match *protocol {
            "tcp" => "--state ESTABLISHED --status SEEN_REPLY",
            "sctp" => "--state ESTABLISHED --orig-vtag 1 --reply-vtag 2",
            _ => "",
        };
        let command = format!(
            "--create --proto {protocol} --zone {zone} --timeout 600 \
             --orig-src {client} --orig-dst {to} --sport {client_port} --dport {port} \
             --reply-src {from} --reply-dst {client} --reply-port-src {reply_port} \
             --reply-port-dst {client_port} {state}"
        );
        conntrack(&command.split_whitespace().collect::<Vec<_>>());
    }
}

fn conntrack(arguments: &[&str]) -> String {
    let output = Command::new("conntrack").args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "conntrack {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Source ports of the clients whose flows are tracked, in order.
fn tracked(family: &str) -> Vec<u16> {
    let listing = conntrack(&["--dump", "--family", family]);
    let port = |line: &str| {
        let words = line.split_whitespace();
        words.filter_map(|word| word.strip_prefix("sport=")).next()?.parse().ok()
    };
    let mut ports: Vec<u16> = listing.lines().filter_map(port).collect();
    ports.sort_unstable();
    ports
}

/// A Service at 10.96.0.1 and `fd00:96::1`, port 80, and its pods at port 8080, for every protocol.
fn planned() -> (Planner, std::sync::Arc<podway_cluster_model::snapshot::Snapshot>) {
    let cluster = Cluster { services: 1, endpoints: 2 };
    let mut service: Service = cluster.service(0).unwrap();
    service.kind =
        ServiceKind::ClusterIp(vec!["10.96.0.1".parse().unwrap(), "fd00:96::1".parse().unwrap()]);
    let port = service.ports[0].clone();
    service.ports = Protocol::ALL
        .into_iter()
        .map(|protocol| {
            let mut port = port.clone();
            port.protocol = protocol;
            port
        })
        .collect();
    let mut slice = cluster.slice(0, 0).unwrap();
    let port = slice.ports[0].clone();
    slice.ports = Protocol::ALL
        .into_iter()
        .map(|protocol| {
            let mut port = port.clone();
            port.protocol = protocol;
            port
        })
        .collect();
    slice.endpoints[0].address = "10.244.1.5".parse().unwrap();
    slice.endpoints[1].address = "10.244.1.6".parse().unwrap();
    let mut six = slice.clone();
    six.name.name = podway_cluster_model::name::LocalName::new("six").unwrap();
    six.endpoints[0].address = "fd00:244::5".parse().unwrap();
    six.endpoints[1].address = "fd00:244::6".parse().unwrap();
    let mut builder = Builder::new();
    let (snapshot, _) =
        builder.apply([Change::Service(service), Change::Slice(slice), Change::Slice(six)]);
    let node = NodeView::bare(NodeName::new("node-1").unwrap());
    let mut planner = Planner::new(Policy::default(), node);
    planner.update(&snapshot, &Delta::everything(&snapshot));
    (planner, snapshot)
}

fn frontend(address: &str, protocol: Protocol, port: u16) -> FrontendKey {
    FrontendKey { address: address.parse().unwrap(), protocol, port: Port::new(port).unwrap() }
}

#[test]
fn stale_flows_are_forgotten_and_all_others_kept() {
    if !isolated("stale_flows_are_forgotten_and_all_others_kept") {
        return;
    }
    let entry = |client_port, protocol, destination, answerer| Entry {
        protocol,
        destination,
        answerer,
        client_port,
        zone: 0,
    };
    let entries = [
        entry(1001, "udp", "10.96.0.1-80", "10.244.1.5-8080"),
        entry(1002, "udp", "10.96.0.1-80", "10.244.1.9-8080"),
        entry(1003, "udp", "10.96.0.1-80", "10.96.0.1-80"),
        entry(1004, "udp", "10.96.0.1-81", "10.244.1.9-8080"),
        entry(1005, "udp", "10.96.0.2-80", "10.244.1.9-8080"),
        entry(1006, "sctp", "10.96.0.1-80", "10.244.1.9-8080"),
        entry(1007, "sctp", "10.96.0.1-80", "10.244.1.6-8080"),
        entry(1008, "tcp", "10.96.0.1-80", "10.244.1.9-8080"),
        entry(1009, "tcp", "10.96.0.1-80", "10.244.1.6-8080"),
        Entry { zone: 7, ..entry(1010, "udp", "10.96.0.1-80", "10.244.1.9-8080") },
        entry(2001, "udp", "fd00:96::1-80", "fd00:244::5-8080"),
        entry(2002, "udp", "fd00:96::1-80", "fd00:244::9-8080"),
    ];
    let (planner, snapshot) = planned();
    let flows = Conntrack::open().unwrap();
    let asked = [
        frontend("10.96.0.1", Protocol::Udp, 80),
        frontend("10.96.0.1", Protocol::Sctp, 80),
        frontend("fd00:96::1", Protocol::Udp, 80),
    ];
    // Few frontends are asked for one by one, many by their protocol.
    let others = (100..120).map(|port| frontend("10.96.0.3", Protocol::Udp, port));
    for (asked, way) in
        [(asked.to_vec(), "one by one"), (asked.into_iter().chain(others).collect(), "by protocol")]
    {
        conntrack(&["--flush"]);
        entries.iter().for_each(Entry::insert);
        let permitted = Permitted::at(asked, &planner, &snapshot);
        assert_eq!(flows.forget(Family::Ip, &permitted).unwrap(), 3, "{way}");
        let kept = [1001, 1004, 1005, 1007, 1008, 1009, 1010];
        assert_eq!(tracked("ipv4"), kept, "{way}");
        assert_eq!(tracked("ipv6"), [2001, 2002], "{way}: the other family was not asked for");
        assert_eq!(flows.forget(Family::Ip6, &permitted).unwrap(), 1, "{way}");
        assert_eq!(tracked("ipv6"), [2001], "{way}");
        assert_eq!(flows.forget(Family::Ip, &permitted).unwrap(), 0, "{way}: again");
    }
    let tcp = [frontend("10.96.0.1", Protocol::Tcp, 80)];
    let permitted = Permitted::at(tcp, &planner, &snapshot);
    assert_eq!(flows.forget(Family::Ip, &permitted).unwrap(), 1);
    assert_eq!(tracked("ipv4"), [1001, 1004, 1005, 1007, 1009, 1010]);
}

#[test]
fn thousands_of_stale_flows_are_forgotten_together() {
    if !isolated("thousands_of_stale_flows_are_forgotten_together") {
        return;
    }
    let (planner, snapshot) = planned();
    let flows = Conntrack::open().unwrap();
    // A pod that is gone had 1,200 clients, one that is there 3.
    let mut script = tempfile::NamedTempFile::new().unwrap();
    for number in 0..1_203 {
        let pod = if number % 401 == 0 { "10.244.1.5" } else { "10.244.1.9" };
        let client = 10_000 + number;
        let line = format!(
            "-I -p udp -t 600 -s 11.9.9.1 -d 10.96.0.1 --sport {client} --dport 80 -r {pod} \
             -q 11.9.9.1 --reply-port-src 8080 --reply-port-dst {client}\n"
        );
        std::io::Write::write_all(&mut script, line.as_bytes()).unwrap();
    }
    conntrack(&["--load-file", script.path().to_str().unwrap()]);
    assert_eq!(tracked("ipv4").len(), 1_203);
    let permitted = Permitted::at([frontend("10.96.0.1", Protocol::Udp, 80)], &planner, &snapshot);
    assert_eq!(flows.forget(Family::Ip, &permitted).unwrap(), 1_200);
    assert_eq!(tracked("ipv4"), [10_000, 10_401, 10_802]);
}
