//! `podway run` from start to end, each test in a network namespace of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

#[path = "run/node.rs"]
mod node;
#[path = "run/source.rs"]
mod source;

use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};

use node::{Node, nft, podway, try_podway, wait_for};
use podway_tests_netns::isolated;
use podway_tests_netns::manifests::SHOP_WEB as WEB;

#[test]
fn ready_daemon_answers_and_leaves_its_rules_when_told_to_stop() {
    if !isolated("ready_daemon_answers_and_leaves_its_rules_when_told_to_stop") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let mut daemon = node.start(&[]);
    daemon.wait_until_ready();
    assert_eq!(node::get(10256, "/healthz").status, 200);
    assert_eq!(node::get(10249, "/proxyMode").body, "nftables");
    let plan = node::get(10249, "/debug/plan").body;
    assert!(plan.contains("10.96.0.20:80/tcp ClusterIP"), "{plan}");
    let metrics = node::get(10249, "/metrics").body;
    for line in [
        "podway_programmed_services 1",
        "podway_table_repairs_total{ip_family=\"IPv4\"} 0",
        "podway_rejected_objects{kind=\"service\"} 0",
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv6\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line:?} in\n{metrics}");
    }
    assert_eq!(address_of(b"\x03web\x04shop\x03svc\x07cluster\x05local\0"), [10, 96, 0, 20]);

    let status = daemon.stop("TERM");
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(nft(&["list", "table", "ip", "podway"]).contains("10.244.1.5 . 8080"));
    assert!(nft(&["list", "tables"]).contains("table ip6 podway"));
}

/// Asks the daemon for an A record and returns the address that ends its reply.
fn address_of(name: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:53").unwrap();
    socket.set_read_timeout(Some(node::PATIENCE)).unwrap();
    let header = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    socket.send(&[&header, name, &[0, 1, 0, 1]].concat()).unwrap();
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).unwrap();
    assert_eq!(reply[3] & 0xf, 0, "rcode in {:02x?}", &reply[..length]);
    reply[length - 4..length].to_vec()
}

#[test]
fn new_daemon_takes_over_from_one_that_still_runs_and_hands_back_when_it_dies() {
    if !isolated("new_daemon_takes_over_from_one_that_still_runs_and_hands_back_when_it_dies") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let sockets = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let socket = sockets.path().join(name).to_str().unwrap().to_owned();
        (node.start(&[&format!("--probe-socket={socket}")]), socket)
    };
    let ready = |socket: &str| try_podway(&["probe", "ready", "--probe-socket", socket]);
    let (old, old_socket) = start("old");
    wait_for("the old daemon", || ready(&old_socket).is_ok());
    let (mut new, new_socket) = start("new");
    wait_for("the new daemon", || ready(&new_socket).is_ok());
    assert!(old.log().contains("standing by"), "{}", old.log());

    // Both follow the cluster; only one of them writes.
    let endpoint = |address: &str| {
        node.write("all.yaml", &WEB.replace("10.244.1.5", address));
        wait_for("the new endpoint", || {
            nft(&["list", "table", "ip", "podway"]).contains(&format!("{address} . 8080"))
        });
    };
    for address in ["10.244.1.6", "10.244.1.7", "10.244.1.8"] {
        endpoint(address);
    }
    for daemon in [&old, &new] {
        assert!(!daemon.log().contains("it is being put back"), "{}", daemon.log());
    }
    assert!(ready(&old_socket).is_ok(), "whoever stands by is well");

    new.stop("KILL");
    assert!(ready(&new_socket).unwrap_err().contains("does not answer"));
    endpoint("10.244.1.9");
    assert!(old.log().contains("taking over the tables of this node again"), "{}", old.log());
}

