//! Turns a decoded object into a change of the model: a pure function.
//!
//! What is wrong with an object is said by field, and costs the smallest part that is safe to lose:
//! a port, an endpoint, an address; the object only where the rest would mean something else.
//! Meanings: Kubernetes API reference, `v1` and `discovery.k8s.io/v1`, with the defaults that the
//! API server would fill in, since manifests written by hand lack them.

use std::net::IpAddr;

use podway_cluster_model::builder::Change;
use podway_cluster_model::name::{NameError, Namespace};

use crate::field::{Field, List, Shape};
use crate::object::{Metadata, Object};
use crate::path::{Fault, Path};
use crate::rejection::{ObjectKind, Rejection, quotable};

mod address;
mod external;
mod import;
pub(crate) mod labels;
mod node;
mod service;
mod service_cidr;
mod slice;
mod spread;
#[cfg(test)]
mod tests;

/// Namespace of an object that names none, as for `kubectl`.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large variant")]
pub(crate) enum Conversion {
    /// Its kind is read.
    Read {
        /// What it says; `None` when the whole object was rejected.
        change: Option<Change>,
        /// What of it is not used.
        rejections: Vec<Rejection>,
    },
    /// Its kind is not read.
    Ignored {
        /// API version and kind.
        kind: String,
    },
}

/// Converts `object`.
pub(crate) fn convert<I>(object: Object<I>) -> Conversion {
    let Some(kind) = kind_of(&object) else {
        return Conversion::Ignored { kind: described_kind(&object) };
    };
    let name = described_name(kind, &object.metadata);
    let mut checker = Checker::default();
    let change = match kind {
        ObjectKind::Service => service::convert(object, &mut checker).map(Change::Service),
        ObjectKind::EndpointSlice => slice::convert(object, &mut checker).map(Change::Slice),
        ObjectKind::Import => import::convert(object, &mut checker).map(Change::Import),
        ObjectKind::Namespace => namespace(object, &mut checker),
        ObjectKind::Node => node::convert_node(object, &mut checker).map(Change::Node),
        ObjectKind::Pod => node::convert_pod(object, &mut checker).map(Change::Pod),
        ObjectKind::ServiceCidr => {
            service_cidr::convert(object, &mut checker).map(Change::ServiceCidr)
        }
    };
    let change = checker.keep(change);
    let rejections = checker
        .faults
        .into_iter()
        .map(|Fault { field, reason }| Rejection { kind, object: name.clone(), field, reason })
        .collect();
    Conversion::Read { change, rejections }
}

/// The kind of `object`, if it is one that is read.
fn kind_of<I>(object: &Object<I>) -> Option<ObjectKind> {
    let (Field::Is(version), Field::Is(kind)) = (&object.api_version, &object.kind) else {
        return None;
    };
    match (version.as_str(), kind.as_str()) {
        ("v1", "Service") => Some(ObjectKind::Service),
        ("v1", "Namespace") => Some(ObjectKind::Namespace),
        ("v1", "Node") => Some(ObjectKind::Node),
        ("v1", "Pod") => Some(ObjectKind::Pod),
        ("networking.k8s.io/v1", "ServiceCIDR") => Some(ObjectKind::ServiceCidr),
        ("discovery.k8s.io/v1", "EndpointSlice") => Some(ObjectKind::EndpointSlice),
        ("multicluster.x-k8s.io/v1beta1" | "multicluster.x-k8s.io/v1alpha1", "ServiceImport") => {
            Some(ObjectKind::Import)
        }
        _ => None,
    }
}

/// API version and kind of an object that is not read.
fn described_kind<I>(object: &Object<I>) -> String {
    let text = |field: &Field<String>, absent: &str| match field {
        Field::Is(text) => quotable(text),
        Field::Absent | Field::Wrong(_) => absent.to_owned(),
    };
    format!("{} {}", text(&object.api_version, "no apiVersion"), text(&object.kind, "no kind"))
}

