//! Servers of the daemon at node ports: health checks for load balancers, and loopback addresses.
//!
//! Each test has a network namespace of its own; endpoints are sockets at addresses of its loopback
//! interface that are not loopback addresses.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

#[path = "run/node.rs"]
#[expect(dead_code, reason = "another suite uses the rest")]
mod node;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use node::{Node, PATIENCE, wait_for};
use podway_tests_netns::isolated;

/// The node, with an address of each family; the endpoints' addresses are made by [`node_with_addresses`].
const NODE: &str = r"
apiVersion: v1
kind: Node
metadata: {name: node-a}
status:
  addresses: [{type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: '2001:db8::1'}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
";

fn node_with_addresses() -> Node {
    let node = Node::new();
    for address in
        ["192.0.2.1/32", "2001:db8::1/128", "10.244.1.5/32", "10.244.1.6/32", "fd00:244::5/128"]
    {
        node::ip(&["address", "add", address, "dev", "lo", "nodad"]);
    }
    node.write("node.yaml", NODE);
    node
}

/// Slice of `shop/web` with these endpoints, each an address, a node and conditions.
fn slice(name: &str, kind: &str, endpoints: &[(&str, &str, &str)]) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(address, node, conditions)| {
            format!("{{addresses: ['{address}'], nodeName: {node}, conditions: {{{conditions}}}}}")
        })
        .collect();
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: {kind}\n\
         ports: [{{name: stream, port: 8080, protocol: TCP}}, {{name: datagrams, port: 8080, protocol: UDP}}]\n\
         endpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// Service `shop/web` with these further fields of its spec.
fn service(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\nspec:\n  \
         clusterIP: 10.96.0.20\n  clusterIPs: [10.96.0.20, 'fd00:96::20']\n  \
         ports: [{{name: stream, port: 80, targetPort: 8080, nodePort: 30001}}, \
         {{name: datagrams, port: 80, targetPort: 8080, protocol: UDP, nodePort: 30001}}]\n{spec}"
    )
}

const READY: &str = "ready: true";
const LEAVING: &str = "ready: false, serving: true, terminating: true";

const CHECKED: &str =
    "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 32100\n";

/// Status, weight and body of an answer; nothing where nobody listens, or no longer when the
/// connection's turn comes.
fn check(address: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let mut text = String::new();
    stream
        .write_all(b"GET /anything HTTP/1.1\r\nHost: node\r\n\r\n")
        .and_then(|()| stream.read_to_string(&mut text))
        .ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let weight = head.lines().find_map(|line| {
        line.to_lowercase().strip_prefix("x-load-balancing-endpoint-weight: ").map(str::to_owned)
    });
    Some((status, weight.unwrap(), body.to_owned()))
}

const CHECKED_AT: [&str; 2] = ["192.0.2.1:32100", "[2001:db8::1]:32100"];

#[test]
fn health_check_tells_of_local_endpoints_and_closes_with_the_service() {
    if !isolated("health_check_tells_of_local_endpoints_and_closes_with_the_service") {
        return;
    }
    let node = node_with_addresses();
    let with = |spec: &str, endpoints: &[(&str, &str, &str)]| {
        node.write("web.yaml", &(service(spec) + &slice("web-4", "IPv4", endpoints)));
    };
    with(CHECKED, &[("10.244.1.5", "node-a", READY), ("10.244.2.5", "node-b", READY)]);
    let daemon = node.start(&[]);
    daemon.wait_until_ready();
    let told = |address: &str| check(address).map(|(status, weight, _)| (status, weight));
    for address in CHECKED_AT {
        wait_for("an answer", || told(address) == Some((200, "1".to_owned())));
    }
    let (_, _, body) = check(CHECKED_AT[0]).unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": 1,
        "serviceProxyHealthy": true,
    });
    assert_eq!(body, expected);
    assert!(check("127.0.0.1:32100").is_none(), "only where node ports are");

    // An endpoint on its way out still gets traffic, but no more of the load balancer's.
    with(CHECKED, &[("10.244.1.5", "node-a", LEAVING), ("10.244.2.5", "node-b", READY)]);
    wait_for("503", || told(CHECKED_AT[0]) == Some((503, "0".to_owned())));
    with(
        &CHECKED.replace("32100", "32200"),
        &[("10.244.1.5", "node-a", READY), ("10.244.1.6", "node-a", READY)],
    );
    wait_for("the new port", || told("192.0.2.1:32200") == Some((200, "2".to_owned())));
    assert!(check(CHECKED_AT[0]).is_none(), "the old port is closed");
    with("  type: ClusterIP\n", &[("10.244.1.5", "node-a", READY)]);
    for address in ["192.0.2.1:32200", "[2001:db8::1]:32200"] {
        wait_for("the end", || check(address).is_none());
    }
}

