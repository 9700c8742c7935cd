//! `ServiceCIDR`s.

use podway_cluster_model::name::LocalName;
use podway_cluster_model::service_cidr::ServiceCidr;

use crate::object::Object;
use crate::path::{Fault, Path};
use crate::rejection::Reason;

use super::{Checker, address, one_of_each_family};

/// Converts a `ServiceCIDR`.
pub(super) fn convert<I>(object: Object<I>, checker: &mut Checker) -> Result<ServiceCidr, Fault> {
    let (metadata_path, spec_path) = (Path::root("metadata"), Path::root("spec"));
    let metadata = object.metadata.required(metadata_path)?;
    let name = metadata.name.name_of(metadata_path.field("name"), LocalName::new)?;
    let spec = object.spec.required(spec_path)?;
    let path = spec_path.field("cidrs");
    let cidrs = checker.each(spec.cidrs, path, |_, text, path| address::network(&text, path));
    let cidrs = one_of_each_family(
        cidrs,
        |cidr| cidr.addr(),
        |_, cidr| {
            let reason = Reason::SecondOfFamily { value: cidr.to_string() };
            checker.faults.push(path.fault(reason));
        },
    );
    Ok(ServiceCidr { name, cidrs })
}
