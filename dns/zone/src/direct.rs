//! What a question gets, borrowed from the index: for writers that lay out messages without records.
//!
//! The decision is that of [`answer`](fn@crate::answer), made on the same look-up; this is a second
//! rendering of it and not a second opinion, which the tests of `answer` hold it to. Only what can be
//! told without allocation is told. Everything else, aliases and names of name servers for example,
//! is left to `answer`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use hickory_proto::rr::{Name, RecordType};
use podway_cluster_model::endpoint::EndpointPort;

use crate::endpoints::ReadyEndpoint;
use crate::index::{Tables, ZoneIndex};
use crate::locate::{Existence, Node, locate};
use crate::ports::is_named;
use crate::qname::QName;
use crate::records::{SoaNumbers, share_of_100};
use crate::service::{self, Kind, ServiceKey, ServiceRecords};
use crate::zones::ZoneKind;

/// Endpoints that one label stands for, and ports of one name, that are told directly.
///
/// 8: an endpoint has one address of each family, and hardly a Service has more ports.
const FEW: usize = 8;

/// A name as it stands in a message; reading it allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedName(QName);

impl AskedName {
    /// Reads the name that `octets` start with; `None` where it is compressed, too long or cut off.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        QName::read(octets).map(Self)
    }

    /// Whether it is `zone` or below it, whatever the case of the letters.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0.is_within(&zone.0)
    }

    /// How many labels it has, the root not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        self.0.label_count()
    }

    /// Octets that it takes in a message, the final zero included.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.0.offset(self.0.label_count()) + 1
    }
}

impl From<&Name> for AskedName {
    fn from(name: &Name) -> Self {
        Self(QName::new(name))
    }
}

/// Addresses of one family; never empty, without duplicates, in no order that means anything.
#[derive(Debug, Clone)]
pub enum Addresses<'i, A> {
    /// Those of a Service.
    Shared(&'i [A]),
    /// Those of one endpoint or pod.
    Few(ArrayVec<A, FEW>),
}

impl<A> Addresses<'_, A> {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[A] {
        match self {
            Self::Shared(addresses) => addresses,
            Self::Few(addresses) => addresses,
        }
    }
}

/// The labels of a Service's name before those of the zone.
pub type Target<'i> = [&'i str; 3];

/// The ports of a Service with addresses of its own.
#[derive(Debug, Clone)]
pub struct Ports<'i> {
    /// The numbers in ascending order; never empty.
    pub numbers: ArrayVec<u16, FEW>,
    /// Weight of every SRV record; the priority is 0.
    pub weight: u16,
    /// The target: a name below the zone as the client spelled that.
    pub target: Target<'i>,
    /// Its IPv4 addresses.
    pub v4: &'i [Ipv4Addr],
    /// Its IPv6 addresses.
    pub v6: &'i [Ipv6Addr],
}

/// What stands at a name.
#[derive(Debug, Clone)]
pub enum Found<'i> {
    /// A records.
    V4(Addresses<'i, Ipv4Addr>),
    /// AAAA records.
    V6(Addresses<'i, Ipv6Addr>),
    /// SRV records.
    Ports(Ports<'i>),
    /// A PTR record to a name below the primary zone.
    Pointer(Target<'i>),
    /// The name exists and has no records of the type asked.
    NoData,
    /// The name does not exist.
    NxDomain,
}

/// An answer, borrowed from the index.
#[derive(Debug, Clone)]
pub struct Direct<'i> {
    /// The records.
    pub found: Found<'i>,
    /// Where in the name asked the apex of its zone starts.
    pub apex_at: usize,
    /// Seconds that records may be kept.
    pub ttl: u32,
    /// The zone's SOA record, for answers without records.
    pub soa: SoaNumbers,
}

/// What `name` answers to `record_type`, if that can be told without allocation.
#[must_use]
pub fn direct<'i>(
    index: &'i ZoneIndex,
    AskedName(name): &AskedName,
    record_type: RecordType,
) -> Option<Direct<'i>> {
    let config = index.config();
    let zone = config.zone_of(name)?;
    let tables = index.tables()?;
    // What is not known of imports is said by a failure, which is for `answer` to render.
    let unknown = zone.kind == ZoneKind::Imported && !tables.knows_imports();
    if unknown || matches!(record_type, RecordType::AXFR | RecordType::IXFR) {
        return None;
    }
    let found = match locate(tables, config, zone, name) {
        Existence::Missing if config.falls_through(name) => return None,
        Existence::Missing => Found::NxDomain,
        Existence::NotOurs => return None,
        Existence::Exists(node) => found(tables, node, record_type)?,
    };
    let ttl = config.ttl().seconds();
    let before_apex = name.label_count() - zone.lowered.label_count();
    let soa = SoaNumbers::new(index.serial(), ttl);
    Some(Direct { found, apex_at: name.offset(before_apex), ttl, soa })
}

