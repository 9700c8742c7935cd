//! What identifies an object.

use std::fmt;

use podway_cluster_model::builder::Change;
use podway_cluster_model::name::{LocalName, Namespace, NodeName, ObjectName, ServiceName};

use crate::rejection::ObjectKind;

/// Kind and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ObjectKey {
    Service(ServiceName),
    Slice(ObjectName),
    Import(ServiceName),
    Namespace(Namespace),
    Node(NodeName),
    Pod(ObjectName),
    ServiceCidr(LocalName),
}

impl ObjectKey {
    /// What `change` is about.
    pub(crate) fn of(change: &Change) -> Self {
        match change {
            Change::Service(service) => Self::Service(service.name.clone()),
            Change::ServiceGone(name) => Self::Service(name.clone()),
            Change::Slice(slice) => Self::Slice(slice.name.clone()),
            Change::SliceGone(name) => Self::Slice(name.clone()),
            Change::Import(import) => Self::Import(import.name.clone()),
            Change::ImportGone(name) => Self::Import(name.clone()),
            Change::Namespace(name, _) | Change::NamespaceGone(name) => {
                Self::Namespace(name.clone())
            }
            Change::Node(node) => Self::Node(node.name.clone()),
            Change::NodeGone(name) => Self::Node(name.clone()),
            Change::Pod(pod) => Self::Pod(pod.name.clone()),
            Change::PodGone(name) => Self::Pod(name.clone()),
            Change::ServiceCidr(range) => Self::ServiceCidr(range.name.clone()),
            Change::ServiceCidrGone(name) => Self::ServiceCidr(name.clone()),
        }
    }

    /// The object of that kind and name; `None` where the model can have none of that name.
    pub(crate) fn named(kind: ObjectKind, namespace: &str, name: &str) -> Option<Self> {
        Some(match kind {
            ObjectKind::Service => Self::Service(ServiceName::new(namespace, name).ok()?),
            ObjectKind::EndpointSlice => Self::Slice(ObjectName::new(namespace, name).ok()?),
            ObjectKind::Import => Self::Import(ServiceName::new(namespace, name).ok()?),
            ObjectKind::Pod => Self::Pod(ObjectName::new(namespace, name).ok()?),
            ObjectKind::Namespace => Self::Namespace(Namespace::new(name).ok()?),
            ObjectKind::Node => Self::Node(NodeName::new(name).ok()?),
            ObjectKind::ServiceCidr => Self::ServiceCidr(LocalName::new(name).ok()?),
        })
    }

    /// The namespace that the object is in, or is.
    pub(crate) const fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Service(name) | Self::Import(name) => Some(&name.namespace),
            Self::Slice(name) | Self::Pod(name) => Some(&name.namespace),
            Self::Namespace(name) => Some(name),
            Self::Node(_) | Self::ServiceCidr(_) => None,
        }
    }

    /// The change that takes the object away.
    pub(crate) fn gone(self) -> Change {
        match self {
            Self::Service(name) => Change::ServiceGone(name),
            Self::Slice(name) => Change::SliceGone(name),
            Self::Import(name) => Change::ImportGone(name),
            Self::Namespace(name) => Change::NamespaceGone(name),
            Self::Node(name) => Change::NodeGone(name),
            Self::Pod(name) => Change::PodGone(name),
            Self::ServiceCidr(name) => Change::ServiceCidrGone(name),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(formatter, "{} {name}", ObjectKind::Service),
            Self::Slice(name) => write!(formatter, "{} {name}", ObjectKind::EndpointSlice),
            Self::Import(name) => write!(formatter, "{} {name}", ObjectKind::Import),
            Self::Namespace(name) => write!(formatter, "{} {name}", ObjectKind::Namespace),
            Self::Node(name) => write!(formatter, "{} {name}", ObjectKind::Node),
            Self::Pod(name) => write!(formatter, "{} {name}", ObjectKind::Pod),
            Self::ServiceCidr(name) => write!(formatter, "{} {name}", ObjectKind::ServiceCidr),
        }
    }
}
