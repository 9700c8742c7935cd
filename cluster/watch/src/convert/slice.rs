//! `EndpointSlice`s.

use std::net::IpAddr;
use std::sync::Arc;

use podway_cluster_model::endpoint::{Condition, Endpoint, EndpointPort, EndpointSlice, Hints};
use podway_cluster_model::import::SliceOrigin;
use podway_cluster_model::name::{
    Hostname, LocalName, Namespace, NodeName, ObjectName, PortName, ServiceName,
};
use podway_cluster_model::port::{Port, Protocol};

use crate::field::{Field, List};
use crate::object::{self, Labels, Named, Object};
use crate::path::{Fault, Path};
use crate::rejection::{Reason, quotable};

use super::Checker;
use super::address::{self, Use};

/// Label that says which Service a slice belongs to.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Label that says which import a slice belongs to (KEP-1645).
const IMPORT_NAME_LABEL: &str = "multicluster.kubernetes.io/service-name";

/// Label that says which cluster an imported slice is of.
const SOURCE_CLUSTER_LABEL: &str = "multicluster.kubernetes.io/source-cluster";

/// What `addressType` says of every endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressType {
    Ipv4,
    Ipv6,
}

/// Converts a slice.
pub(super) fn convert<I>(object: Object<I>, checker: &mut Checker) -> Result<EndpointSlice, Fault> {
    let path = Path::root("metadata");
    let mut metadata = object.metadata.required(path)?;
    let name = metadata.qualified(path, |namespace, name| {
        Ok(ObjectName { namespace, name: LocalName::new(name)? })
    })?;
    let mut labels = metadata.labels.or_default(path.field("labels"))?;
    let origin = origin(&mut labels, &name.namespace);
    let origin = checker.keep(origin).flatten();
    let service = service(labels, &name.namespace)?;
    if service.is_none() && origin.is_none() {
        let labels = path.field("labels");
        return Err(labels.label(SERVICE_NAME_LABEL).fault(Reason::NoService));
    }
    let address_type = address_type(object.address_type)?;
    let ports = checker.each(object.ports, Path::root("ports"), |_, entry, path| port(entry, path));
    let ports = distinct(ports.into_iter().flatten().collect(), Path::root("ports"), checker);
    let endpoints =
        checker.each(object.endpoints, Path::root("endpoints"), |checker, entry, path| {
            endpoint(entry, address_type, checker, path)
        });
    let origin = origin.map(Arc::new);
    Ok(EndpointSlice { name, service, origin, ports, endpoints: endpoints.into() })
}

/// The Service of this cluster that the slice belongs to, if it says one.
fn service(mut labels: Labels, namespace: &Namespace) -> Result<Option<ServiceName>, Fault> {
    let metadata = Path::root("metadata");
    let labels_path = metadata.field("labels");
    let path = labels_path.label(SERVICE_NAME_LABEL);
    let name = labels.take(SERVICE_NAME_LABEL).optional_name_of(path, Hostname::new)?;
    Ok(name.map(|name| ServiceName { namespace: namespace.clone(), name }))
}

/// What the slice was imported for, if it was.
fn origin(labels: &mut Labels, namespace: &Namespace) -> Result<Option<SliceOrigin>, Fault> {
    let metadata = Path::root("metadata");
    let labels_path = metadata.field("labels");
    let path = labels_path.label(IMPORT_NAME_LABEL);
    let name = labels.take(IMPORT_NAME_LABEL).optional_name_of(path, Hostname::new)?;
    let Some(name) = name else { return Ok(None) };
    let path = labels_path.label(SOURCE_CLUSTER_LABEL);
    let cluster = labels.take(SOURCE_CLUSTER_LABEL).name_of(path, Hostname::new)?;
    Ok(Some(SliceOrigin { service: ServiceName { namespace: namespace.clone(), name }, cluster }))
}

fn address_type(field: Field<String>) -> Result<AddressType, Fault> {
    let path = Path::root("addressType");
    match field.required(path)?.as_str() {
        "IPv4" => Ok(AddressType::Ipv4),
        "IPv6" => Ok(AddressType::Ipv6),
        "FQDN" => Err(path.fault(Reason::NamesInSlice)),
        text => {
            let accepted = "IPv4, IPv6";
            Err(path.fault(Reason::UnknownValue { text: quotable(text), accepted }))
        }
    }
}

