//! One whole, immutable view of the cluster.
//!
//! Snapshots share what did not change: the tables are persistent maps of reference-counted
//! objects, so a new snapshot costs what its changes cost, whatever the size of the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use crate::endpoint::EndpointSlice;
use crate::import::{Imported, Imports};
use crate::label::{LabelKeys, Labels};
use crate::name::{LocalName, Namespace, NodeName, ObjectName, ServiceName};
use crate::node::{Node, Pod};
use crate::service::Service;
use crate::service_cidr::ServiceCidr;

/// One whole view of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts the snapshots of one builder, from 1; 0 is the empty view before the first.
    pub generation: u64,
    /// Services and the slices that belong to them.
    ///
    /// An entry may have slices and no Service yet, or a Service and no slices.
    pub services: RedBlackTreeMapSync<ServiceName, Arc<ServiceEntry>>,
    /// Namespaces that exist as objects, with those of their labels that are kept.
    pub namespaces: RedBlackTreeMapSync<Namespace, Labels>,
    /// Nodes.
    pub nodes: RedBlackTreeMapSync<NodeName, Arc<Node>>,
    /// Pods.
    pub pods: RedBlackTreeMapSync<ObjectName, Arc<Pod>>,
    /// Ranges that ClusterIPs are given out of.
    pub service_cidrs: RedBlackTreeMapSync<LocalName, Arc<ServiceCidr>>,
    /// Which labels are kept of every Service, Namespace and Pod.
    pub label_keys: LabelKeys,
    /// Whether `services` has imports.
    pub imports: Imports,
}

/// A Service with the slices that carry its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The Service; `None` while only slices name it.
    pub service: Option<Arc<Service>>,
    /// Its slices by name, which is the order every reader merges them in.
    pub slices: RedBlackTreeMapSync<LocalName, Arc<EndpointSlice>>,
    /// What other clusters have under the same name; nothing unless somebody wants to know.
    pub imported: Option<Arc<Imported>>,
}

impl ServiceEntry {
    /// Whether nothing is left that the entry stands for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.service.is_none() && self.slices.is_empty() && self.imported.is_none()
    }
}

/// What differs between two snapshots.
///
/// A name stands here when its object was added, changed or removed; the snapshot says which. After
/// a merge of several steps it may also name what a later step changed back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Services whose object, import or slices changed.
    pub services: BTreeSet<ServiceName>,
    /// Namespaces that came or went, or whose labels changed.
    pub namespaces: BTreeSet<Namespace>,
    /// Nodes that changed.
    pub nodes: BTreeSet<NodeName>,
    /// Pods that changed.
    pub pods: BTreeSet<ObjectName>,
    /// `ServiceCIDR`s that changed.
    pub service_cidrs: BTreeSet<LocalName>,
    /// Whether other labels are kept than before.
    pub label_keys: bool,
    /// Whether imports came to be known, or are known no more.
    pub imports: bool,
}

impl Delta {
    /// Everything `snapshot` holds: what a reader sees that starts from nothing.
    #[must_use]
    pub fn everything(snapshot: &Snapshot) -> Self {
        Self {
            services: snapshot.services.keys().cloned().collect(),
            namespaces: snapshot.namespaces.keys().cloned().collect(),
            nodes: snapshot.nodes.keys().cloned().collect(),
            pods: snapshot.pods.keys().cloned().collect(),
            service_cidrs: snapshot.service_cidrs.keys().cloned().collect(),
            label_keys: snapshot.label_keys != LabelKeys::default(),
            imports: snapshot.imports != Imports::default(),
        }
    }

    /// Forgets the names under which `before` and `after` hold the same.
    ///
    /// Visits only what the delta names.
    pub fn retain_differing(&mut self, before: &Snapshot, after: &Snapshot) {
        let Self { services, namespaces, nodes, pods, service_cidrs, label_keys, imports } = self;
        services.retain(|name| before.services.get(name) != after.services.get(name));
        namespaces.retain(|name| before.namespaces.get(name) != after.namespaces.get(name));
        nodes.retain(|name| before.nodes.get(name) != after.nodes.get(name));
        pods.retain(|name| before.pods.get(name) != after.pods.get(name));
        service_cidrs
            .retain(|name| before.service_cidrs.get(name) != after.service_cidrs.get(name));
        *label_keys &= before.label_keys != after.label_keys;
        *imports &= before.imports != after.imports;
    }

    /// Adds the changes of a later step.
    pub fn merge(&mut self, later: Self) {
        let Self { services, namespaces, nodes, pods, service_cidrs, label_keys, imports } = later;
        self.services.extend(services);
        self.namespaces.extend(namespaces);
        self.nodes.extend(nodes);
        self.pods.extend(pods);
        self.service_cidrs.extend(service_cidrs);
        self.label_keys |= label_keys;
        self.imports |= imports;
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { services, namespaces, nodes, pods, service_cidrs, label_keys, imports } = self;
        services.is_empty()
            && namespaces.is_empty()
            && nodes.is_empty()
            && pods.is_empty()
            && service_cidrs.is_empty()
            && !label_keys
            && !imports
    }
}
