//! Reads the name servers and the search list of a `resolv.conf`.
//!
//! Syntax: resolv.conf(5). Addresses that this server answers itself are left out, since a query
//! forwarded to them would come back for ever.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Port of DNS.
const DNS_PORT: u16 = 53;

/// The name servers of a `resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upstreams {
    /// Those that can be asked, in the order of the file, each once.
    pub usable: Vec<SocketAddr>,
    /// Those that cannot, and why.
    pub skipped: Vec<Skipped>,
}

/// A `nameserver` line that gives no upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Line of the file, from 1.
    pub line: usize,
    /// The address as written.
    pub text: String,
    /// Why it is left out.
    pub reason: SkipReason,
}

/// Why a `nameserver` line gives no upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// It is no IP address.
    NotAnAddress,
    /// It is an address that this server listens on.
    Own,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAnAddress => "not an IP address",
            Self::Own => "this server listens on it",
        })
    }
}

/// Reads the name servers of `text`, leaving out those among `own`.
///
/// `own` has the addresses that this server listens on, with their ports; an unspecified one stands
/// for the loopback addresses of its family too. Pass the addresses of the node beside it if they
/// may stand in the file.
#[must_use]
pub fn upstreams(text: &str, own: &[SocketAddr]) -> Upstreams {
    let mut found = Upstreams::default();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let (Some("nameserver"), Some(written)) = (words.next(), words.next()) else { continue };
        let mut skip = |reason| {
            found.skipped.push(Skipped { line: index + 1, text: written.to_owned(), reason });
        };
        match address(written) {
            None => skip(SkipReason::NotAnAddress),
            Some(upstream) if is_own(upstream, own) => skip(SkipReason::Own),
            Some(upstream) if found.usable.contains(&upstream) => {}
            Some(upstream) => found.usable.push(upstream),
        }
    }
    found
}

/// Reads the search list of `text`: that of the last `search` or `domain` line.
///
/// The root stands for no suffix, and is left out.
pub fn search_list(text: &str) -> Vec<&str> {
    let mut list = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("search") => list = words.collect(),
            Some("domain") => list = words.take(1).collect(),
            Some(_) | None => {}
        }
    }
    list.retain(|suffix| *suffix != ".");
    list
}

/// Whether a query to `upstream` would come back to one of `own`.
#[must_use]
pub fn is_own(upstream: SocketAddr, own: &[SocketAddr]) -> bool {
    let local = upstream.ip().is_loopback() || upstream.ip().is_unspecified();
    own.iter().filter(|address| address.port() == upstream.port()).any(|address| {
        let everywhere =
            address.ip().is_unspecified() && address.is_ipv4() == upstream.is_ipv4() && local;
        // A query to the unspecified address goes to the loopback address of the family.
        let here = upstream.ip().is_unspecified() && address.ip().is_loopback();
        address.ip() == upstream.ip() || everywhere || here
    })
}

/// Reads an address, with a numeric zone index if it has one.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, DNS_PORT));
    }
    let (address, zone) = text.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    Some(SocketAddrV6::new(address, DNS_PORT, 0, zone.parse().ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_search_list_counts() {
        for (text, expected) in [
            ("nameserver 10.0.0.1\n", &[][..]),
            ("search a.example b.example\n", &["a.example", "b.example"]),
            ("search a.example\ndomain c.example\n", &["c.example"]),
            ("domain c.example\nsearch\ta.example  .\n", &["a.example"]),
            ("#search a.example\noptions ndots:5\n", &[]),
        ] {
            assert_eq!(search_list(text), expected, "{text:?}");
        }
    }

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn name_servers_are_read_in_order_and_once() {
        let text = "# made by hand\nsearch example.org\n; old\n\
                    nameserver 192.0.2.1\n  nameserver\t2001:db8::1  # second\n\
                    nameserver 192.0.2.1\noptions ndots:5\nnameserver\n";
        let found = upstreams(text, &[]);
        assert_eq!(found.usable, [socket("192.0.2.1:53"), socket("[2001:db8::1]:53")]);
        assert_eq!(found.skipped, []);
    }

    #[test]
    fn own_addresses_and_malformed_ones_are_left_out_and_named() {
        let text = "nameserver 127.0.0.1\nnameserver dns.example\nnameserver 127.0.0.53\n";
        let found = upstreams(text, &[socket("127.0.0.1:53")]);
        assert_eq!(found.usable, [socket("127.0.0.53:53")]);
        assert_eq!(
            found.skipped,
            [
                Skipped { line: 1, text: "127.0.0.1".to_owned(), reason: SkipReason::Own },
                Skipped {
                    line: 2,
                    text: "dns.example".to_owned(),
                    reason: SkipReason::NotAnAddress
                },
            ]
        );
    }

    #[test]
    fn listening_everywhere_owns_the_loopback_addresses_of_the_family() {
        let everywhere = [socket("0.0.0.0:53")];
        assert!(is_own(socket("127.0.0.53:53"), &everywhere));
        assert!(!is_own(socket("[::1]:53"), &everywhere));
        assert!(!is_own(socket("192.0.2.1:53"), &everywhere));
        assert!(!is_own(socket("127.0.0.1:53"), &[socket("0.0.0.0:5353")]));
        assert!(is_own(socket("0.0.0.0:53"), &[socket("127.0.0.1:53")]));
    }

    #[test]
    fn link_local_server_keeps_its_numeric_zone() {
        let found = upstreams("nameserver fe80::1%3\nnameserver fe80::1%eth0\n", &[]);
        assert_eq!(found.usable, [socket("[fe80::1%3]:53")]);
        assert_eq!(found.skipped.len(), 1);
    }
}
