//! The network as text: what `ip -batch` shall do in each namespace.
//!
//! Nodes and the client outside hang on one bridge, the underlay. A pod hangs on its node by a
//! veth pair of its own, with host routes on both ends: all traffic of a pod is routed by its node,
//! also to a neighbor on the same node. A bridge would carry the neighbor's reply past the node's
//! connection tracking, unless br_netfilter is loaded, which a machine may lack.

use std::fmt::Write as _;

use crate::address::{self, Family, LOAD_BALANCER_CIDRS};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Destination of the default route; the family cannot be guessed from `default`.
fn everything(family: Family) -> &'static str {
    match family {
        Family::V4 => "0.0.0.0/0",
        Family::V6 => "::/0",
    }
}

/// Prefix length of a single address.
fn host_bits(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// Arguments of `ip addr add` that only IPv6 has: usable at once, without probing for duplicates.
fn no_probe(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => " nodad",
    }
}

/// One line of a batch.
macro_rules! line {
    ($text:expr, $($argument:tt)*) => {
        // Writing to a string cannot fail.
        writeln!($text, $($argument)*).unwrap_or_default()
    };
}

/// The lab's own namespace: the bridge.
pub(super) fn underlay() -> String {
    let mut text = String::new();
    // Nobody here queries for multicast listeners, so snooping would drop neighbor discovery.
    line!(text, "link add underlay type bridge mcast_snooping 0 forward_delay 0");
    line!(text, "link set underlay up");
    text
}

/// The lab's own namespace: a cable named `cable` from the bridge into `network`.
pub(super) fn cable(cable: &str, network: &str) -> String {
    let mut text = String::new();
    line!(text, "link add {cable} type veth peer name eth0 netns {network}");
    line!(text, "link set {cable} master underlay up");
    text
}

/// Node `number` of `nodes`.
pub(super) fn node(number: u8, nodes: u8) -> String {
    let mut text = String::new();
    line!(text, "link set lo up");
    line!(text, "link set eth0 up");
    for family in FAMILIES {
        let bits = underlay_bits(family);
        let address = address::node(number).of(family);
        line!(text, "addr add {address}/{bits} dev eth0{}", no_probe(family));
        // Service addresses need a route to be sent to at all; this one ends at the client
        // outside, which forwards nothing.
        line!(text, "route add {} via {}", everything(family), address::outside().of(family));
    }
    let others = (1..=nodes).filter(|other| *other != number);
    for other in others {
        pod_routes(&mut text, other);
    }
    for cidr in address::pod_cidrs(number) {
        // A pod that has gone is unreachable, and not on the way to the outside.
        line!(text, "route add unreachable {cidr} metric 4096");
    }
    text
}

/// The client outside, with a way back to the pods as a routed network gives it, and to
/// load-balancer addresses over all nodes.
pub(super) fn outside(nodes: u8) -> String {
    let mut text = String::new();
    line!(text, "link set lo up");
    line!(text, "link set eth0 up");
    for (family, cidr) in FAMILIES.into_iter().zip(LOAD_BALANCER_CIDRS) {
        let bits = underlay_bits(family);
        let address = address::outside().of(family);
        line!(text, "addr add {address}/{bits} dev eth0{}", no_probe(family));
        let hops: Vec<_> = (1..=nodes)
            .map(|number| format!("nexthop via {}", address::node(number).of(family)))
            .collect();
        line!(text, "route add {cidr} {}", hops.join(" "));
    }
    for number in 1..=nodes {
        pod_routes(&mut text, number);
    }
    text
}

/// The control plane, which answers pods under their own addresses.
pub(super) fn control_plane(nodes: u8) -> String {
    let mut text = String::new();
    line!(text, "link set lo up");
    line!(text, "link set eth0 up");
    for family in FAMILIES {
        let bits = underlay_bits(family);
        let address = address::control_plane().of(family);
        line!(text, "addr add {address}/{bits} dev eth0{}", no_probe(family));
    }
    for number in 1..=nodes {
        pod_routes(&mut text, number);
    }
    text
}

fn pod_routes(text: &mut String, number: u8) {
    for (family, cidr) in FAMILIES.into_iter().zip(address::pod_cidrs(number)) {
        line!(text, "route add {cidr} via {}", address::node(number).of(family));
    }
}

fn underlay_bits(family: Family) -> u8 {
    match family {
        Family::V4 => 24,
        Family::V6 => 64,
    }
}

/// A pod's end on its node: the cable `cable` into `network`.
pub(super) fn pod_on_node(cable: &str, network: &str, node: u8, pod: address::DualStack) -> String {
    let mut text = String::new();
    line!(text, "link add {cable} type veth peer name eth0 netns {network}");
    line!(text, "link set {cable} up");
    for family in FAMILIES {
        let bits = host_bits(family);
        let gateway = address::gateway(node).of(family);
        line!(text, "addr add {gateway}/{bits} dev {cable}{}", no_probe(family));
        line!(text, "route add {}/{bits} dev {cable}", pod.of(family));
    }
    text
}

/// A pod's own end.
pub(super) fn pod(node: u8, pod: address::DualStack) -> String {
    let mut text = String::new();
    line!(text, "link set lo up");
    line!(text, "link set eth0 up");
    for family in FAMILIES {
        let bits = host_bits(family);
        let gateway = address::gateway(node).of(family);
        line!(text, "addr add {}/{bits} dev eth0{}", pod.of(family), no_probe(family));
        line!(text, "route add {gateway}/{bits} dev eth0");
        line!(text, "route add {} via {gateway}", everything(family));
    }
    text
}

/// Kernel settings of a node, as paths under `/proc/sys/net` with values.
pub(super) const NODE_SETTINGS: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    // Replies of Services may come from another side than the request went to.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
];

/// Kernel settings of every place.
pub(super) const PLACE_SETTINGS: &[(&str, &str)] = &[
    // Link-local addresses are usable at once.
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_routes_other_nodes_pods_and_keeps_its_own() {
        let text = node(1, 2);
        for line in [
            "addr add 192.168.77.11/24 dev eth0",
            "addr add fd77::11/64 dev eth0 nodad",
            "route add 0.0.0.0/0 via 192.168.77.200",
            "route add 10.244.2.0/24 via 192.168.77.12",
            "route add fd00:10:244:2::/64 via fd77::12",
            "route add unreachable 10.244.1.0/24 metric 4096",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
        assert!(!text.contains("route add 10.244.1.0/24 via"));
    }

    #[test]
    fn a_pod_speaks_to_everybody_through_its_node() {
        let addresses = address::pod(2, 3);
        let text = pod(2, addresses);
        assert!(text.contains("addr add 10.244.2.5/32 dev eth0\n"));
        assert!(text.contains("route add 0.0.0.0/0 via 10.244.2.1\n"));
        assert!(text.contains("route add ::/0 via fd00:10:244:2::1\n"));
        let there = pod_on_node("veth7", "/proc/1/fd/9", 2, addresses);
        assert!(there.contains("route add fd00:10:244:2::5/128 dev veth7\n"));
    }
}
