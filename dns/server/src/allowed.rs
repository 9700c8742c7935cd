//! Who is answered at all: clients in the networks of the cluster, and nobody else.
//!
//! A server that answers everybody is used to flood others: a small query with a forged source
//! brings them a large reply. So a stranger gets nothing, not even an error: REFUSED would still be
//! sent to whoever's address was forged.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The networks whose clients are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// First and last address of each range, in order and apart from each other.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Allowed {
    /// Everybody.
    #[must_use]
    pub fn everybody() -> Self {
        Self { v4: [(0, u32::MAX)].into(), v6: [(0, u128::MAX)].into() }
    }

    /// Clients in one of `networks`.
    #[must_use]
    pub fn only(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in IpNet::aggregate(&networks.into_iter().collect()) {
            match network {
                IpNet::V4(network) => v4.push(ends_v4(network)),
                IpNet::V6(network) => v6.push(ends_v6(network)),
            }
        }
        v4.sort_unstable();
        v6.sort_unstable();
        Self { v4: v4.into(), v6: v6.into() }
    }

    /// Whether `client` is answered; an IPv4 client of an IPv6 socket counts as what it is.
    #[must_use]
    pub fn contains(&self, client: IpAddr) -> bool {
        match client.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, u32::from(address)),
            IpAddr::V6(address) => is_in(&self.v6, u128::from(address)),
        }
    }
}

fn ends_v4(network: Ipv4Net) -> (u32, u32) {
    (network.network().into(), network.broadcast().into())
}

fn ends_v6(network: Ipv6Net) -> (u128, u128) {
    (network.network().into(), network.broadcast().into())
}

/// Whether one of `ranges` has `address` in it.
fn is_in<A: Ord + Copy>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(networks: &[&str]) -> Allowed {
        Allowed::only(networks.iter().map(|network| network.parse().unwrap()))
    }

    #[test]
    fn clients_inside_are_answered_and_others_are_not() {
        let allowed =
            allowed(&["10.0.0.0/8", "192.168.77.0/24", "192.168.77.64/26", "fd00::/8", "::1/128"]);
        for (client, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("9.255.255.255", false),
            ("11.0.0.0", false),
            ("192.168.77.70", true),
            ("192.168.78.0", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:11.1.2.3", false),
            ("fdff::1", true),
            ("2001:db8::1", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(allowed.contains(client.parse().unwrap()), expected, "{client}");
        }
        assert!(!Allowed::only([]).contains("127.0.0.1".parse().unwrap()));
        assert!(Allowed::everybody().contains("255.255.255.255".parse().unwrap()));
        assert!(Allowed::everybody().contains("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn it_is_the_same_as_asking_each_network(
            networks in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..12),
            clients in proptest::collection::vec(any::<u32>(), 1..40),
        ) {
            let networks: Vec<Ipv4Net> = networks
                .into_iter()
                .map(|(address, bits)| Ipv4Net::new(address.into(), bits).unwrap())
                .collect();
            let allowed = Allowed::only(networks.iter().copied().map(IpNet::V4));
            let ends = networks.iter().flat_map(|one| [one.network().into(), one.broadcast().into()]);
            for client in clients.into_iter().chain(ends) {
                let client = std::net::Ipv4Addr::from(client);
                let expected = networks.iter().any(|network| network.contains(&client));
                prop_assert_eq!(allowed.contains(client.into()), expected, "{}", client);
            }
        }
    }
}