#[test]
fn changed_file_changes_rules_and_a_broken_one_does_not() {
    if !isolated("changed_file_changes_rules_and_a_broken_one_does_not") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let daemon = node.start(&[]);
    daemon.wait_until_ready();
    let backends = || nft(&["list", "table", "ip", "podway"]);
    node.write("all.yaml", &WEB.replace("10.244.1.5", "10.244.1.6"));
    wait_for("the new endpoint", || backends().contains("10.244.1.6 . 8080"));
    assert!(!backends().contains("10.244.1.5"));

    node.write("all.yaml", "kind: [");
    wait_for("the complaint", || {
        node::get(10249, "/metrics").body.contains("podway_manifest_files_unread 1\n")
    });
    assert!(backends().contains("10.244.1.6 . 8080"));
    assert!(daemon.log().contains("all.yaml"), "{}", daemon.log());
}

#[test]
fn node_ports_follow_the_addresses_of_the_interfaces() {
    if !isolated("node_ports_follow_the_addresses_of_the_interfaces") {
        return;
    }
    let node = Node::new();
    let ports = "ports: [{name: http, port: 80, nodePort: 30001}]";
    node.write(
        "all.yaml",
        &WEB.replace("ports: [{name: http, port: 80, targetPort: 8080}]", ports),
    );
    let daemon = node.start(&["--nodeport-addresses=192.0.2.0/24"]);
    daemon.wait_until_ready();
    assert!(!listing("ip").contains("30001"));
    node::ip(&["address", "add", "192.0.2.77/32", "dev", "lo"]);
    wait_for("a node port", || listing("ip").contains("192.0.2.77 . tcp . 30001"));
    node::ip(&["address", "del", "192.0.2.77/32", "dev", "lo"]);
    wait_for("no node port", || !listing("ip").contains("30001"));
}

#[test]
fn tables_that_others_remove_are_put_back() {
    if !isolated("tables_that_others_remove_are_put_back") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let daemon = node.start(&[]);
    daemon.wait_until_ready();
    let is_whole = || {
        let (ip, ip6) = (listing("ip"), listing("ip6"));
        ip.contains("10.244.1.5 . 8080") && ip.contains("dnat ip to") && ip6.contains("dnat ip6 to")
    };
    let damages = [
        &["delete", "table", "ip", "podway"][..],
        &["flush", "table", "ip", "podway"],
        &["flush", "ruleset"],
    ];
    for (repairs, damage) in damages.into_iter().enumerate() {
        // A repair is over when it is logged: only then is the next damage one of its own.
        let applied = || daemon.log().matches("sync applied family=\"IPv4\"").count();
        wait_for("repair", || is_whole() && applied() > repairs);
        nft(damage);
    }
    wait_for("repair", is_whole);
    let by_nft = daemon.log().lines().filter(|line| line.contains("by=\"nft (pid ")).count();
    assert!(by_nft >= 3, "{}", daemon.log());
    let metrics = node::get(10249, "/metrics").body;
    let repairs = metrics
        .lines()
        .find_map(|line| line.strip_prefix("podway_table_repairs_total{ip_family=\"IPv4\"} "))
        .and_then(|count| count.parse::<u32>().ok());
    assert!(repairs >= Some(3), "{repairs:?}");
}

/// The table of `family`, or nothing where there is none.
fn listing(family: &str) -> String {
    node::try_nft(&["list", "table", family, "podway"]).unwrap_or_default()
}

#[test]
fn cleanup_removes_everything_of_ours_and_nothing_else() {
    if !isolated("cleanup_removes_everything_of_ours_and_nothing_else") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    for table in ["ip foreign", "ip6 podway-too", "inet podway"] {
        nft(&["add", "table", table]);
    }
    let foreign = || {
        let mut tables: Vec<_> = nft(&["list", "tables"]).lines().map(str::to_owned).collect();
        tables.retain(|table| !matches!(&**table, "table ip podway" | "table ip6 podway"));
        tables
    };
    let before = foreign();
    assert_eq!(before.len(), 3);
    let mut daemon = node.start(&[]);
    daemon.wait_until_ready();
    assert_eq!(foreign(), before);
    assert_eq!(daemon.stop("INT").code(), Some(0));

    let removed = podway(&["cleanup"]);
    assert_eq!(removed, "removed nftables table ip podway\nremoved nftables table ip6 podway\n");
    assert_eq!(nft(&["list", "tables"]).lines().count(), 3);
    assert_eq!(foreign(), before);
    assert_eq!(podway(&["cleanup"]), "nothing of podway's is in the kernel\n");
}

