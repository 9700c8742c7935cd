//! Name and type in, answer out: the one place where it is decided what a name gets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hickory_proto::rr::{Name, Record, RecordType};
use podway_cluster_model::endpoint::EndpointPort;

use crate::endpoints::{Endpoints, ReadyEndpoint};
use crate::index::{Tables, ZoneIndex};
use crate::locate::{Existence, Node, locate, nameserver};
use crate::ports;
use crate::qname::{QName, ZoneChoice};
use crate::records::{self, Origin};
use crate::service::{Kind, ServiceKey, ServiceRecords};
use crate::zones::ZoneKind;

mod imported;

/// What a question gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The name is in none of our zones, or is an address without a name in a reverse zone that is
    /// not ours alone: forward it, or refuse.
    NotOurs,
    /// The name is ours and nothing is known yet: SERVFAIL.
    NotSynced {
        /// For the authority section.
        soa: Record,
    },
    /// Records of the type asked.
    Records {
        /// The answer section; never empty. Its order has no meaning.
        answers: Vec<Record>,
        /// The additional section; may be left out.
        additionals: Vec<Record>,
    },
    /// The name is an alias; what `target` answers to the same type belongs behind the CNAME.
    ///
    /// The target may be in our zones, and then another question to the index gives the rest.
    Alias {
        /// The CNAME record.
        cname: Record,
        /// The name it leads to.
        target: Name,
    },
    /// The name exists and has no records of the type asked: NOERROR without an answer.
    NoData {
        /// For the authority section.
        soa: Record,
    },
    /// The name does not exist.
    NxDomain {
        /// For the authority section.
        soa: Record,
    },
    /// A transfer of the zone, which is not offered.
    Refused,
}

/// What `name` answers to `record_type`.
///
/// Letter case does not matter for what is found; the answers are owned by `name` as it is spelled.
#[must_use]
pub fn answer(index: &ZoneIndex, name: &Name, record_type: RecordType) -> Answer {
    let config = index.config();
    let lowered = QName::new(name);
    let Some(zone) = config.zone_of(&lowered) else { return Answer::NotOurs };
    let origin = Origin::of(name, zone.lowered.label_count(), config.ttl().seconds());
    let soa = || origin.soa(index.serial());
    let Some(tables) = index.tables() else { return Answer::NotSynced { soa: soa() } };
    if zone.kind == ZoneKind::Imported && !tables.knows_imports() {
        return Answer::NotSynced { soa: soa() };
    }
    if matches!(record_type, RecordType::AXFR | RecordType::IXFR) {
        return Answer::Refused;
    }
    let node = match locate(tables, config, zone, &lowered) {
        Existence::Missing if config.falls_through(&lowered) => return Answer::NotOurs,
        Existence::Missing => return Answer::NxDomain { soa: soa() },
        Existence::NotOurs => return Answer::NotOurs,
        Existence::Exists(Node::Alias(target)) => return alias(name, record_type, target, origin),
        Existence::Exists(node) => node,
    };
    let question = Question { index, tables, zone: zone.kind, name, origin };
    let Sections { answers, additionals } = question.sections(node, record_type);
    if answers.is_empty() {
        return Answer::NoData { soa: soa() };
    }
    Answer::Records { answers, additionals }
}

/// An alias for every type but its own (RFC 1034 §3.6.2); CoreDNS makes it one for addresses only.
///
/// ANY is not expanded, so it stops here as well.
fn alias(name: &Name, record_type: RecordType, target: &Name, origin: Origin<'_>) -> Answer {
    let cname = origin.cname(name, target.clone());
    if matches!(record_type, RecordType::CNAME | RecordType::ANY) {
        return Answer::Records { answers: vec![cname], additionals: Vec::new() };
    }
    Answer::Alias { cname, target: target.clone() }
}

/// The records of one reply.
#[derive(Default)]
struct Sections {
    answers: Vec<Record>,
    additionals: Vec<Record>,
}

impl From<Vec<Record>> for Sections {
    fn from(answers: Vec<Record>) -> Self {
        Self { answers, additionals: Vec::new() }
    }
}

/// One question to a synced index.
struct Question<'a> {
    index: &'a ZoneIndex,
    tables: &'a Tables,
    /// What stands behind the zone asked.
    zone: ZoneKind,
    /// The name as the client spelled it: the owner of the answers.
    name: &'a Name,
    origin: Origin<'a>,
}