/// A port; `None` where it has no number, which the API has for "all ports" and nobody uses.
fn port(entry: object::Port, path: Path<'_>) -> Result<Option<EndpointPort>, Fault> {
    let number_path = path.field("port");
    let Some(number) = entry.port.optional(number_path)? else { return Ok(None) };
    let port = Port::try_from(number).map_err(|error| number_path.fault(error))?;
    let name_path = path.field("name");
    let name = entry.name.or_default(name_path)?;
    let name = PortName::new(&name).map_err(|error| name_path.fault(error))?;
    let protocol = protocol(entry.protocol, path.field("protocol"))?;
    Ok(Some(EndpointPort { name, protocol, port }))
}

/// A protocol; TCP where there is none.
pub(super) fn protocol(field: Field<String>, path: Path<'_>) -> Result<Protocol, Fault> {
    match field.non_empty(path)? {
        Some(text) => text.parse::<Protocol>().map_err(|error| path.fault(error)),
        None => Ok(Protocol::Tcp),
    }
}

/// The ports without those whose name another has: names are unique in a slice or an import.
pub(super) fn distinct(
    ports: Vec<EndpointPort>,
    path: Path<'_>,
    checker: &mut Checker,
) -> Vec<EndpointPort> {
    let mut kept: Vec<EndpointPort> = Vec::with_capacity(ports.len());
    for port in ports {
        if kept.iter().any(|other| other.name == port.name) {
            let what = format!("port name {:?}", port.name);
            checker.faults.push(path.fault(Reason::Duplicate { what }));
        } else {
            kept.push(port);
        }
    }
    kept
}

/// An endpoint. Without an address or clear conditions it is lost; a name that is wrong costs only
/// what the name was for.
fn endpoint(
    entry: object::Endpoint,
    address_type: AddressType,
    checker: &mut Checker,
    path: Path<'_>,
) -> Result<Endpoint, Fault> {
    let address = endpoint_address(entry.addresses, address_type, path.field("addresses"))?;
    let condition = condition(entry.conditions, path.field("conditions"))?;
    let hostname = entry.hostname.optional_name_of(path.field("hostname"), Hostname::new);
    let node = entry.node_name.optional_name_of(path.field("nodeName"), NodeName::new);
    let pod = pod(entry.target_ref, path.field("targetRef"));
    let zone = entry.zone.non_empty(path.field("zone"));
    Ok(Endpoint {
        address,
        condition,
        hostname: checker.keep(hostname).flatten(),
        node: checker.keep(node).flatten(),
        pod: checker.keep(pod).flatten(),
        zone: checker.keep(zone).flatten().map(Arc::from),
        hints: hints(entry.hints, checker, path.field("hints")),
    })
}

/// The first address; the API gives the others no meaning.
fn endpoint_address(
    addresses: List<String>,
    address_type: AddressType,
    path: Path<'_>,
) -> Result<IpAddr, Fault> {
    let path_of_first = path.index(0);
    let first = addresses.required(path)?.into_iter().next().unwrap_or_default();
    let address = address::address(&first.required(path_of_first)?, Use::Endpoint, path_of_first)?;
    let (expected, fits) = match address_type {
        AddressType::Ipv4 => ("IPv4", address.is_ipv4()),
        AddressType::Ipv6 => ("IPv6", address.is_ipv6()),
    };
    if fits {
        Ok(address)
    } else {
        Err(path_of_first.fault(Reason::WrongFamily { address, expected }))
    }
}

fn condition(field: Field<object::Conditions>, path: Path<'_>) -> Result<Condition, Fault> {
    let conditions = field.or_default(path)?;
    Ok(Condition::from_api(
        conditions.ready.optional(path.field("ready"))?,
        conditions.serving.optional(path.field("serving"))?,
        conditions.terminating.optional(path.field("terminating"))?,
    ))
}

/// The Pod behind the endpoint; other targets have no meaning here.
fn pod(field: Field<object::TargetRef>, path: Path<'_>) -> Result<Option<LocalName>, Fault> {
    let target = field.or_default(path)?;
    match target.kind.or_default(path.field("kind"))?.as_str() {
        "Pod" => target.name.optional_name_of(path.field("name"), LocalName::new),
        _ => Ok(None),
    }
}

/// The hints. One that is wrong is lost, which at worst turns the preference off.
fn hints(field: Field<object::Hints>, checker: &mut Checker, path: Path<'_>) -> Hints {
    let hints = checker.keep(field.or_default(path)).unwrap_or_default();
    let zone = |_: &mut Checker, zone: Named, path: Path<'_>| {
        zone.name.required(path.field("name")).map(Arc::from)
    };
    let node = |_: &mut Checker, node: Named, path: Path<'_>| {
        node.name.name_of(path.field("name"), NodeName::new)
    };
    let zones = checker.each(hints.for_zones, path.field("forZones"), zone);
    let nodes = checker.each(hints.for_nodes, path.field("forNodes"), node);
    Hints::new(zones.into_iter().collect(), nodes.into_iter().collect())
}
