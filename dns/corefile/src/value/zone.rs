//! Zones: domain names under which a rule holds, and the reverse zones of networks.

use std::fmt;
use std::net::IpAddr;

use hickory_proto::rr::Name;
use ipnet::IpNet;

use super::Refusal;

/// What a zone may look like.
const ACCEPTED: &str = "a domain name such as example.org, or a network such as 10.0.0.0/8";

/// A zone: an absolute name in lower case, and all names below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(Name);

impl Zone {
    /// All names.
    #[must_use]
    pub fn root() -> Self {
        Self(Name::root())
    }

    /// The apex, absolute and in lower case.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0
    }

    /// Whether `name` is the apex or below it, in any letter case.
    #[must_use]
    pub fn contains(&self, name: &Name) -> bool {
        self.0.zone_of(name)
    }

    /// Whether its names stand for addresses: `in-addr.arpa`, `ip6.arpa` or a zone below them.
    #[must_use]
    pub fn is_reverse(&self) -> bool {
        let mut labels = self.0.iter().rev();
        labels.next() == Some(b"arpa")
            && labels.next().is_some_and(|label| label == b"in-addr" || label == b"ip6")
    }

    /// Reads a domain name, with or without the dot at its end.
    pub(crate) fn named(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(Refusal::new("is empty", ACCEPTED));
        }
        let name = Name::from_ascii(text).or(Err(Refusal::new("is no domain name", ACCEPTED)));
        let mut name = name?.to_lowercase();
        name.set_fqdn(true);
        // With the dot at the end 255 octets are the most that a message can carry.
        if name.iter().map(|label| label.len() + 1).sum::<usize>() + 1 > 255 {
            return Err(Refusal::new("is longer than 255 octets", ACCEPTED));
        }
        Ok(Self(name))
    }

    /// Reads a domain name, or a network as its reverse zones.
    pub(crate) fn list(text: &str) -> Result<Vec<Self>, Refusal> {
        if !text.contains('/') {
            return Self::named(text).map(|zone| vec![zone]);
        }
        let network = text
            .parse::<IpNet>()
            .map_err(|error| Refusal::new(format!("is no network: {error}"), ACCEPTED))?;
        Ok(reverse_zones(network))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_ascii();
        match text.strip_suffix('.') {
            Some(relative) if !relative.is_empty() => formatter.write_str(relative),
            Some(_) | None => formatter.write_str(&text),
        }
    }
}

/// The fewest zones that hold exactly the addresses of `network`.
///
/// Names of addresses are cut at octets (RFC 1035, section 3.5) and at half octets (RFC 3596,
/// section 2.5); a network that ends between becomes several zones, 128 or 8 at most.
fn reverse_zones(network: IpNet) -> Vec<Zone> {
    let step = match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 4,
    };
    let length = network.prefix_len().next_multiple_of(step);
    let subnets = network.subnets(length).into_iter().flatten();
    subnets.filter_map(|subnet| reverse_zone(subnet.network(), usize::from(length))).collect()
}

/// The zone of the addresses that share the first `bits` with `address`.
fn reverse_zone(address: IpAddr, bits: usize) -> Option<Zone> {
    let (mut labels, tree): (Vec<String>, _) = match address {
        IpAddr::V4(address) => {
            let octets = address.octets().into_iter().take(bits / 8);
            (octets.map(|octet| octet.to_string()).collect(), "in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            (nibbles.take(bits / 4).map(|nibble| format!("{nibble:x}")).collect(), "ip6.arpa")
        }
    };
    labels.reverse();
    labels.push(tree.to_owned());
    Zone::named(&labels.join(".")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Vec<String> {
        Zone::list(text).unwrap().iter().map(Zone::to_string).collect()
    }

    #[test]
    fn a_network_becomes_its_reverse_zones() {
        for (text, zones) in [
            ("10.0.0.0/8", vec!["10.in-addr.arpa"]),
            ("10.1.2.3/24", vec!["2.1.10.in-addr.arpa"]),
            ("10.96.0.0/15", vec!["96.10.in-addr.arpa", "97.10.in-addr.arpa"]),
            ("0.0.0.0/0", vec!["in-addr.arpa"]),
            ("192.0.2.254/31", vec!["254.2.0.192.in-addr.arpa", "255.2.0.192.in-addr.arpa"]),
            ("fd00::/8", vec!["d.f.ip6.arpa"]),
            ("2001:db8::/31", vec!["8.b.d.0.1.0.0.2.ip6.arpa", "9.b.d.0.1.0.0.2.ip6.arpa"]),
            ("::/0", vec!["ip6.arpa"]),
        ] {
            assert_eq!(listed(text), zones, "{text}");
        }
        assert_eq!(listed("10.0.0.0/9").len(), 128);
    }

    #[test]
    fn a_zone_is_absolute_and_of_lower_case() {
        for text in ["Example.ORG", "example.org."] {
            let zone = Zone::named(text).unwrap();
            assert_eq!((zone.to_string().as_str(), zone.name().is_fqdn()), ("example.org", true));
        }
        assert_eq!(Zone::named(".").unwrap(), Zone::root());
        assert!(Zone::root().contains(&Name::from_ascii("a.b.").unwrap()));
    }

    #[test]
    fn reverse_zones_are_below_the_two_trees_of_arpa() {
        for (text, reverse) in [
            ("in-addr.arpa", true),
            ("10.IN-ADDR.arpa", true),
            ("d.f.ip6.arpa", true),
            ("arpa", false),
            ("home.arpa", false),
            ("in-addr.arpa.example", false),
            (".", false),
        ] {
            assert_eq!(Zone::named(text).unwrap().is_reverse(), reverse, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a..b", ".a", "ä.example", "a b", "10.0.0.0/33", "x/8", "{"] {
            assert!(Zone::list(text).is_err(), "{text}");
        }
        assert!(Zone::named(&"a".repeat(64)).is_err());
        assert!(Zone::named(&vec!["abcdefgh"; 29].join(".")).is_err());
    }
}
