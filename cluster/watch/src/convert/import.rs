//! `ServiceImport`s.

use podway_cluster_model::endpoint::EndpointPort;
use podway_cluster_model::import::{ImportKind, ServiceImport};
use podway_cluster_model::name::{Hostname, PortName, ServiceName};
use podway_cluster_model::port::Port;

use crate::field::Field;
use crate::object::{self, Object};
use crate::path::{Fault, Path};
use crate::rejection::{Reason, quotable};

use super::address::{self, Use};
use super::slice::{distinct, protocol};
use super::{Checker, labels, one_of_each_family};

/// Converts an import.
pub(super) fn convert<I>(object: Object<I>, checker: &mut Checker) -> Result<ServiceImport, Fault> {
    let (metadata_path, spec_path) = (Path::root("metadata"), Path::root("spec"));
    let mut metadata = object.metadata.required(metadata_path)?;
    let name = metadata.qualified(metadata_path, |namespace, name| {
        Ok(ServiceName { namespace, name: Hostname::new(name)? })
    })?;
    let own = checker.keep(metadata.labels.or_default(metadata_path.field("labels")));
    let labels = labels::convert(own.unwrap_or_default(), checker);
    let spec = object.spec.required(spec_path)?;
    let has_addresses = has_addresses(spec.r#type)?;
    let ips_path = spec_path.field("ips");
    let addresses = checker
        .each(spec.ips, ips_path, |_, text, path| address::address(&text, Use::Frontend, path));
    let kind = if has_addresses {
        ImportKind::ClusterSetIp(one_of_each_family(
            addresses,
            |address| address,
            |index, address| {
                let value = address.to_string();
                let path = ips_path.index(index);
                checker.faults.push(path.fault(Reason::SecondOfFamily { value }));
            },
        ))
    } else {
        ImportKind::Headless
    };
    let ports =
        checker.each(spec.ports, spec_path.field("ports"), |_, entry, path| port(entry, path));
    let ports = distinct(ports, spec_path.field("ports"), checker);
    Ok(ServiceImport { name, kind, ports, labels })
}

/// Whether the import has addresses of its own, by `spec.type`.
fn has_addresses(field: Field<String>) -> Result<bool, Fault> {
    let spec = Path::root("spec");
    let path = spec.field("type");
    match field.required(path)?.as_str() {
        "ClusterSetIP" => Ok(true),
        "Headless" => Ok(false),
        text => {
            let accepted = "ClusterSetIP, Headless";
            Err(path.fault(Reason::UnknownValue { text: quotable(text), accepted }))
        }
    }
}

fn port(entry: object::Port, path: Path<'_>) -> Result<EndpointPort, Fault> {
    let number_path = path.field("port");
    let port = Port::try_from(entry.port.required(number_path)?)
        .map_err(|error| number_path.fault(error))?;
    let name_path = path.field("name");
    let name = entry.name.or_default(name_path)?;
    let name = PortName::new(&name).map_err(|error| name_path.fault(error))?;
    let protocol = protocol(entry.protocol, path.field("protocol"))?;
    Ok(EndpointPort { name, protocol, port })
}