impl Question<'_> {
    /// The records of a name that exists; none means NODATA.
    fn sections(&self, node: Node<'_, '_>, record_type: RecordType) -> Sections {
        match (record_type, node) {
            (RecordType::SOA, Node::Apex | Node::ReverseApex) => {
                vec![self.origin.soa(self.index.serial())].into()
            }
            (RecordType::A, _) => self.addresses(node, IpAddr::is_ipv4),
            (RecordType::AAAA, _) => self.addresses(node, IpAddr::is_ipv6),
            (RecordType::SRV, _) => self.services(node),
            (RecordType::PTR, Node::Pointer(address, keys)) => self.pointers(address, keys),
            (RecordType::NS, Node::Apex) => self.name_servers(),
            (RecordType::TXT, Node::Version) => vec![records::version(self.name)].into(),
            _ => Sections::default(),
        }
    }

    /// The addresses of one family.
    fn addresses(&self, node: Node<'_, '_>, family: fn(&IpAddr) -> bool) -> Sections {
        let own = |addresses: &mut dyn Iterator<Item = IpAddr>| -> Vec<Record> {
            addresses
                .filter(family)
                .map(|address| self.origin.address(self.name, address))
                .collect()
        };
        match node {
            Node::Service(records) | Node::Nameserver(Some(records)) => {
                own(&mut records.addresses.iter())
            }
            Node::Port(records, port, protocol) => match &records.kind {
                Kind::ClusterIp { .. } => own(&mut records.addresses.iter()),
                Kind::Headless | Kind::Alias(_) => {
                    own(&mut distinct(records.endpoints.with_port(port, protocol)))
                }
            },
            Node::Endpoints(records, label) => own(&mut distinct(records.endpoints.named(label))),
            Node::Zonal(records, choice, topology) => {
                own(&mut distinct(in_topology_zone(records, choice, topology).into_iter()))
            }
            Node::Import(records) => own(&mut records.addresses.iter()),
            Node::ImportPort(records, port, protocol) => {
                own(&mut once_each(records.addresses_of(port, protocol)))
            }
            Node::Members(records, cluster, label) => {
                own(&mut distinct(records.named(cluster, label)))
            }
            Node::Pod(address) => own(&mut std::iter::once(address)),
            Node::Nameserver(None)
            | Node::Empty
            | Node::Apex
            | Node::ReverseApex
            | Node::Version
            | Node::Alias(_)
            | Node::Pointer(..) => Vec::new(),
        }
        .into()
    }

    /// The ports behind a name, with the addresses of their targets.
    fn services(&self, node: Node<'_, '_>) -> Sections {
        let (records, targets) = match node {
            Node::Service(records) => (records, Targets::of(records, |_| true)),
            Node::Port(records, name, protocol) => {
                (records, Targets::of(records, |port| ports::is_named(port, name, protocol)))
            }
            Node::Endpoints(records, label) => {
                let mut targets = Targets::default();
                targets.add_endpoints(&records.endpoints, records.endpoints.named(label), |_| true);
                (records, targets)
            }
            Node::Zonal(records, choice, topology) => {
                let mut targets = Targets::default();
                let chosen = in_topology_zone(records, choice, topology).into_iter();
                targets.add_endpoints(&records.endpoints, chosen, |_| true);
                (records, targets)
            }
            Node::Import(records) => {
                return self.imported_services(records, &records.targets(|_| true));
            }
            Node::ImportPort(records, name, protocol) => {
                let targets = records.targets(|port| ports::is_named(port, name, protocol));
                return self.imported_services(records, &targets);
            }
            Node::Members(records, cluster, label) => {
                let targets = records.member_targets(cluster, label);
                return self.imported_services(records, &targets);
            }
            Node::Empty
            | Node::Apex
            | Node::ReverseApex
            | Node::Version
            | Node::Alias(_)
            | Node::Nameserver(_)
            | Node::Pod(_)
            | Node::Pointer(..) => return Sections::default(),
        };
        let weight = targets.weight();
        let mut sections = Sections::default();
        for (label, ports) in &targets.ports {
            let Some(target) = self.origin.service(&records.name, label.as_deref()) else {
                continue;
            };
            let srv = |port: &u16| self.origin.srv(self.name, weight, *port, target.clone());
            sections.answers.extend(ports.iter().map(srv));
            self.add_target(&mut sections, records, label.as_deref(), &target);
        }
        sections
    }

    /// Adds the addresses of a target, of both families.
    fn add_target(
        &self,
        sections: &mut Sections,
        records: &ServiceRecords,
        label: Option<&str>,
        target: &Name,
    ) {
        let address = |address| self.origin.address(target, address);
        match label {
            Some(label) => sections
                .additionals
                .extend(distinct(records.endpoints.named(label.as_bytes())).map(address)),
            None => sections.additionals.extend(records.addresses.iter().map(address)),
        }
    }

    /// The names that an address leads to: of Services that have it, else of endpoints.
    fn pointers(&self, address: IpAddr, keys: &[ServiceKey]) -> Sections {
        let primary = self.origin.at(self.index.config().domain());
        let services = || keys.iter().filter_map(|key| self.tables.service(key));
        let mut targets: Vec<Name> = services()
            .filter(|records| records.owns(address))
            .filter_map(|records| primary.service(&records.name, None))
            .collect();
        if targets.is_empty() {
            targets = services()
                .flat_map(|records| {
                    let labels: BTreeSet<_> =
                        records.endpoints.at(address).iter().map(ReadyEndpoint::label).collect();
                    labels.into_iter().map(|label| (&records.name, label))
                })
                .filter_map(|(service, label)| primary.service(service, Some(&label)))
                .collect();
        }
        let record = |target| self.origin.ptr(self.name, target);
        targets.into_iter().map(record).collect::<Vec<_>>().into()
    }

    /// The name servers of the zone with their addresses.
    ///
    /// Those of the Service that clients ask, so that nothing tells the addresses of nodes.
    fn name_servers(&self) -> Sections {
        // The Service has no name of its own in a zone of imported ones.
        let named =
            nameserver(self.tables, self.index.config()).filter(|_| self.zone == ZoneKind::Forward);
        let Some(records) = named else {
            return vec![self.origin.ns(self.name, self.origin.nameserver())].into();
        };
        let labels: BTreeSet<Option<String>> = match &records.kind {
            Kind::ClusterIp { .. } | Kind::Alias(_) => [None].into(),
            Kind::Headless => {
                records.endpoints.ready().iter().map(|endpoint| Some(endpoint.label())).collect()
            }
        };
        let mut sections = Sections::default();
        for label in labels {
            if let Some(target) = self.origin.service(&records.name, label.as_deref()) {
                sections.answers.push(self.origin.ns(self.name, target.clone()));
                self.add_target(&mut sections, records, label.as_deref(), &target);
            }
        }
        sections
    }
}