#[test]
fn health_check_port_in_use_is_tried_again_and_addresses_are_followed() {
    if !isolated("health_check_port_in_use_is_tried_again_and_addresses_are_followed") {
        return;
    }
    let node = node_with_addresses();
    let rival = TcpListener::bind(CHECKED_AT[0]).unwrap();
    let endpoints = [("10.244.1.5", "node-a", READY)];
    node.write("web.yaml", &(service(CHECKED) + &slice("web-4", "IPv4", &endpoints)));
    let daemon = node.start(&["--nodeport-addresses=192.0.2.0/24"]);
    daemon.wait_until_ready();
    wait_for("the complaint", || daemon.log().contains("cannot be answered; it is tried again"));
    assert!(daemon.log().contains("shop/web"), "{}", daemon.log());
    drop(rival);
    wait_for("an answer", || check(CHECKED_AT[0]).is_some());
    node::ip(&["address", "add", "192.0.2.9/32", "dev", "lo"]);
    wait_for("the new address", || check("192.0.2.9:32100").is_some());
    node::ip(&["address", "del", "192.0.2.9/32", "dev", "lo"]);
    wait_for("its end", || check("192.0.2.9:32100").is_none());
}

#[test]
fn health_checks_follow_a_configuration_that_changes_where_node_ports_are() {
    if !isolated("health_checks_follow_a_configuration_that_changes_where_node_ports_are") {
        return;
    }
    let node = node_with_addresses();
    let endpoints = [("10.244.1.5", "node-a", READY)];
    node.write("web.yaml", &(service(CHECKED) + &slice("web-4", "IPv4", &endpoints)));
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("config.yaml");
    let accept = |cidr: &str| {
        let text = format!(
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
             nodePortAddresses: ['{cidr}']\n"
        );
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &config).unwrap();
    };
    let [v4, v6] = CHECKED_AT;
    accept("192.0.2.0/24");
    let daemon = node.start(&["--config", config.to_str().unwrap()]);
    daemon.wait_until_ready();
    wait_for("an answer", || check(v4).is_some());
    assert!(check(v6).is_none(), "no node port is there");
    accept("2001:db8::/64");
    wait_for("the other address", || check(v6).is_some() && check(v4).is_none());
}

/// An endpoint that answers everything with its name, over TCP and UDP.
fn endpoint(address: &str, name: &'static str) {
    let listener = TcpListener::bind(address).unwrap();
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut request = [0; 64];
                while stream.read(&mut request).is_ok_and(|length| length > 0) {
                    stream.write_all(name.as_bytes()).unwrap();
                }
            });
        }
    });
    thread::spawn(move || {
        let mut request = [0; 64];
        while let Ok((_, client)) = socket.recv_from(&mut request) {
            socket.send_to(name.as_bytes(), client).unwrap();
        }
    });
}

/// Asks over an open connection; nothing when it is closed.
fn ask(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 64];
    let length = stream.write_all(b"who").and_then(|()| stream.read(&mut answer)).ok()?;
    (length > 0).then(|| String::from_utf8(answer[..length].to_vec()).unwrap())
}

/// Asks over a new connection; nothing when it is refused.
fn ask_tcp(address: &str) -> Option<String> {
    ask(&mut TcpStream::connect(address).ok()?)
}

/// Asks over UDP; nothing when it is refused or lost.
fn ask_udp(socket: &UdpSocket) -> Option<String> {
    let mut answer = [0; 64];
    match socket.send(b"who").and_then(|_| socket.recv(&mut answer)) {
        Ok(length) => Some(String::from_utf8(answer[..length].to_vec()).unwrap()),
        Err(error) => {
            let kinds = [ErrorKind::ConnectionRefused, ErrorKind::WouldBlock];
            assert!(kinds.contains(&error.kind()), "{error}");
            None
        }
    }
}

fn udp_client(to: &str) -> UdpSocket {
    let to: SocketAddr = to.parse().unwrap();
    let any = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    // Whoever loses a datagram asks again.
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket
}

const LOOPBACK: [&str; 2] = ["127.0.0.1:30001", "[::1]:30001"];

