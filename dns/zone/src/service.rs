//! What one Service contributes to the zone, precomputed when it changes.
//!
//! Rules: DNS-Based Service Discovery §2.3 to §2.5. Endpoints count for what they are called and,
//! where the Service has no address of its own, for its addresses; the readiness of endpoints says
//! nothing about the name of a Service with a ClusterIP.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::rr::Name;
use podway_cluster_model::endpoint::EndpointPort;
use podway_cluster_model::name::{Namespace, ServiceName};
use podway_cluster_model::port::Protocol;
use podway_cluster_model::service::{Service, ServiceKind};
use podway_cluster_model::snapshot::ServiceEntry;
use smallvec::SmallVec;

use crate::config::{EmptyServices, EndpointUse, ServiceRules};
use crate::endpoints::Endpoints;
use crate::ports;
use crate::table::Keyed;

/// Wire form of `<service>.<namespace>`: what a question has where a Service is named.
pub(crate) type ServiceKey = Arc<[u8]>;

/// The key of a Service.
pub(crate) fn service_key(name: &ServiceName) -> ServiceKey {
    [label_wire(name.name.as_str()), label_wire(name.namespace.as_str())].concat().into()
}

/// The key of a namespace: the wire form of its label.
pub(crate) fn namespace_key(namespace: &Namespace) -> Box<[u8]> {
    label_wire(namespace.as_str()).into()
}

/// The namespace part of the key of a Service.
pub(crate) fn namespace_of(key: &[u8]) -> &[u8] {
    key.first().and_then(|length| key.get(1 + usize::from(*length)..)).unwrap_or(&[])
}

/// The wire form of a label, which is at most 63 octets long by the type it comes from.
fn label_wire(label: &str) -> Vec<u8> {
    let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
    std::iter::once(length).chain(label.bytes()).collect()
}

/// Addresses by family, without duplicates; the few of most Services stand in the records
/// themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// What type A gives.
    pub(crate) v4: SmallVec<[Ipv4Addr; 4]>,
    /// What type AAAA gives.
    pub(crate) v6: SmallVec<[Ipv6Addr; 1]>,
}

impl Addresses {
    /// Those of `addresses`, each once.
    pub(crate) fn new(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let (mut v4, mut v6) = (SmallVec::new(), SmallVec::new());
        for address in addresses.collect::<BTreeSet<_>>() {
            match address {
                IpAddr::V4(address) => v4.push(address),
                IpAddr::V6(address) => v6.push(address),
            }
        }
        v4.shrink_to_fit();
        v6.shrink_to_fit();
        Self { v4, v6 }
    }

    /// All of them, IPv4 first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.iter().copied().map(IpAddr::V4);
        v4.chain(self.v6.iter().copied().map(IpAddr::V6))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// What the name of a Service stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its own addresses and ports.
    ClusterIp {
        /// The ports of the Service.
        ports: Box<[EndpointPort]>,
    },
    /// Its endpoints, of which at least one is ready.
    Headless,
    /// Another name.
    Alias(Name),
}

/// Everything that questions about one Service need.
///
/// In this order, so that what every question needs comes with the first step into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct ServiceRecords {
    /// The key of the Service, usually in the records themselves.
    key: SmallVec<[u8; 40]>,
    /// What its name stands for.
    pub(crate) kind: Kind,
    /// What its name resolves to; empty for an alias.
    pub(crate) addresses: Addresses,
    /// Namespace and name.
    pub(crate) name: ServiceName,
    /// What is below its name; empty for an alias.
    pub(crate) endpoints: Endpoints,
}

impl Keyed for ServiceRecords {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

impl ServiceRecords {
    /// What `entry` contributes; `None` where the name does not exist.
    pub(crate) fn build(entry: &ServiceEntry, rules: ServiceRules) -> Option<Self> {
        let service = entry.service.as_deref()?;
        let endpoints = || match rules.endpoints {
            EndpointUse::Named => {
                let slices = entry.slices.values().map(AsRef::as_ref);
                Endpoints::build(slices, (rules.pod_names, rules.zonal))
            }
            EndpointUse::Ignored => Endpoints::default(),
        };
        let (kind, addresses, endpoints) = match &service.kind {
            ServiceKind::ClusterIp(addresses) => {
                let endpoints = endpoints();
                let ignored = rules.empty == EmptyServices::Ignored
                    && rules.endpoints == EndpointUse::Named
                    && endpoints.is_empty();
                if ignored {
                    return None;
                }
                let ports = service_ports(service);
                (Kind::ClusterIp { ports }, Addresses::new(addresses.iter().copied()), endpoints)
            }
            ServiceKind::Headless => {
                let endpoints = endpoints();
                // Without a ready endpoint there is no name (DNS-Based Service Discovery §2.4.1).
                if endpoints.is_empty() {
                    return None;
                }
                let addresses = endpoints.ready().iter().map(|endpoint| endpoint.address);
                (Kind::Headless, Addresses::new(addresses), endpoints)
            }
            ServiceKind::ExternalName(target) => {
                (Kind::Alias(alias_target(target)?), Addresses::default(), Endpoints::default())
            }
        };
        let name = service.name.clone();
        let key = SmallVec::from_slice(&service_key(&name));
        Some(Self { key, kind, addresses, name, endpoints })
    }

    /// Whether the address stands for the Service itself rather than for an endpoint.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        match self.kind {
            Kind::ClusterIp { .. } => self.addresses.iter().any(|own| own == address),
            Kind::Headless | Kind::Alias(_) => false,
        }
    }

    /// The addresses whose reverse names lead here.
    pub(crate) fn pointer_addresses(&self) -> BTreeSet<IpAddr> {
        let endpoints = self.endpoints.ready().iter().map(|endpoint| endpoint.address);
        self.addresses.iter().chain(endpoints).collect()
    }

    /// The ports that names below the Service can name; one may stand here twice.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &EndpointPort> {
        let (own, of_endpoints) = match &self.kind {
            Kind::ClusterIp { ports } => (&**ports, None),
            Kind::Headless => (&[][..], Some(self.endpoints.ports())),
            Kind::Alias(_) => (&[][..], None),
        };
        own.iter().chain(of_endpoints.into_iter().flatten())
    }

    /// Whether a port of this name and protocol exists.
    pub(crate) fn has_port(&self, name: &[u8], protocol: Protocol) -> bool {
        ports::has(self.ports(), name, protocol)
    }

    /// Whether a named port of this protocol exists, so that names below the protocol's do.
    pub(crate) fn has_named_port(&self, protocol: Protocol) -> bool {
        ports::has_any(self.ports(), protocol)
    }
}

/// The Service's own ports in the form of those of endpoints.
fn service_ports(service: &Service) -> Box<[EndpointPort]> {
    service
        .ports
        .iter()
        .map(|port| EndpointPort {
            name: port.name.clone(),
            protocol: port.protocol,
            port: port.port,
        })
        .collect()
}

/// The name that an external name leads to; an address is no name, and CNAME cannot lead to it.
fn alias_target(text: &str) -> Option<Name> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut target = Name::from_ascii(bare).ok()?;
    target.set_fqdn(true);
    Some(target)
}
