//! Reads texts of manifests into objects with kind and name.

use serde_json::Value;

use super::ClusterError;
use super::spec::{self, Metadata};
use super::workload::WorkloadKind;
use crate::place::ObjectName;

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its name; the namespace is empty for kinds that have none.
    pub(crate) name: ObjectName,
    /// Labels and annotations.
    pub(crate) metadata: Metadata,
    /// The whole object.
    pub(crate) object: Value,
}

/// Kinds that mean something here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Namespace,
    Service,
    Endpoints,
    EndpointSlice,
    Pod,
    Workload(WorkloadKind),
    /// Any other; the name as it stood in the manifest.
    Other(String),
}

impl Kind {
    /// The kind's name in the API.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::Endpoints => "Endpoints",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::Workload(WorkloadKind::ReplicaSet) => "ReplicaSet",
            Self::Workload(WorkloadKind::Deployment) => "Deployment",
            Self::Workload(WorkloadKind::StatefulSet) => "StatefulSet",
            Self::Workload(WorkloadKind::DaemonSet) => "DaemonSet",
            Self::Other(name) => name,
        }
    }

    /// Reads a kind as a manifest or a person writes it: any case, plural, short forms of kubectl.
    pub(crate) fn named(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "namespace" | "namespaces" | "ns" => Self::Namespace,
            "service" | "services" | "svc" => Self::Service,
            "endpoints" | "ep" => Self::Endpoints,
            "endpointslice" | "endpointslices" => Self::EndpointSlice,
            "pod" | "pods" | "po" => Self::Pod,
            "replicaset" | "replicasets" | "rs" => Self::Workload(WorkloadKind::ReplicaSet),
            "deployment" | "deployments" | "deploy" => Self::Workload(WorkloadKind::Deployment),
            "statefulset" | "statefulsets" | "sts" => Self::Workload(WorkloadKind::StatefulSet),
            "daemonset" | "daemonsets" | "ds" => Self::Workload(WorkloadKind::DaemonSet),
            _ => Self::Other(text.to_owned()),
        }
    }
}

impl Manifest {
    /// Reads one object.
    pub(crate) fn of(object: Value) -> Result<Self, ClusterError> {
        manifest(object)
    }

    /// The object with its namespace filled in.
    pub(crate) fn namespaced(&self) -> Value {
        let mut object = self.object.clone();
        object["metadata"]["namespace"] = self.name.namespace.clone().into();
        object
    }

    /// `Kind namespace/name`, as messages name an object.
    pub(crate) fn title(&self) -> String {
        if self.kind == Kind::Namespace {
            return format!("Namespace {}", self.name.name);
        }
        format!("{} {}", self.kind.as_str(), self.name)
    }
}

/// Reads all objects of a YAML or JSON text, lists flattened, in order.
pub(crate) fn parse(text: &str) -> Result<Vec<Result<Manifest, ClusterError>>, ClusterError> {
    // As kubectl has it: `y` is a name, not a truth.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| ClusterError::Text(error.to_string()))?;
    let mut objects = Vec::new();
    for document in documents {
        flatten(document, &mut objects);
    }
    Ok(objects.into_iter().map(manifest).collect())
}

fn flatten(document: Value, objects: &mut Vec<Value>) {
    if document.is_null() {
        return;
    }
    if !document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) {
        objects.push(document);
        return;
    }
    for item in document["items"].as_array().into_iter().flatten() {
        flatten(item.clone(), objects);
    }
}

fn manifest(object: Value) -> Result<Manifest, ClusterError> {
    let Some(kind) = object["kind"].as_str().map(Kind::named) else {
        return Err(ClusterError::Object("object without kind".to_owned()));
    };
    let metadata: Metadata = spec::read(&object, "metadata")
        .map_err(|error| ClusterError::Object(format!("{}: metadata: {error}", kind.as_str())))?;
    if metadata.name.is_empty() {
        return Err(ClusterError::Object(format!("{} without name", kind.as_str())));
    }
    let namespace = match (&kind, &metadata.namespace) {
        (Kind::Namespace, _) => "",
        (_, Some(namespace)) if !namespace.is_empty() => namespace,
        _ => "default",
    };
    let name = ObjectName::new(namespace, metadata.name.clone());
    Ok(Manifest { kind, name, metadata, object })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_become_objects_in_order() {
        let text = "
kind: Namespace
metadata: {name: shop}
---
# nothing here
---
kind: List
items:
- kind: Service
  metadata: {name: web, namespace: shop}
- kind: ConfigMap
  metadata: {name: settings}
";
        let titles: Vec<_> =
            parse(text).unwrap().into_iter().map(|manifest| manifest.unwrap().title()).collect();
        assert_eq!(titles, ["Namespace shop", "Service shop/web", "ConfigMap default/settings"]);
    }

    #[test]
    fn an_object_without_a_name_does_not_lose_the_others() {
        let read = parse("kind: Pod\n---\nkind: Pod\nmetadata: {name: a}\n").unwrap();
        assert!(read[0].is_err() && read[1].is_ok());
        assert!(parse("a: [").is_err());
    }
}