/// The endpoints of a headless Service in the topology zone of this wire form, or all where that is
/// wanted instead of none.
fn in_topology_zone<'i>(
    records: &'i ServiceRecords,
    choice: ZoneChoice,
    topology: &[u8],
) -> Vec<&'i ReadyEndpoint> {
    let mut labels = Vec::new();
    let mut rest = topology;
    while let Some((label, behind)) =
        rest.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)))
    {
        labels.push(String::from_utf8_lossy(label));
        rest = behind;
    }
    let chosen: Vec<_> = records.endpoints.in_zone(&labels.join(".")).collect();
    match choice {
        ZoneChoice::Prefer if chosen.is_empty() => records.endpoints.ready().iter().collect(),
        ZoneChoice::Prefer | ZoneChoice::Pin => chosen,
    }
}

/// The addresses of endpoints, each once.
fn distinct<'e>(
    endpoints: impl Iterator<Item = &'e ReadyEndpoint>,
) -> impl Iterator<Item = IpAddr> {
    once_each(endpoints.map(|endpoint| endpoint.address))
}

/// Addresses, each once.
fn once_each(addresses: impl IntoIterator<Item = IpAddr>) -> impl Iterator<Item = IpAddr> {
    addresses.into_iter().collect::<BTreeSet<_>>().into_iter()
}

/// What SRV records lead to.
#[derive(Default)]
struct Targets {
    /// The ports of each target: of the Service itself, or of an endpoint by its label.
    ports: BTreeMap<Option<String>, BTreeSet<u16>>,
    /// Pairs of an address and a port, those included that share a record.
    pairs: usize,
}

impl Targets {
    /// The targets of a Service's name, by those of its ports that are asked.
    fn of(records: &ServiceRecords, is_asked: impl Fn(&EndpointPort) -> bool) -> Self {
        let mut targets = Self::default();
        match &records.kind {
            Kind::ClusterIp { ports } => {
                for port in ports.iter().filter(|port| is_asked(port)) {
                    targets.add(None, port, records.addresses.len());
                }
            }
            Kind::Headless => {
                let endpoints = &records.endpoints;
                targets.add_endpoints(endpoints, endpoints.ready().iter(), is_asked);
            }
            Kind::Alias(_) => {}
        }
        targets
    }

    fn add_endpoints<'e>(
        &mut self,
        endpoints: &Endpoints,
        chosen: impl Iterator<Item = &'e ReadyEndpoint>,
        is_asked: impl Fn(&EndpointPort) -> bool,
    ) {
        for endpoint in chosen {
            for port in endpoints.ports_of(endpoint).iter().filter(|port| is_asked(port)) {
                self.add(Some(endpoint.label()), port, 1);
            }
        }
    }

    fn add(&mut self, target: Option<String>, port: &EndpointPort, addresses: usize) {
        if addresses > 0 {
            self.ports.entry(target).or_default().insert(port.port.number());
            self.pairs += addresses;
        }
    }

    /// The weight of each.
    fn weight(&self) -> u16 {
        records::share_of_100(self.pairs)
    }
}

#[cfg(test)]
mod tests;
