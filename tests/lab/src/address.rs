//! The lab's address plan: who has which address, as arithmetic.
//!
//! | what | IPv4 | IPv6 |
//! | --- | --- | --- |
//! | node N | 192.168.77.(10+N) | fd77::(10+N), the digits of IPv4's last byte |
//! | the client outside | 192.168.77.200 | fd77::200 |
//! | the control plane | 192.168.77.250 | fd77::250 |
//! | pods of node N | 10.244.N.0/24 | fd00:10:244:N::/64 |
//! | Services | 10.96.0.0/16 | fd00:10:96::/112 |
//! | load balancers | 192.168.79.0/24 | fd79::/112 |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Most nodes of a lab: their last address byte must stay below the one of the client outside.
pub(crate) const MOST_NODES: u8 = 99;

/// Ranges of all pods, as `--cluster-cidr` takes them.
pub const CLUSTER_CIDRS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];

/// Ranges of load-balancer addresses, which the client outside routes to the nodes.
pub const LOAD_BALANCER_CIDRS: [&str; 2] = ["192.168.79.0/24", "fd79::/112"];

/// Ranges of Service addresses, as the API server takes them.
pub(crate) const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

/// Port of the API server.
pub const API_PORT: u16 = 6443;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// The name that the Kubernetes API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// One address of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DualStack {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl DualStack {
    /// The address of `family`.
    #[must_use]
    pub fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

/// Addresses of node `number` on the network between the nodes.
pub(crate) fn node(number: u8) -> DualStack {
    underlay(10 + number.min(MOST_NODES))
}

/// Addresses of the client outside, which is the nodes' default router too.
pub(crate) fn outside() -> DualStack {
    underlay(200)
}

/// Addresses of the control plane, in a lab that has one.
pub(crate) fn control_plane() -> DualStack {
    underlay(250)
}

/// Addresses on the network between the nodes; IPv6 repeats the decimal digits.
fn underlay(last: u8) -> DualStack {
    let digits = u16::from(last / 100) * 0x100 + u16::from(last / 10 % 10) * 0x10;
    DualStack {
        v4: Ipv4Addr::new(192, 168, 77, last),
        v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, digits + u16::from(last % 10)),
    }
}

/// Number of pod addresses of a node: what an IPv4 /24 leaves without the network, the gateway
/// and the broadcast address.
pub(crate) const PODS_PER_NODE: u8 = 253;

/// Addresses of the pod in `slot` (from 0) of node `number`.
pub(crate) fn pod(number: u8, slot: u8) -> DualStack {
    pod_network(number, slot.min(PODS_PER_NODE - 1) + 2)
}

/// The node's own addresses towards its pods, which are their gateway.
pub(crate) fn gateway(number: u8) -> DualStack {
    pod_network(number, 1)
}

fn pod_network(number: u8, host: u8) -> DualStack {
    let net = u16::from(number / 10) * 0x10 + u16::from(number % 10);
    DualStack {
        v4: Ipv4Addr::new(10, 244, number, host),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, net, 0, 0, 0, u16::from(host)),
    }
}

/// Pod ranges of node `number`.
pub(crate) fn pod_cidrs(number: u8) -> [String; 2] {
    let network = pod_network(number, 0);
    [format!("{}/24", network.v4), format!("{}/64", network.v6)]
}

/// Address number `index` of the Service range; 1 is `kubernetes`, 10 is `kube-dns`.
pub(crate) fn service(family: Family, index: u16) -> IpAddr {
    match family {
        Family::V4 => {
            let [high, low] = index.to_be_bytes();
            Ipv4Addr::new(10, 96, high, low).into()
        }
        Family::V6 => Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, index).into(),
    }
}

/// Index of `address` in the Service range, if it lies in it.
pub(crate) fn service_index(address: IpAddr) -> Option<u16> {
    let index = match address {
        IpAddr::V4(v4) => {
            let [_, _, high, low] = v4.octets();
            u16::from_be_bytes([high, low])
        }
        IpAddr::V6(v6) => v6.segments()[7],
    };
    (service(Family::of(address), index) == address).then_some(index)
}

/// Load-balancer address number `index`.
pub(crate) fn load_balancer(family: Family, index: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 168, 79, index).into(),
        Family::V6 => Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, u16::from(index)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_table() {
        assert_eq!(node(1).v4.to_string(), "192.168.77.11");
        assert_eq!(node(1).v6.to_string(), "fd77::11");
        assert_eq!(outside().v6.to_string(), "fd77::200");
        assert_eq!(control_plane().v6.to_string(), "fd77::250");
        assert_eq!(gateway(2).v4.to_string(), "10.244.2.1");
        assert_eq!(pod(2, 0).v4.to_string(), "10.244.2.2");
        assert_eq!(pod(2, 252).v4.to_string(), "10.244.2.254");
        assert_eq!(pod(12, 0).v6.to_string(), "fd00:10:244:12::2");
        assert_eq!(pod_cidrs(1), ["10.244.1.0/24", "fd00:10:244:1::/64"]);
        assert_eq!(service(Family::V6, 10).to_string(), "fd00:10:96::a");
    }

    #[test]
    fn only_addresses_of_the_service_range_have_an_index() {
        for family in [Family::V4, Family::V6] {
            assert_eq!(service_index(service(family, 0x1234)), Some(0x1234));
        }
        assert_eq!(service_index("10.97.0.1".parse().unwrap()), None);
        assert_eq!(service_index("fd00:10:96::1:1".parse().unwrap()), None);
    }
}
