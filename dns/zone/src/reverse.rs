//! `in-addr.arpa` and `ip6.arpa`: names of addresses.
//!
//! Rules: RFC 1035 §3.5, RFC 3596 §2.5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use hickory_proto::rr::Name;

use crate::qname::QName;

/// Labels of an IPv4 address.
const V4_LABELS: usize = 4;

/// Labels of an IPv6 address, one for each half octet.
const V6_LABELS: usize = 32;

/// What a name in a tree of addresses stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReverseName {
    /// One address.
    Address(IpAddr),
    /// The addresses that a prefix covers: an inner node of the tree.
    Prefix(RangeInclusive<IpAddr>),
}

/// Reads a name in one of the trees; `None` where it stands for no address.
pub(crate) fn parse(name: &QName) -> Option<ReverseName> {
    // Both trees have two labels.
    let labels = name.label_count().checked_sub(2)?;
    match name.label(labels) {
        b"in-addr" if labels <= V4_LABELS => parse_v4(name, labels),
        b"ip6" if labels <= V6_LABELS => parse_v6(name, labels),
        _ => None,
    }
}

fn parse_v4(name: &QName, labels: usize) -> Option<ReverseName> {
    let (mut lowest, mut highest) = ([0; V4_LABELS], [u8::MAX; V4_LABELS]);
    for index in 0..labels {
        let octet = parse_octet(name.label(index))?;
        lowest[labels - 1 - index] = octet;
        highest[labels - 1 - index] = octet;
    }
    let (lowest, highest) = (Ipv4Addr::from(lowest).into(), Ipv4Addr::from(highest).into());
    Some(covering(lowest, highest, labels == V4_LABELS))
}

fn parse_v6(name: &QName, labels: usize) -> Option<ReverseName> {
    let mut bits = 0;
    for index in (0..labels).rev() {
        let [digit] = name.label(index) else { return None };
        bits = bits << 4 | u128::from(char::from(*digit).to_digit(16)?);
    }
    let free = 4 * (V6_LABELS - labels);
    let free_u32 = u32::try_from(free).ok()?;
    let lowest = bits.checked_shl(free_u32).unwrap_or(0);
    let highest = lowest | u128::MAX.checked_shr(128 - free_u32).unwrap_or(0);
    let (lowest, highest) = (Ipv6Addr::from(lowest).into(), Ipv6Addr::from(highest).into());
    Some(covering(lowest, highest, labels == V6_LABELS))
}

fn covering(lowest: IpAddr, highest: IpAddr, complete: bool) -> ReverseName {
    if complete { ReverseName::Address(lowest) } else { ReverseName::Prefix(lowest..=highest) }
}

/// Reads a decimal octet without leading zeros.
fn parse_octet(label: &[u8]) -> Option<u8> {
    let leading_zero = label.len() > 1 && label.first() == Some(&b'0');
    if leading_zero || !label.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(label).ok()?.parse().ok()
}

/// The name of an address.
pub(crate) fn name(address: IpAddr) -> Name {
    Name::from(address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<ReverseName> {
        parse(&QName::new(&Name::from_ascii(text).unwrap()))
    }

    fn prefix(lowest: &str, highest: &str) -> Option<ReverseName> {
        Some(ReverseName::Prefix(lowest.parse().unwrap()..=highest.parse().unwrap()))
    }

    #[test]
    fn inner_names_stand_for_prefixes() {
        assert_eq!(read("in-addr.arpa."), prefix("0.0.0.0", "255.255.255.255"));
        assert_eq!(read("96.10.in-addr.arpa."), prefix("10.96.0.0", "10.96.255.255"));
        assert_eq!(read("ip6.arpa."), prefix("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert_eq!(
            read("0.0.D.f.ip6.arpa."),
            prefix("fd00::", "fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
        );
    }

    #[test]
    fn names_of_no_address_are_refused() {
        for text in [
            "256.0.0.10.in-addr.arpa.",
            "01.0.0.10.in-addr.arpa.",
            "1.1.0.0.10.in-addr.arpa.",
            "x.in-addr.arpa.",
            "00.ip6.arpa.",
            "g.ip6.arpa.",
            "10.ip6.arpa.",
            "arpa.",
            ".",
        ] {
            assert_eq!(read(text), None, "{text} was read");
        }
        assert_eq!(read(&format!("{}ip6.arpa.", "0.".repeat(33))), None);
    }

    proptest! {
        #[test]
        fn name_of_an_address_is_read_back(address in any::<IpAddr>()) {
            prop_assert_eq!(parse(&QName::new(&name(address))), Some(ReverseName::Address(address)));
        }
    }
}