#[test]
fn address_in_use_is_tried_again_unless_told_otherwise() {
    if !isolated("address_in_use_is_tried_again_unless_told_otherwise") {
        return;
    }
    let node = Node::new();
    node.write("all.yaml", WEB);
    let rival = TcpListener::bind("127.0.0.1:10249").unwrap();
    let mut strict = node.start(&["--bind-address-hard-fail"]);
    assert_eq!(strict.wait().code(), Some(1));
    assert!(strict.log().contains("--metrics-bind-address 127.0.0.1:10249"), "{}", strict.log());

    let daemon = node.start(&[]);
    daemon.wait_until_ready();
    drop(rival);
    wait_for("metrics", || TcpStream::connect("127.0.0.1:10249").is_ok());
    assert_eq!(node::get(10249, "/proxyMode").status, 200);
}

#[test]
fn every_line_of_a_json_log_is_an_object() {
    if !isolated("every_line_of_a_json_log_is_an_object") {
        return;
    }
    let node = Node::new();
    node.write("broken.json", "{");
    let mut daemon = node.start(&["--log-format=json", "--log-level=debug"]);
    daemon.wait_until_ready();
    assert_eq!(daemon.stop("TERM").code(), Some(0));
    let log = daemon.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages = || lines.iter().filter_map(|line| line["fields"]["message"].as_str());
    assert!(messages().any(|message| message == "stopped"), "{log}");
    assert!(lines.iter().any(|line| line["fields"]["file"] == "broken.json"), "{log}");
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "{log}");
}

#[test]
fn address_that_dns_cannot_listen_on_ends_the_start() {
    if !isolated("address_that_dns_cannot_listen_on_ends_the_start") {
        return;
    }
    let node = Node::new();
    let mut daemon = node.start(&["--dns-listen=192.0.2.1:53"]);
    assert_eq!(daemon.wait().code(), Some(1));
    let log = daemon.log();
    assert!(log.contains("--dns-listen") && log.contains("192.0.2.1:53"), "{log}");
    assert!(!nft(&["list", "tables"]).contains("podway"), "nothing is written before that");
}

#[test]
fn client_that_never_finishes_does_not_hold_up_the_stop() {
    if !isolated("client_that_never_finishes_does_not_hold_up_the_stop") {
        return;
    }
    let node = Node::new();
    let mut daemon = node.start(&[]);
    daemon.wait_until_ready();
    let mut client = TcpStream::connect("127.0.0.1:10256").unwrap();
    client.write_all(b"GET /healthz HT").unwrap();
    assert_eq!(daemon.stop("TERM").code(), Some(0), "{}", daemon.log());
}

#[test]
fn second_signal_ends_at_once() {
    if !isolated("second_signal_ends_at_once") {
        return;
    }
    let node = Node::new();
    let mut daemon = node.start(&[]);
    daemon.wait_until_ready();
    // Somebody whose request never ends makes the first signal wait.
    let mut client = TcpStream::connect("127.0.0.1:10256").unwrap();
    client.write_all(b"GET /healthz HT").unwrap();
    wait_for("the client to be accepted", || node::get(10256, "/livez").status == 200);
    daemon.signal("TERM");
    wait_for("the first signal", || daemon.log().contains("stopping; rules stay"));
    assert_eq!(daemon.stop("INT").code(), Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("stopping at once"), "{}", daemon.log());
}
