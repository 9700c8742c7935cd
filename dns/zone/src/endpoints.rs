//! The ready endpoints of one Service, and the names they go by.
//!
//! Rules: DNS-Based Service Discovery §2.4. An endpoint is known by the first that exists of: its
//! host name, the name of its pod (see [`PodNames`]), its dashed address. Only ready endpoints have
//! names; the controller marks every endpoint of a Service with `publishNotReadyAddresses` so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podway_cluster_model::endpoint::{Endpoint, EndpointPort, EndpointSlice};
use podway_cluster_model::name::{Hostname, LocalName};
use podway_cluster_model::port::Protocol;

use crate::config::{PodNames, ZonalNames};
use crate::dashed;
use crate::ports;

/// Longest label in octets (RFC 1035 §2.3.4).
const MAX_LABEL_OCTETS: usize = 63;

/// What an endpoint is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum EndpointName {
    /// The host name that the pod claims under this Service.
    Hostname(Hostname),
    /// The name of the pod, which is one label.
    Pod(LocalName),
    /// The dashed address, spelled when it is needed; the pod's name where it is one more name.
    Address(Option<LocalName>),
}

/// One ready endpoint; several when slices give it different ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadyEndpoint {
    /// Its address.
    pub(crate) address: IpAddr,
    /// What it is called.
    name: EndpointName,
    /// Which of the port lists is its own.
    ports: u32,
}

impl ReadyEndpoint {
    /// The label of the endpoint in SRV and PTR records.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            EndpointName::Hostname(hostname) => hostname.as_str().to_owned(),
            EndpointName::Pod(pod) => pod.as_str().to_owned(),
            EndpointName::Address(_) => dashed::label(self.address),
        }
    }

    /// The host name or pod name that it answers to.
    fn text(&self) -> Option<&str> {
        match &self.name {
            EndpointName::Hostname(hostname) => Some(hostname.as_str()),
            EndpointName::Pod(pod) => Some(pod.as_str()),
            EndpointName::Address(pod) => pod.as_ref().map(LocalName::as_str),
        }
    }

    /// Whether it answers to its dashed address.
    fn has_dashed_name(&self) -> bool {
        match self.name {
            EndpointName::Hostname(_) => false,
            EndpointName::Pod(_) | EndpointName::Address(_) => true,
        }
    }
}

/// A topology zone with the addresses of its endpoints, in order.
type InZone = (Arc<str>, Box<[IpAddr]>);

/// The ready endpoints of one Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// Ordered by address, without duplicates.
    ready: Box<[ReadyEndpoint]>,
    /// Places in `ready` of those with a host name or pod name, ordered by that.
    by_text: Box<[u32]>,
    /// The different lists of ports that slices with ready endpoints have, each ordered.
    ports: Box<[Box<[EndpointPort]>]>,
    /// Addresses by topology zone, both in order; empty unless they can be asked for so.
    zones: Box<[InZone]>,
}

