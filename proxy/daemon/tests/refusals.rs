//! What is refused is counted, by Service port and verdict, whatever becomes of the rules.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

#[path = "run/node.rs"]
#[expect(dead_code, reason = "another suite uses the rest")]
mod node;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use node::{Daemon, Node, PATIENCE, wait_for};
use podway_tests_netns::isolated;

/// Service `shop/web` with a load balancer's address that only others may use.
const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.20
  clusterIPs: [10.96.0.20]
  internalTrafficPolicy: POLICY
  loadBalancerSourceRanges: [198.51.100.0/24]
  ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.5}]}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: fine, namespace: shop}
spec: {clusterIP: 10.96.0.21, clusterIPs: [10.96.0.21], ports: [{name: http, port: 80}]}
---
";

const SLICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}, {name: dns, port: 5353, protocol: UDP}]
endpoints: [ENDPOINT]
";

/// Puts the Service in place with these endpoints in flow style.
fn write(node: &Node, policy: &str, endpoint: &str) {
    let slice = SLICE.replace("ENDPOINT", endpoint);
    node.write("web.yaml", &(WEB.replace("POLICY", policy) + &slice));
}

/// Lines of the metric, without its name.
fn refused() -> Vec<String> {
    let metrics = node::get(10249, "/metrics").body;
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix("podway_refused_packets_total"));
    lines.map(str::to_owned).collect()
}

fn line(port: &str, verdict: &str, packets: u32) -> String {
    format!(
        "{{namespace=\"shop\",service=\"web\",port=\"{port}\",verdict=\"{verdict}\"}} {packets}"
    )
}

/// Fails to connect, by a refusal.
fn be_refused() {
    let address: SocketAddr = "10.96.0.20:80".parse().unwrap();
    let error = TcpStream::connect_timeout(&address, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// Sends a datagram that is dropped on this node, which its kernel tells.
fn be_dropped(address: &str) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let error = socket.send_to(b"who", address).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

fn start(node: &Node) -> Daemon {
    node::ip(&["address", "add", "192.0.2.1/32", "dev", "lo"]);
    node::ip(&["route", "add", "default", "dev", "lo", "src", "192.0.2.1"]);
    let daemon = node.start(&[]);
    daemon.wait_until_ready();
    daemon
}

#[test]
fn refused_packets_are_counted_by_service_port_and_verdict() {
    if !isolated("refused_packets_are_counted_by_service_port_and_verdict") {
        return;
    }
    let node = Node::new();
    write(&node, "Cluster", "");
    let _daemon = start(&node);
    wait_for("rules", || is_in("rejected"));
    assert_eq!(refused(), [""; 0], "nothing is told of who never refused");
    be_refused();
    be_refused();
    be_dropped("203.0.113.5:53");
    let first = [line("dns", "source-range", 1), line("http", "reject", 2)];
    assert_eq!(refused(), first);

    // The Service gets an endpoint elsewhere, which a policy keeps from this node; nobody looked
    // at the counts between the last refusal and that.
    be_refused();
    let elsewhere = "{addresses: [10.244.2.5], nodeName: node-b, conditions: {ready: true}}";
    write(&node, "Local", elsewhere);
    wait_for("the policy", || is_in("dropped"));
    be_dropped("10.96.0.20:53");
    let counts = refused();
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.contains(&line("http", "reject", 3)), "{counts:?}");
    assert!(counts.contains(&line("dns", "source-range", 1)), "{counts:?}");
    assert!(counts.contains(&line("dns", "drop", 1)), "{counts:?}");

    // A whole write makes all elements new.
    node::nft(&["flush", "ruleset"]);
    wait_for("repair", || is_in("dropped"));
    assert_eq!(refused(), counts);
    write(&node, "Cluster", "");
    wait_for("the refusal", || is_in("rejected"));
    be_refused();
    assert!(refused().contains(&line("http", "reject", 4)), "{:?}", refused());
    node.write("web.yaml", "");
    wait_for("the end of the Service", || refused().is_empty());
}

/// Whether the Service's frontend for TCP is in the set.
fn is_in(set: &str) -> bool {
    let element = ["{", "10.96.0.20", ".", "tcp", ".", "80", "}"];
    let get = ["get", "element", "ip", "podway", set];
    node::try_nft(&[&get[..], &element].concat()).is_ok()
}
