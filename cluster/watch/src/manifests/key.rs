//! What identifies an object across files.

use std::fmt;

use podway_cluster_model::builder::Change;
use podway_cluster_model::name::{Namespace, NodeName, ObjectName, ServiceName};

use crate::rejection::ObjectKind;

/// Kind and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ObjectKey {
    Service(ServiceName),
    Slice(ObjectName),
    Namespace(Namespace),
    Node(NodeName),
    Pod(ObjectName),
}

impl ObjectKey {
    /// What `change` is about.
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::Service(service) => Self::Service(service.name.clone()),
            Change::ServiceGone(name) => Self::Service(name.clone()),
            Change::Slice(slice) => Self::Slice(slice.name.clone()),
            Change::SliceGone(name) => Self::Slice(name.clone()),
            Change::Namespace(name) | Change::NamespaceGone(name) => Self::Namespace(name.clone()),
            Change::Node(node) => Self::Node(node.name.clone()),
            Change::NodeGone(name) => Self::Node(name.clone()),
            Change::Pod(pod) => Self::Pod(pod.name.clone()),
            Change::PodGone(name) => Self::Pod(name.clone()),
        }
    }

    /// The namespace that the object is in, or is.
    pub(super) const fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Service(name) => Some(&name.namespace),
            Self::Slice(name) | Self::Pod(name) => Some(&name.namespace),
            Self::Namespace(name) => Some(name),
            Self::Node(_) => None,
        }
    }

    /// The change that takes the object away.
    pub(super) fn gone(self) -> Change {
        match self {
            Self::Service(name) => Change::ServiceGone(name),
            Self::Slice(name) => Change::SliceGone(name),
            Self::Namespace(name) => Change::NamespaceGone(name),
            Self::Node(name) => Change::NodeGone(name),
            Self::Pod(name) => Change::PodGone(name),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(formatter, "{} {name}", ObjectKind::Service),
            Self::Slice(name) => write!(formatter, "{} {name}", ObjectKind::EndpointSlice),
            Self::Namespace(name) => write!(formatter, "{} {name}", ObjectKind::Namespace),
            Self::Node(name) => write!(formatter, "{} {name}", ObjectKind::Node),
            Self::Pod(name) => write!(formatter, "{} {name}", ObjectKind::Pod),
        }
    }
}