impl Endpoints {
    /// Merges the slices of one Service.
    pub(crate) fn build<'s>(
        slices: impl Iterator<Item = &'s EndpointSlice>,
        (pod_names, zonal): (PodNames, ZonalNames),
    ) -> Self {
        let mut zones: BTreeMap<Arc<str>, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut ports: Vec<Box<[EndpointPort]>> = Vec::new();
        let mut ready = Vec::new();
        for slice in slices {
            let mut of_slice =
                slice.endpoints.iter().filter(|endpoint| endpoint.condition.is_ready()).peekable();
            if of_slice.peek().is_none() {
                continue;
            }
            let list = ordered_ports(&slice.ports);
            let known = ports.iter().position(|known| *known == list).unwrap_or_else(|| {
                ports.push(list);
                ports.len() - 1
            });
            for endpoint in of_slice {
                if let (ZonalNames::On, Some(zone)) = (zonal, &endpoint.zone) {
                    zones.entry(lower_case(zone)).or_default().insert(endpoint.address);
                }
                ready.push(ready_endpoint(endpoint, known, pod_names));
            }
        }
        ready.sort_unstable();
        ready.dedup();
        let mut by_text: Vec<u32> =
            (0..).zip(&ready).filter(|(_, one)| one.text().is_some()).map(|(at, _)| at).collect();
        by_text.sort_by_key(|at| ready[place(*at)].text());
        let zones = zones.into_iter().map(|(zone, addresses)| (zone, Box::from_iter(addresses)));
        Self {
            ready: ready.into(),
            by_text: by_text.into(),
            ports: ports.into(),
            zones: zones.collect(),
        }
    }

    /// Whether no endpoint is ready.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// All of them, ordered by address.
    pub(crate) fn ready(&self) -> &[ReadyEndpoint] {
        &self.ready
    }

    /// The endpoints with this address.
    pub(crate) fn at(&self, address: IpAddr) -> &[ReadyEndpoint] {
        let start = self.ready.partition_point(|endpoint| endpoint.address < address);
        let count = self.ready[start..].partition_point(|endpoint| endpoint.address == address);
        &self.ready[start..start + count]
    }

    /// The endpoints in a topology zone, whose name is in lower case; none where it has no endpoint.
    pub(crate) fn in_zone(&self, zone: &str) -> impl Iterator<Item = &ReadyEndpoint> {
        let place = self.zones.binary_search_by(|(known, _)| (**known).cmp(zone));
        let addresses = place.map_or(&[][..], |place| &self.zones[place].1);
        addresses.iter().flat_map(|address| self.at(*address))
    }

    /// The endpoints that answer to a lower-case label: as host name, pod name or dashed address.
    pub(crate) fn named<'s>(&'s self, label: &[u8]) -> impl Iterator<Item = &'s ReadyEndpoint> {
        let text = |at: &u32| self.ready[place(*at)].text().map(str::as_bytes);
        let start = self.by_text.partition_point(|at| text(at) < Some(label));
        let count = self.by_text[start..].partition_point(|at| text(at) == Some(label));
        let by_text = self.by_text[start..start + count].iter().map(|at| &self.ready[place(*at)]);
        let by_address = dashed::parse(label).map_or(&[][..], |address| self.at(address));
        by_text.chain(by_address.iter().filter(|endpoint| endpoint.has_dashed_name()))
    }

    /// The ports of an endpoint.
    pub(crate) fn ports_of(&self, endpoint: &ReadyEndpoint) -> &[EndpointPort] {
        &self.ports[place(endpoint.ports)]
    }

    /// The ports that any endpoint has; one stands here as often as lists have it.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &EndpointPort> {
        self.ports.iter().flat_map(|list| list.iter())
    }

    /// The endpoints that have a port of this name and protocol.
    pub(crate) fn with_port(
        &self,
        name: &[u8],
        protocol: Protocol,
    ) -> impl Iterator<Item = &ReadyEndpoint> {
        self.ready.iter().filter(move |endpoint| {
            self.ports_of(endpoint).iter().any(|port| ports::is_named(port, name, protocol))
        })
    }

    /// Every label that an endpoint answers to, in order of text.
    pub(crate) fn labels(&self) -> BTreeSet<String> {
        let dashed = self
            .ready
            .iter()
            .filter(|endpoint| endpoint.has_dashed_name())
            .map(|endpoint| dashed::label(endpoint.address));
        let texts = self.ready.iter().filter_map(ReadyEndpoint::text).map(str::to_owned);
        texts.chain(dashed).collect()
    }
}

/// The name of a topology zone as names are compared; shared where it is so already.
fn lower_case(zone: &Arc<str>) -> Arc<str> {
    if zone.bytes().any(|octet| octet.is_ascii_uppercase()) {
        zone.to_ascii_lowercase().into()
    } else {
        Arc::clone(zone)
    }
}

/// An index into a table of one Service; they are kept short since there are many.
fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Decides what an endpoint is called.
fn ready_endpoint(endpoint: &Endpoint, ports: usize, pod_names: PodNames) -> ReadyEndpoint {
    // A pod name with a dot is no label, and one of two labels would look like a port.
    let pod = endpoint
        .pod
        .clone()
        .filter(|pod| pod.as_str().len() <= MAX_LABEL_OCTETS && !pod.as_str().contains('.'));
    let name = match (&endpoint.hostname, pod, pod_names) {
        (Some(hostname), _, _) => EndpointName::Hostname(hostname.clone()),
        (None, Some(pod), PodNames::Published) => EndpointName::Pod(pod),
        (None, pod, PodNames::Answered) => EndpointName::Address(pod),
        (None, _, PodNames::Unused | PodNames::Published) => EndpointName::Address(None),
    };
    // There are fewer lists of ports than slices, and 2^32 slices fit in no memory.
    let ports = u32::try_from(ports).unwrap_or(u32::MAX);
    ReadyEndpoint { address: endpoint.address, name, ports }
}

/// The ports of a slice in an order of their own, so that their order in the object is no change.
fn ordered_ports(ports: &[EndpointPort]) -> Box<[EndpointPort]> {
    let mut ordered = ports.to_vec();
    ordered.sort_unstable_by(|left, right| port_key(left).cmp(&port_key(right)));
    ordered.dedup();
    ordered.into()
}

fn port_key(port: &EndpointPort) -> (&str, Protocol, u16) {
    (port.name.as_str(), port.protocol, port.port.number())
}
