//! Whether a name exists and what stands there, whatever type is asked.
//!
//! Existence is a matter of the name alone (RFC 2308 §2.2): every type decides between NODATA and
//! NXDOMAIN by this one answer. Names between existing ones exist without data (RFC 8020), with one
//! exception: `dns.<zone>`, since a search list tries short host names there, and some resolvers end
//! the search at a name that exists.

use std::net::IpAddr;

use hickory_proto::rr::Name;
use podway_cluster_model::port::Protocol;

use crate::config::{PodMode, ZonalNames, ZoneConfig};
use crate::dashed;
use crate::imports::ImportRecords;
use crate::index::Tables;
use crate::qname::{QName, Question, ZoneChoice, protocol};
use crate::reverse::{self, ReverseName};
use crate::service::{Kind, ServiceKey, ServiceRecords};
use crate::zones::{MissingPointer, Zone, ZoneKind};

/// Whether a name exists.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Existence<'i, 'q> {
    /// It does not.
    Missing,
    /// Not here, and it may be somebody else's.
    NotOurs,
    /// It does, with what stands there.
    Exists(Node<'i, 'q>),
}

/// What stands at a name that exists.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'i, 'q> {
    /// No data: names below it exist, or nothing of it is served.
    Empty,
    /// A forward zone.
    Apex,
    /// A reverse zone.
    ReverseApex,
    /// The version of the rules.
    Version,
    /// The name server; its Service where that exists.
    Nameserver(Option<&'i ServiceRecords>),
    /// A Service that is no alias.
    Service(&'i ServiceRecords),
    /// A Service that is another name.
    Alias(&'i Name),
    /// Endpoints of a Service by the label they answer to; there is at least one.
    Endpoints(&'i ServiceRecords, &'q [u8]),
    /// Endpoints of a headless Service by the wire form of a topology zone.
    Zonal(&'i ServiceRecords, ZoneChoice, &'q [u8]),
    /// A named port of a Service; it exists.
    Port(&'i ServiceRecords, &'q [u8], Protocol),
    /// An imported Service.
    Import(&'i ImportRecords),
    /// A named port of an imported Service; it exists.
    ImportPort(&'i ImportRecords, &'q [u8], Protocol),
    /// Endpoints of an imported Service by their cluster and the label they answer to; there is one
    /// at least.
    Members(&'i ImportRecords, &'q [u8], &'q [u8]),
    /// The address of a pod.
    Pod(IpAddr),
    /// An address with the Services it may lead to; at least one exists.
    Pointer(IpAddr, &'i [ServiceKey]),
}

/// Finds what stands at `name`, which is within `zone`.
pub(crate) fn locate<'i, 'q>(
    tables: &'i Tables,
    config: &ZoneConfig,
    zone: &Zone,
    name: &'q QName,
) -> Existence<'i, 'q> {
    match zone.kind {
        ZoneKind::Forward => existing(forward(tables, config, name.question(&zone.lowered))),
        ZoneKind::Imported => {
            existing(imported(tables, config, name.imported_question(&zone.lowered)))
        }
        ZoneKind::Reverse(_) if *name == zone.lowered => Existence::Exists(Node::ReverseApex),
        ZoneKind::Reverse(MissingPointer::NxDomain) => {
            existing(pointer(tables, name).or_else(|| above_pointers(tables, name)))
        }
        // A zone that is not ours alone may have other names below: only its owner can tell.
        ZoneKind::Reverse(MissingPointer::NotOurs) => {
            pointer(tables, name).map_or(Existence::NotOurs, Existence::Exists)
        }
    }
}

fn existing<'i, 'q>(node: Option<Node<'i, 'q>>) -> Existence<'i, 'q> {
    node.map_or(Existence::Missing, Existence::Exists)
}

/// What stands at a name in a forward zone.
fn forward<'i, 'q>(
    tables: &'i Tables,
    config: &ZoneConfig,
    question: Question<'q>,
) -> Option<Node<'i, 'q>> {
    let branch = |exists: bool| exists.then_some(Node::Empty);
    match question {
        Question::Apex => Some(Node::Apex),
        Question::Branch => Some(Node::Empty),
        Question::Version => Some(Node::Version),
        Question::Nameserver => Some(Node::Nameserver(nameserver(tables, config))),
        Question::Namespace(key) => branch(tables.has_namespace(key)),
        Question::PodNamespace(key) => {
            branch(config.pods() != PodMode::Disabled && tables.has_namespace(key))
        }
        Question::Service(key) => tables.service(key).map(service),
        Question::Endpoint { service, label } => endpoint(tables.service(service)?, label),
        Question::Zonal { service, choice, topology } => {
            zonal(tables.service(service)?, config.service_rules().zonal, (choice, topology))
        }
        Question::Port { service, port, protocol } => {
            let records = tables.service(service)?;
            records.has_port(port, protocol).then_some(Node::Port(records, port, protocol))
        }
        Question::Pod { namespace, label } => {
            pod(tables, config.pods(), namespace, label).map(Node::Pod)
        }
        Question::Member { .. } | Question::Unknown => None,
    }
}

/// What stands at a name in a zone of imported Services.
fn imported<'i, 'q>(
    tables: &'i Tables,
    config: &ZoneConfig,
    question: Question<'q>,
) -> Option<Node<'i, 'q>> {
    match question {
        Question::Service(key) => tables.import(key).map(Node::Import),
        Question::Endpoint { service, label } => {
            let records = tables.import(service)?;
            let is_protocol = protocol(label).is_some_and(|one| records.has_named_port(one));
            let has_names = is_protocol || records.has_cluster(label);
            has_names.then_some(Node::Empty)
        }
        Question::Member { service, cluster, label } => {
            let records = tables.import(service)?;
            let exists = records.named(cluster, label).next().is_some();
            exists.then_some(Node::Members(records, cluster, label))
        }
        Question::Port { service, port, protocol } => {
            let records = tables.import(service)?;
            records.has_port(port, protocol).then_some(Node::ImportPort(records, port, protocol))
        }
        question @ (Question::Apex
        | Question::Branch
        | Question::Version
        | Question::Nameserver
        | Question::Namespace(_)
        | Question::PodNamespace(_)
        | Question::Pod { .. }
        | Question::Zonal { .. }
        | Question::Unknown) => forward(tables, config, question),
    }
}

/// The Service that NS records name, where it exists and has addresses.
pub(crate) fn nameserver<'i>(
    tables: &'i Tables,
    config: &ZoneConfig,
) -> Option<&'i ServiceRecords> {
    tables.service(config.nameserver_key()).filter(|records| match records.kind {
        Kind::ClusterIp { .. } | Kind::Headless => true,
        // NS leads to no alias (RFC 2181 §10.3).
        Kind::Alias(_) => false,
    })
}

fn service<'i, 'q>(records: &'i ServiceRecords) -> Node<'i, 'q> {
    match &records.kind {
        Kind::ClusterIp { .. } | Kind::Headless => Node::Service(records),
        Kind::Alias(target) => Node::Alias(target),
    }
}

/// An endpoint, or else the protocol above named ports.
fn endpoint<'i, 'q>(records: &'i ServiceRecords, label: &'q [u8]) -> Option<Node<'i, 'q>> {
    if records.endpoints.named(label).next().is_some() {
        return Some(Node::Endpoints(records, label));
    }
    records.has_named_port(protocol(label)?).then_some(Node::Empty)
}

/// Endpoints by topology zone, or a name above; only headless Services have such.
fn zonal<'i, 'q>(
    records: &'i ServiceRecords,
    names: ZonalNames,
    (choice, topology): (Option<ZoneChoice>, &'q [u8]),
) -> Option<Node<'i, 'q>> {
    match (names, &records.kind) {
        (ZonalNames::Off, _) | (_, Kind::ClusterIp { .. } | Kind::Alias(_)) => None,
        (ZonalNames::On, Kind::Headless) => Some(match choice {
            Some(choice) if !topology.is_empty() => Node::Zonal(records, choice, topology),
            Some(_) | None => Node::Empty,
        }),
    }
}

fn pod(tables: &Tables, mode: PodMode, namespace: &[u8], label: &[u8]) -> Option<IpAddr> {
    if !tables.has_namespace(namespace) {
        return None;
    }
    let address = dashed::parse(label)?;
    let exists = match mode {
        PodMode::Disabled => false,
        PodMode::Insecure => true,
        // The key is the label behind its length.
        PodMode::Verified => tables.pods.has(namespace.get(1..)?, address),
    };
    exists.then_some(address)
}

/// An address that leads to an existing Service.
fn pointer<'i, 'q>(tables: &'i Tables, name: &QName) -> Option<Node<'i, 'q>> {
    match reverse::parse(name)? {
        ReverseName::Address(address) => {
            let keys = tables.pointers.services(address);
            any_exists(tables, keys).then_some(Node::Pointer(address, keys))
        }
        ReverseName::Prefix(_) => None,
    }
}

/// An inner name with such an address below it.
fn above_pointers<'i, 'q>(tables: &'i Tables, name: &QName) -> Option<Node<'i, 'q>> {
    match reverse::parse(name)? {
        ReverseName::Address(_) => None,
        ReverseName::Prefix(range) => tables
            .pointers
            .range(range)
            .any(|(_, keys)| any_exists(tables, keys))
            .then_some(Node::Empty),
    }
}

fn any_exists(tables: &Tables, keys: &[ServiceKey]) -> bool {
    keys.iter().any(|key| tables.service(key).is_some())
}