/// Namespace and name as written, for rejections.
pub(crate) fn described_name(kind: ObjectKind, metadata: &Field<Metadata>) -> String {
    let (mut namespace, mut name) = (DEFAULT_NAMESPACE, "(no name)");
    if let Field::Is(metadata) = metadata {
        if let Field::Is(text) = &metadata.namespace {
            namespace = text;
        }
        if let Field::Is(text) = &metadata.name {
            name = text;
        }
    }
    match kind {
        ObjectKind::Service | ObjectKind::EndpointSlice | ObjectKind::Import | ObjectKind::Pod => {
            format!("{}/{}", quotable(namespace), quotable(name))
        }
        ObjectKind::Namespace | ObjectKind::Node | ObjectKind::ServiceCidr => quotable(name),
    }
}

fn namespace<I>(object: Object<I>, checker: &mut Checker) -> Result<Change, Fault> {
    let path = Path::root("metadata");
    let metadata = object.metadata.required(path)?;
    let name = metadata.name.name_of(path.field("name"), Namespace::new)?;
    let labels = checker.keep(metadata.labels.or_default(path.field("labels")));
    let labels = labels::of_namespace(&name, labels.unwrap_or_default(), checker);
    Ok(Change::Namespace(name, labels))
}

/// Gathers what is wrong while the rest goes on.
#[derive(Debug, Default)]
struct Checker {
    faults: Vec<Fault>,
}

impl Checker {
    /// The value; where there is a fault instead, notes it.
    fn keep<T>(&mut self, value: Result<T, Fault>) -> Option<T> {
        value.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// The elements of a list, each converted by `convert`; those that cannot be are lost.
    fn each<T: Shape, R>(
        &mut self,
        list: List<T>,
        path: Path<'_>,
        mut convert: impl FnMut(&mut Self, T, Path<'_>) -> Result<R, Fault>,
    ) -> Vec<R>
    where
        Field<T>: serde::de::DeserializeOwned,
    {
        let elements = self.keep(list.or_default(path)).unwrap_or_default();
        let mut converted = Vec::with_capacity(elements.len());
        for (index, element) in elements.into_iter().enumerate() {
            let path = path.index(index);
            let result = element.required(path).and_then(|element| convert(self, element, path));
            converted.extend(self.keep(result));
        }
        converted
    }
}

impl Field<String> {
    /// The text as a name that `make` checks.
    fn name_of<N>(
        self,
        path: Path<'_>,
        make: impl FnOnce(&str) -> Result<N, NameError>,
    ) -> Result<N, Fault> {
        make(&self.required(path)?).map_err(|error| path.fault(error))
    }

    /// The text as a name that `make` checks, unless there is none.
    fn optional_name_of<N>(
        self,
        path: Path<'_>,
        make: impl FnOnce(&str) -> Result<N, NameError>,
    ) -> Result<Option<N>, Fault> {
        let name = self.non_empty(path)?.map(|text| make(&text)).transpose();
        name.map_err(|error| path.fault(error))
    }
}

impl Metadata {
    /// Namespace and name of the object.
    fn qualified<N>(
        &mut self,
        path: Path<'_>,
        make: impl FnOnce(Namespace, &str) -> Result<N, NameError>,
    ) -> Result<N, Fault> {
        let namespace_path = path.field("namespace");
        let namespace = std::mem::take(&mut self.namespace)
            .optional_name_of(namespace_path, Namespace::new)?
            .map_or_else(|| Namespace::new(DEFAULT_NAMESPACE), Ok)
            .map_err(|error| namespace_path.fault(error))?;
        let name_path = path.field("name");
        let name = std::mem::take(&mut self.name).required(name_path)?;
        make(namespace, &name).map_err(|error| name_path.fault(error))
    }
}

/// Keeps the first value of each family; a second one is what `fault` makes of it.
fn one_of_each_family<T: Copy>(
    values: Vec<T>,
    address: impl Fn(T) -> IpAddr,
    mut second: impl FnMut(usize, T),
) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(2);
    for (index, value) in values.into_iter().enumerate() {
        let is_ipv4 = address(value).is_ipv4();
        if kept.iter().any(|other| address(*other).is_ipv4() == is_ipv4) {
            second(index, value);
        } else {
            kept.push(value);
        }
    }
    kept
}
