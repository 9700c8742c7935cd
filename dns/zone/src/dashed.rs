//! Addresses as labels: `10-244-1-10`, `fd00-244--7`.
//!
//! Three dashes of which no two touch stand for the dots of an IPv4 address; otherwise every dash
//! stands for a colon of an IPv6 address. Rule: DNS-Based Service Discovery 1.0 §2.6, and CoreDNS
//! for IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest text of an IPv6 address: eight groups of four digits and seven colons.
const MAX_OCTETS: usize = 39;

/// Reads a lower-case label as an address, in any valid spelling of it.
pub(crate) fn parse(label: &[u8]) -> Option<IpAddr> {
    if label.len() > MAX_OCTETS || !label.iter().all(|octet| is_part(*octet)) {
        return None;
    }
    let dashes = label.iter().filter(|octet| **octet == b'-').count();
    let adjoining = label.windows(2).any(|pair| pair == b"--");
    let is_v4 = dashes == 3 && !adjoining;
    let separator = if is_v4 { b'.' } else { b':' };
    let mut spelled = [0; MAX_OCTETS];
    for (into, octet) in spelled.iter_mut().zip(label) {
        *into = if *octet == b'-' { separator } else { *octet };
    }
    let text = std::str::from_utf8(&spelled[..label.len()]).ok()?;
    if is_v4 {
        text.parse::<Ipv4Addr>().map(IpAddr::V4).ok()
    } else {
        text.parse::<Ipv6Addr>().map(IpAddr::V6).ok()
    }
}

/// Whether the octet may stand in such a label; dots and colons of its own may not.
fn is_part(octet: u8) -> bool {
    matches!(octet, b'0'..=b'9' | b'a'..=b'f' | b'-')
}

/// The label of an address, an IPv6 address in the form of RFC 5952.
pub(crate) fn label(address: IpAddr) -> String {
    let text = match address {
        // The text of such an address ends in the form of IPv4, whose dots would be lost.
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let [.., high, low] = v6.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        IpAddr::V4(_) | IpAddr::V6(_) => address.to_string(),
    };
    let mut label = text.replace(['.', ':'], "-");
    // A host name neither starts nor ends in a dash (RFC 952).
    if label.starts_with('-') {
        label.insert(0, '0');
    }
    if label.ends_with('-') {
        label.push('0');
    }
    label
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_spelled_with_dashes() {
        for (address, expected) in [
            ("10.244.1.10", "10-244-1-10"),
            ("fd00:244::7", "fd00-244--7"),
            ("5678:abcd::1", "5678-abcd--1"),
            ("fd00:1::", "fd00-1--0"),
            ("::", "0--0"),
            ("::ffff:10.0.0.1", "0--ffff-a00-1"),
        ] {
            assert_eq!(label(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn any_spelling_of_an_ipv6_address_is_read() {
        for spelling in ["fd00-244--7", "fd00-0244-0-0-0-0-0-7", "fd00-244--0-7"] {
            assert_eq!(
                parse(spelling.as_bytes()),
                Some("fd00:244::7".parse().unwrap()),
                "{spelling}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "-",
            "1-2-3",
            "1-2-3-4-5",
            "300-1-1-1",
            "01-2-3-4",
            "1-2-3-",
            "10.244.1.10",
            "fd00:244::7",
            "--ffff-1.2.3.4",
            "g--1",
            "1--2--3",
            "myapp-0",
            "1-2-3-4-5-6-7-8-9",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?} was read");
        }
    }

    proptest! {
        #[test]
        fn label_of_an_address_is_read_back(address in any::<IpAddr>()) {
            prop_assert_eq!(parse(label(address).as_bytes()), Some(address));
        }

        #[test]
        fn label_fits_and_any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(address) = parse(&octets) {
                prop_assert!(label(address).len() <= MAX_OCTETS);
            }
        }
    }
}
