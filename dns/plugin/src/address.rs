//! Names of addresses (RFC 1035, section 3.5; RFC 3596, section 2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;

/// The address that a whole reverse name stands for.
pub(crate) fn of_reverse_name(name: &Name) -> Option<IpAddr> {
    let labels: Vec<Vec<u8>> = name.iter().rev().map(<[u8]>::to_ascii_lowercase).collect();
    let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
    match labels.as_slice() {
        [b"arpa", b"in-addr", octets @ ..] => {
            let octets: Option<Vec<u8>> = octets.iter().map(|label| octet(label)).collect();
            let octets: [u8; 4] = octets?.try_into().ok()?;
            Some(IpAddr::V4(Ipv4Addr::from(octets)))
        }
        [b"arpa", b"ip6", nibbles @ ..] if nibbles.len() == 32 => {
            let mut address = 0_u128;
            for label in nibbles {
                let [digit] = label else { return None };
                address = address << 4 | u128::from(char::from(*digit).to_digit(16)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(address)))
        }
        _ => None,
    }
}

/// A number from 0 to 255 without zeros before it.
fn octet(label: &[u8]) -> Option<u8> {
    let plain = label.iter().all(u8::is_ascii_digit) && (label.len() == 1 || label[0] != b'0');
    plain.then(|| std::str::from_utf8(label).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_reverse_names_stand_for_addresses() {
        let long = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6.arpa.";
        for (name, address) in [
            ("4.3.2.10.in-addr.arpa.", Some("10.2.3.4")),
            ("4.3.2.10.IN-ADDR.ARPA.", Some("10.2.3.4")),
            ("3.2.10.in-addr.arpa.", None),
            ("04.3.2.10.in-addr.arpa.", None),
            ("256.3.2.10.in-addr.arpa.", None),
            ("5.4.3.2.10.in-addr.arpa.", None),
            (long, Some("2001:db8::1")),
            ("1.ip6.arpa.", None),
            ("example.", None),
        ] {
            let name = Name::from_ascii(name).unwrap();
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!(of_reverse_name(&name), expected, "{name}");
        }
    }
}
