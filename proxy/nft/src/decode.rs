//! What the kernel tells of elements.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use podway_cluster_model::port::{Port, Protocol};
use podway_proxy_plan::plan::{Family, FrontendKey};

use crate::element::{AffinityId, Learned};

/// Length of `struct nfgenmsg` in bytes.
const FAMILY_HEADER_BYTES: usize = 4;

/// `NFTA_SET_ELEM_LIST_ELEMENTS`.
const LIST_ELEMENTS: u16 = 3;

/// `enum nft_set_elem_attributes`.
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_TIMEOUT: u16 = 4;
const ELEMENT_EXPIRATION: u16 = 5;
const ELEMENT_EXPRESSION: u16 = 7;

/// `NFTA_DATA_VALUE`, `NFTA_EXPR_DATA`, `NFTA_COUNTER_PACKETS`.
const DATA_VALUE: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const COUNTER_PACKETS: u16 = 2;

/// `NFTA_SET_COUNT`.
const SET_COUNT: u16 = 20;

/// The attributes of a message or attribute: type and value.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// `NLA_TYPE_MASK`: the two high bits are flags.
    const TYPE_MASK: u16 = 0x3fff;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header: &[u8; 4] = rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK, value))
    })
}

/// The attributes of each element in a message about a set.
pub(crate) fn elements(payload: &[u8]) -> Vec<Vec<u8>> {
    let content = payload.get(FAMILY_HEADER_BYTES..).unwrap_or_default();
    let lists = attributes(content).filter(|(kind, _)| *kind == LIST_ELEMENTS);
    lists.flat_map(|(_, list)| attributes(list)).map(|(_, element)| element.to_vec()).collect()
}

/// How many elements a set has, as a message about it says; older kernels leave that out.
pub(crate) fn set_count(payload: &[u8]) -> Option<u32> {
    let content = payload.get(FAMILY_HEADER_BYTES..)?;
    Some(u32::from_be_bytes(*attribute(content, SET_COUNT)?.first_chunk()?))
}

/// The client that an element of the map of learned clients stands for.
pub(crate) fn learned(family: Family, element: &[u8]) -> Option<Learned> {
    let key = attribute(attribute(element, ELEMENT_KEY)?, DATA_VALUE)?;
    let (client, rest) = address(family, key)?;
    let (protocol, rest) = rest.split_at_checked(4)?;
    let id = u32::from_ne_bytes(*rest.first_chunk()?);
    let data = attribute(attribute(element, ELEMENT_DATA)?, DATA_VALUE)?;
    let (endpoint, port) = address(family, data)?;
    let time = |kind| Some(u64::from_be_bytes(*attribute(element, kind)?.first_chunk()?));
    Some(Learned {
        client,
        protocol: self::protocol(protocol)?,
        id: AffinityId(NonZeroU32::new(id)?),
        endpoint: SocketAddr::new(endpoint, u16::from_be_bytes(*port.first_chunk()?)),
        timeout_ms: time(ELEMENT_TIMEOUT)?,
        expires_ms: time(ELEMENT_EXPIRATION)?,
    })
}

/// The frontend and packet count of an element of a counted set.
pub(crate) fn counted(family: Family, element: &[u8]) -> Option<(FrontendKey, u64)> {
    let key = attribute(attribute(element, ELEMENT_KEY)?, DATA_VALUE)?;
    let (address, rest) = address(family, key)?;
    let (protocol, rest) = rest.split_at_checked(4)?;
    let key = FrontendKey {
        address,
        protocol: self::protocol(protocol)?,
        port: Port::new(u16::from_be_bytes(*rest.first_chunk()?))?,
    };
    let counter = attribute(attribute(element, ELEMENT_EXPRESSION)?, EXPRESSION_DATA)?;
    let packets = attribute(counter, COUNTER_PACKETS)?;
    Some((key, u64::from_be_bytes(*packets.first_chunk()?)))
}

fn attribute(content: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(content).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Takes an address off the front of a key.
fn address(family: Family, key: &[u8]) -> Option<(IpAddr, &[u8])> {
    match family {
        Family::Ip => {
            key.split_first_chunk::<4>().map(|(octets, rest)| (IpAddr::from(*octets), rest))
        }
        Family::Ip6 => {
            key.split_first_chunk::<16>().map(|(octets, rest)| (IpAddr::from(*octets), rest))
        }
    }
}

fn protocol(part: &[u8]) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|protocol| part.first() == Some(&protocol.number()))
}
