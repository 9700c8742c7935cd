//! Addresses and networks as the API server accepts them.
//!
//! Rules: `apimachinery` validation of IPs (no leading zeros since CVE-2021-29923, no IPv4-mapped
//! addresses, KEP-4858) and `ValidateNonSpecialIP` for what packets are sent to.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::path::{Fault, Path};
use crate::rejection::{Reason, quotable};

/// What an address is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It says where something is; every address will do.
    Location,
    /// Clients send to it and the proxy rewrites it.
    Frontend,
    /// The proxy sends to it.
    Endpoint,
}

/// Reads an address that is fit for its use.
pub(super) fn address(text: &str, used_as: Use, path: Path<'_>) -> Result<IpAddr, Fault> {
    let address = parse(text).map_err(|reason| path.fault(reason))?;
    match special_range(address, used_as) {
        Some(range) => Err(path.fault(Reason::SpecialAddress { address, range })),
        None => Ok(address),
    }
}

/// Reads a network; bits below the prefix are cleared, as the API server ignores them.
pub(super) fn network(text: &str, path: Path<'_>) -> Result<IpNet, Fault> {
    let no_range = || path.fault(Reason::NotARange { text: quotable(text) });
    let (address, length) = text.split_once('/').ok_or_else(no_range)?;
    let address = parse(address).map_err(|reason| path.fault(reason))?;
    let canonical =
        |length: &str| !length.is_empty() && (length == "0" || !length.starts_with(['0', '+']));
    if !canonical(length) {
        return Err(no_range());
    }
    let length = u8::from_str(length).map_err(|_not_a_number| no_range())?;
    IpNet::new(address, length).map(|network| network.trunc()).map_err(|_too_long| no_range())
}

fn parse(text: &str) -> Result<IpAddr, Reason> {
    let Ok(address) = IpAddr::from_str(text) else {
        return Err(if is_ipv4_with_leading_zero(text) {
            Reason::LeadingZero { text: quotable(text) }
        } else {
            Reason::NotAnAddress { text: quotable(text) }
        });
    };
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(Reason::Ipv4Mapped { address }),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(address),
    }
}

/// Whether `text` would be an IPv4 address without the zeros in front of its octets.
fn is_ipv4_with_leading_zero(text: &str) -> bool {
    let octet = |octet: &str| match octet.trim_start_matches('0') {
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let stripped = text.split('.').map(octet).collect::<Vec<_>>().join(".");
    stripped.len() < text.len() && Ipv4Addr::from_str(&stripped).is_ok()
}

/// The range that makes `address` unfit for its use, if it is in one.
fn special_range(address: IpAddr, used_as: Use) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let limited_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    match used_as {
        Use::Location => None,
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if limited_broadcast => Some("the broadcast address"),
        Use::Endpoint if link_local => Some("a link-local address"),
        Use::Frontend | Use::Endpoint => None,
    }
}
