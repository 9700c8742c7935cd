//! The ready endpoints of one Service, and the names they go by.
//!
//! Rules: DNS-Based Service Discovery §2.4. An endpoint is known by the first that exists of: its
//! host name, the name of its pod (see [`PodNames`]), its dashed address. Only ready endpoints have
//! names; the controller marks every endpoint of a Service with `publishNotReadyAddresses` so.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podway_cluster_model::endpoint::{Endpoint, EndpointPort, EndpointSlice};
use podway_cluster_model::name::{Hostname, LocalName};
use podway_cluster_model::port::Protocol;

use crate::config::PodNames;
use crate::dashed;

/// Longest label in octets (RFC 1035 §2.3.4).
const MAX_LABEL_OCTETS: usize = 63;

/// What an endpoint is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointName {
    /// The host name that the pod claims under this Service.
    Hostname(Hostname),
    /// The name of the pod, which is one label.
    Pod(LocalName),
    /// The dashed address, spelled when it is needed.
    Address,
}

/// One ready endpoint; several when slices give it different ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadyEndpoint {
    /// Its address.
    pub(crate) address: IpAddr,
    /// What SRV and PTR records call it.
    name: EndpointName,
    /// Which of the port lists is its own.
    ports: usize,
}

impl ReadyEndpoint {
    /// The label of the endpoint in SRV and PTR records.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            EndpointName::Hostname(hostname) => hostname.as_str().to_owned(),
            EndpointName::Pod(pod) => pod.as_str().to_owned(),
            EndpointName::Address => dashed::label(self.address),
        }
    }

    /// Whether it answers to its dashed address.
    fn has_dashed_name(&self) -> bool {
        match self.name {
            EndpointName::Hostname(_) => false,
            EndpointName::Pod(_) | EndpointName::Address => true,
        }
    }
}

/// The ready endpoints of one Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// Ordered by address, without duplicates.
    ready: Box<[ReadyEndpoint]>,
    /// Host names and pod names with the place of their endpoint in `ready`, ordered by text.
    names: Box<[(EndpointName, usize)]>,
    /// The different lists of ports that slices with ready endpoints have, each ordered.
    ports: Box<[Box<[EndpointPort]>]>,
}

/// One endpoint of a slice on the way into the tables.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    endpoint: ReadyEndpoint,
    /// The name of the pod where it is one more name.
    alias: Option<LocalName>,
}

impl Endpoints {
    /// Merges the slices of one Service.
    pub(crate) fn build<'s>(
        slices: impl Iterator<Item = &'s EndpointSlice>,
        pod_names: PodNames,
    ) -> Self {
        let mut ports: Vec<Box<[EndpointPort]>> = Vec::new();
        let mut candidates = Vec::new();
        for slice in slices {
            let mut ready =
                slice.endpoints.iter().filter(|endpoint| endpoint.condition.is_ready()).peekable();
            if ready.peek().is_none() {
                continue;
            }
            let list = ordered_ports(&slice.ports);
            let place = ports.iter().position(|known| *known == list).unwrap_or_else(|| {
                ports.push(list);
                ports.len() - 1
            });
            candidates.extend(ready.map(|endpoint| candidate(endpoint, place, pod_names)));
        }
        candidates.sort_unstable();
        let mut ready: Vec<ReadyEndpoint> = Vec::with_capacity(candidates.len());
        let mut names = Vec::new();
        for Candidate { endpoint, alias } in candidates {
            if ready.last() != Some(&endpoint) {
                ready.push(endpoint);
            }
            let place = ready.len() - 1;
            match (&ready[place].name, alias) {
                (EndpointName::Address, Some(pod)) => names.push((EndpointName::Pod(pod), place)),
                (EndpointName::Address, None) => {}
                (name, _) => names.push((name.clone(), place)),
            }
        }
        names.sort_unstable_by(|left, right| {
            (text(&left.0), left.1).cmp(&(text(&right.0), right.1))
        });
        names.dedup();
        Self { ready: ready.into(), names: names.into(), ports: ports.into() }
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

    /// The endpoints that answer to a lower-case label: as host name, pod name or dashed address.
    pub(crate) fn named<'s>(&'s self, label: &[u8]) -> impl Iterator<Item = &'s ReadyEndpoint> {
        let start = self.names.partition_point(|(name, _)| text(name).as_bytes() < label);
        let count = self.names[start..].partition_point(|(name, _)| text(name).as_bytes() == label);
        let by_name = self.names[start..start + count].iter().map(|(_, place)| &self.ready[*place]);
        let by_address = dashed::parse(label).map_or(&[][..], |address| self.at(address));
        by_name.chain(by_address.iter().filter(|endpoint| endpoint.has_dashed_name()))
    }

    /// The ports of an endpoint.
    pub(crate) fn ports_of(&self, endpoint: &ReadyEndpoint) -> &[EndpointPort] {
        &self.ports[endpoint.ports]
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
            self.ports_of(endpoint)
                .iter()
                .any(|port| port.protocol == protocol && port.name.as_str().as_bytes() == name)
        })
    }

    /// Every label that an endpoint answers to, in order of text.
    pub(crate) fn labels(&self) -> BTreeSet<String> {
        let dashed = self
            .ready
            .iter()
            .filter(|endpoint| endpoint.has_dashed_name())
            .map(|endpoint| dashed::label(endpoint.address));
        self.names.iter().map(|(name, _)| text(name).to_owned()).chain(dashed).collect()
    }
}

/// The text of a host name or pod name; those in the table of names always have one.
fn text(name: &EndpointName) -> &str {
    match name {
        EndpointName::Hostname(hostname) => hostname.as_str(),
        EndpointName::Pod(pod) => pod.as_str(),
        EndpointName::Address => "",
    }
}

/// Decides what an endpoint is called.
fn candidate(endpoint: &Endpoint, ports: usize, pod_names: PodNames) -> Candidate {
    // A pod name with a dot is no label, and one of two labels would look like a port.
    let pod = endpoint
        .pod
        .as_ref()
        .filter(|pod| pod.as_str().len() <= MAX_LABEL_OCTETS && !pod.as_str().contains('.'));
    let (name, alias) = match (&endpoint.hostname, pod, pod_names) {
        (Some(hostname), _, _) => (EndpointName::Hostname(hostname.clone()), None),
        (None, Some(pod), PodNames::Published) => (EndpointName::Pod(pod.clone()), None),
        (None, Some(pod), PodNames::Answered) => (EndpointName::Address, Some(pod.clone())),
        (None, Some(_), PodNames::Unused) | (None, None, _) => (EndpointName::Address, None),
    };
    Candidate { endpoint: ReadyEndpoint { address: endpoint.address, name, ports }, alias }
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