#[test]
fn node_ports_at_loopback_reach_endpoints_over_tcp_and_udp_in_both_families() {
    if !isolated("node_ports_at_loopback_reach_endpoints_over_tcp_and_udp_in_both_families") {
        return;
    }
    let node = node_with_addresses();
    endpoint("10.244.1.5:8080", "one");
    endpoint("10.244.1.6:8080", "two");
    endpoint("[fd00:244::5]:8080", "six");
    let with = |policy: &str, fours: &[(&str, &str, &str)]| {
        let sixes = [("fd00:244::5", "node-a", READY)];
        let spec = format!("  type: NodePort\n  externalTrafficPolicy: {policy}\n");
        let slices = slice("web-4", "IPv4", fours) + &slice("web-6", "IPv6", &sixes);
        node.write("web.yaml", &(service(&spec) + &slices));
    };
    let (one, two) = (("10.244.1.5", "node-a", READY), ("10.244.1.6", "node-b", READY));
    with("Cluster", &[one, two]);
    let daemon = node.start(&["--localhost-node-ports"]);
    daemon.wait_until_ready();
    for (address, names) in [(LOOPBACK[0], &["one", "two"][..]), (LOOPBACK[1], &["six"])] {
        for name in names {
            wait_for(name, || ask_tcp(address).as_deref() == Some(name));
            wait_for(name, || ask_udp(&udp_client(address)).as_deref() == Some(name));
        }
    }
    let metrics = node::get(10249, "/metrics").body;
    for family in ["IPv4", "IPv6"] {
        let line = format!(
            "kubeproxy_nftables_localhost_nodeport_listeners{{ip_family=\"{family}\"}} 2\n"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }

    // The other endpoint is on another node.
    with("Local", &[one, two]);
    wait_for("the local endpoint alone", || {
        (0..40).all(|_| ask_tcp(LOOPBACK[0]).as_deref() == Some("one"))
    });
    // A client with one port is sent on when its endpoint goes; a connection stays.
    let client = udp_client(LOOPBACK[0]);
    wait_for("one", || ask_udp(&client).as_deref() == Some("one"));
    let mut connection = TcpStream::connect(LOOPBACK[0]).unwrap();
    assert_eq!(ask(&mut connection).as_deref(), Some("one"));
    with("Cluster", &[two]);
    wait_for("two", || ask_udp(&client).as_deref() == Some("two"));
    assert_eq!(ask(&mut connection).as_deref(), Some("one"));
    // Without endpoints nobody listens, and what was open is closed.
    with("Cluster", &[]);
    wait_for("refusal", || ask_tcp(LOOPBACK[0]).is_none());
    assert_eq!(ask(&mut connection), None, "an open connection outlived its port");
    wait_for("refusal", || ask_udp(&udp_client(LOOPBACK[0])).is_none());
    assert_eq!(ask_tcp(LOOPBACK[1]).as_deref(), Some("six"), "the other family goes on");
    with("Cluster", &[one]);
    wait_for("one", || ask_tcp(LOOPBACK[0]).as_deref() == Some("one"));
}

#[test]
fn node_ports_at_loopback_are_closed_unless_asked_for_and_tried_again_when_taken() {
    let test = "node_ports_at_loopback_are_closed_unless_asked_for_and_tried_again_when_taken";
    if !isolated(test) {
        return;
    }
    let node = node_with_addresses();
    endpoint("10.244.1.5:8080", "one");
    let fours = slice("web-4", "IPv4", &[("10.244.1.5", "node-a", READY)]);
    node.write("web.yaml", &(service("  type: NodePort\n") + &fours));
    let mut closed = node.start(&[]);
    closed.wait_until_ready();
    wait_for("rules", || node::nft(&["list", "table", "ip", "podway"]).contains("30001"));
    assert_eq!(ask_tcp(LOOPBACK[0]), None);
    assert_eq!(closed.stop("TERM").code(), Some(0));

    let rival = TcpListener::bind(LOOPBACK[0]).unwrap();
    let daemon = node.start(&["--localhost-node-ports"]);
    daemon.wait_until_ready();
    let failures = "kubeproxy_nftables_localhost_nodeport_listener_creation_failures_total\
                    {ip_family=\"IPv4\"} 1\n";
    wait_for("the count", || node::get(10249, "/metrics").body.contains(failures));
    drop(rival);
    wait_for("one", || ask_tcp(LOOPBACK[0]).as_deref() == Some("one"));
    assert!(node::get(10249, "/metrics").body.contains(failures), "retries are not counted");
}
