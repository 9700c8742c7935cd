//! What a Service's plan wants in the maps.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use podway_cluster_model::name::{PortName, ServiceName};
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::Affinity;
use podway_ebpf_abi::address::{Address, IPV4, IPV6, TCP, UDP};
use podway_proxy_plan::plan::{Backend, Family, Pool, PortPlan, ServicePlan};

use crate::carry::{Carrier, Site, carrier};

/// What a pool in the maps stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName {
    /// The Service.
    pub service: ServiceName,
    /// The Service port.
    pub port: PortName,
    /// Its protocol.
    pub protocol: Protocol,
    /// Family of frontends and endpoints.
    pub family: Family,
    /// Which endpoints of the port.
    pub pool: Pool,
}

/// A pool that a plan wants, with the frontends that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: PoolName,
    /// At least one.
    pub(crate) frontends: Vec<Address>,
    pub(crate) content: Content,
}

/// What is in a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Content {
    /// Endpoints, each as often as its share of the traffic; none refuses.
    pub(crate) slots: Vec<Address>,
    /// How long a client keeps its endpoint; 0 where it chooses anew each time.
    pub(crate) affinity_seconds: u32,
}

/// The pools that `plan` wants at `site`.
pub(crate) fn wanted(plan: &ServicePlan, site: &Site) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for port in &plan.ports {
        for pool in [Pool::Cluster, Pool::Local] {
            let frontends: Vec<Address> = port
                .frontends
                .iter()
                .filter(|frontend| carrier(&plan.name, port, frontend, site) == Carrier::Ebpf(pool))
                .filter_map(|frontend| {
                    let key = frontend.key;
                    address(SocketAddr::new(key.address, key.port.number()), key.protocol)
                })
                .collect();
            if !frontends.is_empty() {
                let name = PoolName {
                    service: plan.name.clone(),
                    port: port.name.clone(),
                    protocol: port.protocol,
                    family: port.family,
                    pool,
                };
                wanted.push(Wanted { name, frontends, content: content(port, pool) });
            }
        }
    }
    wanted
}

/// What is in `pool` of `port`.
fn content(port: &PortPlan, pool: Pool) -> Content {
    let endpoints = port.pool(pool);
    let divisor = endpoints.iter().map(|endpoint| endpoint.weight).fold(0, greatest_divisor).max(1);
    let repeated = |endpoint: &Backend| {
        let times = usize::from(endpoint.weight / divisor);
        address(endpoint.address, port.protocol)
            .into_iter()
            .flat_map(move |address| std::iter::repeat_n(address, times))
    };
    let affinity_seconds = match port.affinity {
        Affinity::None => 0,
        Affinity::ClientIp { timeout } => u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX),
    };
    Content { slots: endpoints.iter().flat_map(repeated).collect(), affinity_seconds }
}

/// `address` as programs see it; `None` for a protocol without hooks.
#[must_use]
pub fn address(address: SocketAddr, protocol: Protocol) -> Option<Address> {
    let protocol = match protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Sctp => return None,
    };
    let port_be = address.port().to_be();
    Some(match address.ip() {
        IpAddr::V4(ip) => Address::v4(u32::from_ne_bytes(ip.octets()), port_be, protocol),
        IpAddr::V6(ip) => Address::v6(words_be(ip.octets()), port_be, protocol),
    })
}

/// Where `address` is; `None` for a family that there is not.
pub(crate) fn socket_address(address: &Address) -> Option<SocketAddr> {
    let port = u16::from_be(address.port_be);
    let octets = |word: u32| word.to_ne_bytes();
    let ip: IpAddr = match (address.family, address.words_be) {
        (IPV4, [word, ..]) => octets(word).into(),
        (IPV6, words) => {
            let mut all = [0; 16];
            all.copy_from_slice(words.map(octets).as_flattened());
            all.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// An IPv6 address in network order, by words.
fn words_be(octets: [u8; 16]) -> [u32; 4] {
    let (words, _) = octets.as_chunks::<4>();
    std::array::from_fn(|word| words.get(word).copied().map_or(0, u32::from_ne_bytes))
}

const fn greatest_divisor(one: u8, other: u8) -> u8 {
    if other == 0 { one } else { greatest_divisor(other, one % other) }
}

impl Wanted {
    /// How many members it has.
    pub(crate) fn members(&self) -> usize {
        self.content.members().len()
    }
}

impl Content {
    /// The endpoints that a client may keep; none without affinity.
    pub(crate) fn members(&self) -> BTreeSet<Address> {
        if self.affinity_seconds == 0 {
            BTreeSet::new()
        } else {
            self.slots.iter().copied().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_either_family_comes_back() {
        for text in ["10.96.0.1:80", "[fd00:10:96::1]:65535"] {
            let there: SocketAddr = text.parse().expect("an address");
            let back = address(there, Protocol::Tcp).and_then(|one| socket_address(&one));
            assert_eq!(back, Some(there));
        }
        assert_eq!(socket_address(&bytemuck::Zeroable::zeroed()), None, "no family");
    }
}
