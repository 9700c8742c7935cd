//! Addresses to listen at, hosts with ports, networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use super::Refusal;

/// What an address to listen at may look like.
const ACCEPTED: &str = "[HOST]:PORT such as :8080 or 127.0.0.1:9153";

/// Where an HTTP endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenAddress {
    /// At which address.
    pub host: ListenHost,
    /// At which port; 0 is any free one.
    pub port: u16,
}

/// The host part of a [`ListenAddress`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenHost {
    /// Every address of the machine.
    Any,
    /// The addresses of `localhost`.
    Localhost,
    /// One address.
    Address(IpAddr),
}

impl ListenAddress {
    /// Every address of the machine at `port`.
    pub(crate) const fn any(port: u16) -> Self {
        Self { host: ListenHost::Any, port }
    }

    /// Only this machine at `port`.
    pub(crate) const fn localhost(port: u16) -> Self {
        Self { host: ListenHost::Localhost, port }
    }

    /// Whether both cannot be listened at together.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let host = |host: &ListenHost| match host {
            ListenHost::Any => None,
            ListenHost::Address(address) if address.is_unspecified() => None,
            ListenHost::Localhost => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ListenHost::Address(IpAddr::V6(Ipv6Addr::LOCALHOST)) => {
                Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
            }
            ListenHost::Address(address) => Some(*address),
        };
        let (one, two) = (host(&self.host), host(&other.host));
        self.port == other.port && self.port != 0 && (one.is_none() || two.is_none() || one == two)
    }

    /// Reads `HOST:PORT`, `:PORT` or `HOST`, which takes the port of the default.
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Self, Refusal> {
        let (host, port) = host_and_port(text, ACCEPTED)?;
        let port = port.unwrap_or(default_port);
        let host = match host {
            "" | "*" => ListenHost::Any,
            "localhost" => ListenHost::Localhost,
            host => match host.parse() {
                Ok(address) => ListenHost::Address(address),
                Err(_) => return Err(Refusal::new("has no IP address before the port", ACCEPTED)),
            },
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ListenHost::Any => write!(formatter, ":{}", self.port),
            ListenHost::Localhost => write!(formatter, "localhost:{}", self.port),
            ListenHost::Address(address) => {
                write!(formatter, "{}", std::net::SocketAddr::new(*address, self.port))
            }
        }
    }
}

/// Parts a host from its port: `a:1`, `[::1]:1`, `::1`, `a`, `:1`.
pub(crate) fn host_and_port<'a>(
    text: &'a str,
    accepted: &str,
) -> Result<(&'a str, Option<u16>), Refusal> {
    let port = |port: &str| match port.parse::<u16>() {
        Ok(number) if port.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
        Ok(_) | Err(_) => Err(Refusal::new("has no port in 0..=65535 after the colon", accepted)),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let unclosed = || Refusal::new("has a bracket that is never closed", accepted);
        let (host, rest) = rest.split_once(']').ok_or_else(unclosed)?;
        if Ipv6Addr::from_str(host).is_err() {
            return Err(Refusal::new("has no IPv6 address in its brackets", accepted));
        }
        return match rest.strip_prefix(':') {
            Some(number) => Ok((host, port(number)?)),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(Refusal::new("has no colon after its bracket", accepted)),
        };
    }
    match text.split_once(':') {
        Some((host, number)) if !number.contains(':') => Ok((host, port(number)?)),
        // More than one colon: an IPv6 address without a port.
        Some(_) | None => Ok((text, None)),
    }
}

/// Reads a network; an address alone is a network of one.
pub(crate) fn network(text: &str) -> Result<IpNet, Refusal> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let accepted = "a network such as 10.0.0.0/8, or an IP address";
    network.map(|network| network.trunc()).or(Err(Refusal::new("is no network", accepted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_at() {
        for (text, shown) in [
            (":8080", ":8080"),
            ("localhost:9153", "localhost:9153"),
            ("169.254.20.10:8080", "169.254.20.10:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("127.0.0.1", "127.0.0.1:1"),
            ("::", "[::]:1"),
        ] {
            assert_eq!(ListenAddress::parse(text, 1).unwrap().to_string(), shown, "{text}");
        }
        for text in ["host:1", ":", ":x", ":65536", ":+1", "[::1", "[::1]1", "[x]:1", "1:2:3"] {
            assert!(ListenAddress::parse(text, 1).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_listened_at_together() {
        for (one, two, overlap) in [
            (":8080", ":8080", true),
            (":8080", "127.0.0.1:8080", true),
            ("[::]:8080", "10.0.0.1:8080", true),
            ("localhost:8080", "127.0.0.1:8080", true),
            ("10.0.0.1:8080", "10.0.0.2:8080", false),
            (":8080", ":8081", false),
            (":0", ":0", false),
        ] {
            let parse = |text| ListenAddress::parse(text, 1).unwrap();
            assert_eq!(parse(one).overlaps(&parse(two)), overlap, "{one} {two}");
        }
    }
}