/// What stands at a name that exists.
fn found<'i>(tables: &'i Tables, node: Node<'i, '_>, record_type: RecordType) -> Option<Found<'i>> {
    match (record_type, node) {
        (_, Node::Alias(_))
        | (RecordType::SOA, Node::Apex | Node::ReverseApex)
        | (RecordType::NS, Node::Apex)
        | (RecordType::TXT, Node::Version) => None,
        (RecordType::A, _) => {
            let of_service = |addresses: &'i service::Addresses| &*addresses.v4;
            addresses(node, of_service, ipv4).map(|found| found.map_or(Found::NoData, Found::V4))
        }
        (RecordType::AAAA, _) => {
            let of_service = |addresses: &'i service::Addresses| &*addresses.v6;
            addresses(node, of_service, ipv6).map(|found| found.map_or(Found::NoData, Found::V6))
        }
        (RecordType::SRV, Node::Service(records)) => ports(records, |_| true),
        (RecordType::SRV, Node::Port(records, name, protocol)) => {
            ports(records, |port| is_named(port, name, protocol))
        }
        (
            RecordType::SRV,
            Node::Endpoints(..)
            | Node::Zonal(..)
            | Node::Import(_)
            | Node::ImportPort(..)
            | Node::Members(..),
        ) => None,
        (RecordType::PTR, Node::Pointer(address, keys)) => pointer(tables, address, keys),
        _ => Some(Found::NoData),
    }
}

/// The addresses of one family at a node; none inside means NODATA.
fn addresses<'i, A: PartialEq>(
    node: Node<'i, '_>,
    of_service: impl Fn(&'i service::Addresses) -> &'i [A],
    of_family: impl Fn(IpAddr) -> Option<A>,
) -> Option<Option<Addresses<'i, A>>> {
    let mut few = ArrayVec::new();
    match node {
        Node::Service(records) | Node::Nameserver(Some(records)) => {
            return Some(shared(of_service(&records.addresses)));
        }
        Node::Import(records) => return Some(shared(of_service(&records.addresses))),
        Node::Port(records, ..) => match records.kind {
            Kind::ClusterIp { .. } => return Some(shared(of_service(&records.addresses))),
            // Only the endpoints that have the port, each once: `answer` sorts them out.
            Kind::Headless | Kind::Alias(_) => return None,
        },
        Node::Endpoints(records, label) => {
            let endpoints = records.endpoints.named(label);
            for address in endpoints.filter_map(|ReadyEndpoint { address, .. }| of_family(*address))
            {
                if !few.contains(&address) {
                    few.try_push(address).ok()?;
                }
            }
        }
        Node::Pod(address) => few.extend(of_family(address)),
        Node::Nameserver(None)
        | Node::Empty
        | Node::Apex
        | Node::ReverseApex
        | Node::Version
        | Node::Pointer(..) => {}
        Node::Alias(_) | Node::Zonal(..) | Node::ImportPort(..) | Node::Members(..) => return None,
    }
    Some((!few.is_empty()).then_some(Addresses::Few(few)))
}

fn shared<A>(addresses: &[A]) -> Option<Addresses<'_, A>> {
    (!addresses.is_empty()).then_some(Addresses::Shared(addresses))
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

/// Those ports of a Service that are asked; a headless one has as many targets as endpoints.
fn ports(records: &ServiceRecords, is_asked: impl Fn(&EndpointPort) -> bool) -> Option<Found<'_>> {
    let Kind::ClusterIp { ports } = &records.kind else { return None };
    let own = &records.addresses;
    let mut numbers = ArrayVec::<u16, FEW>::new();
    let mut pairs = 0;
    for port in ports.iter().filter(|port| is_asked(port)) {
        pairs += own.len();
        let number = port.port.number();
        if let Err(place) = numbers.binary_search(&number) {
            numbers.try_insert(place, number).ok()?;
        }
    }
    if pairs == 0 {
        return Some(Found::NoData);
    }
    let weight = share_of_100(pairs);
    Some(Found::Ports(Ports { numbers, weight, target: target(records), v4: &own.v4, v6: &own.v6 }))
}

/// The one Service that has the address; several, or endpoints, are left to `answer`.
fn pointer<'i>(tables: &'i Tables, address: IpAddr, keys: &'i [ServiceKey]) -> Option<Found<'i>> {
    let services = keys.iter().filter_map(|key| tables.service(key));
    let mut owners = services.filter(|records| records.owns(address));
    match (owners.next(), owners.next()) {
        (Some(owner), None) => Some(Found::Pointer(target(owner))),
        (None | Some(_), _) => None,
    }
}

fn target(records: &ServiceRecords) -> Target<'_> {
    [records.name.name.as_str(), records.name.namespace.as_str(), "svc"]
}

#[cfg(test)]
pub(crate) mod rendered;
