//! Changes in, snapshots out.
//!
//! The builder holds the newest state and is the only writer. Each batch of changes gives one new
//! snapshot and the delta to the one before; a change that changes nothing leaves no trace in it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

use crate::endpoint::EndpointSlice;
use crate::import::{Imported, Imports, ServiceImport};
use crate::label::{LabelKeys, Labels};
use crate::name::{LocalName, Namespace, NodeName, ObjectName, ServiceName};
use crate::node::{Node, Pod};
use crate::service::Service;
use crate::service_cidr::ServiceCidr;
use crate::snapshot::{Delta, ServiceEntry, Snapshot};

#[cfg(test)]
mod tests;

/// One object that came, changed or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The Service is now this.
    Service(Service),
    /// The Service is gone.
    ServiceGone(ServiceName),
    /// The slice is now this.
    Slice(EndpointSlice),
    /// The slice is gone; its Service is found by the builder.
    SliceGone(ObjectName),
    /// The `ServiceImport` is now this.
    Import(ServiceImport),
    /// The `ServiceImport` is gone.
    ImportGone(ServiceName),
    /// The Namespace exists, with those of its labels that are kept.
    Namespace(Namespace, Labels),
    /// The Namespace is gone.
    NamespaceGone(Namespace),
    /// The Node is now this.
    Node(Node),
    /// The Node is gone.
    NodeGone(NodeName),
    /// The Pod is now this.
    Pod(Pod),
    /// The Pod is gone.
    PodGone(ObjectName),
    /// The `ServiceCIDR` is now this.
    ServiceCidr(ServiceCidr),
    /// The `ServiceCIDR` is gone.
    ServiceCidrGone(LocalName),
}

impl Change {
    /// Drops the labels that are not among `keys`.
    pub fn retain_labels(&mut self, keys: &LabelKeys) {
        match self {
            Self::Service(service) => service.labels.retain(keys),
            Self::Namespace(_, labels) => labels.retain(keys),
            Self::Pod(pod) => pod.labels.retain(keys),
            Self::Import(import) => import.labels.retain(keys),
            Self::ServiceGone(_)
            | Self::Slice(_)
            | Self::SliceGone(_)
            | Self::ImportGone(_)
            | Self::NamespaceGone(_)
            | Self::Node(_)
            | Self::NodeGone(_)
            | Self::PodGone(_)
            | Self::ServiceCidr(_)
            | Self::ServiceCidrGone(_) => {}
        }
    }
}

/// Builds snapshots from changes.
#[derive(Debug, Default)]
pub struct Builder {
    current: Snapshot,
    /// Which labels objects have that come from now on, where that is not what the snapshot says.
    label_keys: Option<LabelKeys>,
    /// Whether imports are known, where that is not what the snapshot says.
    imports: Option<Imports>,
    /// Which Service each slice belongs to, so that a slice can be found by its own name.
    slice_owners: HashMap<ObjectName, ServiceName>,
    /// Which import each imported slice belongs to.
    slice_imports: HashMap<ObjectName, ServiceName>,
}

impl Builder {
    /// A builder with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which labels are kept of every object, once the next changes are applied.
    ///
    /// Up to the caller is that the objects have them.
    pub fn keep_labels(&mut self, keys: LabelKeys) {
        self.label_keys = Some(keys);
    }

    /// Says whether imports are known, once the next changes are applied.
    pub fn know_imports(&mut self, imports: Imports) {
        self.imports = Some(imports);
    }

    /// Applies `changes` in order and returns the new snapshot with what differs from the last.
    ///
    /// The delta names exactly what differs: changes that undo each other leave no trace in it.
    /// When nothing differs it is empty and the generation stays.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> (Arc<Snapshot>, Delta) {
        // Shares everything; costs a few reference counts.
        let before = self.current.clone();
        let mut delta = Delta::default();
        for change in changes {
            self.apply_one(change, &mut delta);
        }
        if let Some(keys) = self.label_keys.take() {
            self.current.label_keys = keys;
            delta.label_keys = true;
        }
        if let Some(imports) = self.imports.take() {
            self.current.imports = imports;
            delta.imports = true;
        }
        delta.retain_differing(&before, &self.current);
        if !delta.is_empty() {
            self.current.generation += 1;
        }
        (Arc::new(self.current.clone()), delta)
    }

    fn apply_one(&mut self, change: Change, delta: &mut Delta) {
        let Snapshot { namespaces, nodes, pods, service_cidrs, .. } = &mut self.current;
        match change {
            Change::Service(service) => {
                let name = service.name.clone();
                self.edit_entry(name, delta, |entry| {
                    let changed = entry.service.as_deref() != Some(&service);
                    if changed {
                        entry.service = Some(Arc::new(service));
                    }
                    changed
                });
            }
            Change::ServiceGone(name) => {
                self.edit_entry(name, delta, |entry| entry.service.take().is_some());
            }
            Change::Import(import) => {
                self.edit_imported(import.name.clone(), delta, |imported| {
                    let changed = imported.import.as_deref() != Some(&import);
                    if changed {
                        imported.import = Some(Arc::new(import));
                    }
                    changed
                });
            }
            Change::ImportGone(name) => {
                self.edit_imported(name, delta, |imported| imported.import.take().is_some());
            }
            Change::Slice(slice) => self.put_slice(slice, delta),
            Change::SliceGone(name) => self.drop_slice(&name, delta),
            Change::Namespace(name, labels) => {
                if namespaces.get(&name) != Some(&labels) {
                    namespaces.insert_mut(name.clone(), labels);
                    delta.namespaces.insert(name);
                }
            }
            Change::NamespaceGone(name) => {
                if namespaces.remove_mut(&name) {
                    delta.namespaces.insert(name);
                }
            }
            Change::Node(node) => put(nodes, node.name.clone(), node, &mut delta.nodes),
            Change::NodeGone(name) => remove(nodes, name, &mut delta.nodes),
            Change::Pod(pod) => put(pods, pod.name.clone(), pod, &mut delta.pods),
            Change::PodGone(name) => remove(pods, name, &mut delta.pods),
            Change::ServiceCidr(range) => {
                put(service_cidrs, range.name.clone(), range, &mut delta.service_cidrs);
            }
            Change::ServiceCidrGone(name) => remove(service_cidrs, name, &mut delta.service_cidrs),
        }
    }

    /// Puts a slice under its Service and its import; one that changed them leaves the old ones.
    fn put_slice(&mut self, slice: EndpointSlice, delta: &mut Delta) {
        let slice = Arc::new(slice);
        let name = &slice.name;
        let import = slice.origin.as_ref().map(|origin| &origin.service);
        let moved = self.slice_owners.get(name) != slice.service.as_ref()
            || self.slice_imports.get(name) != import;
        if moved {
            self.drop_slice(name, delta);
        }
        if let Some(owner) = slice.service.clone() {
            self.slice_owners.insert(name.clone(), owner.clone());
            self.edit_entry(owner, delta, |entry| put_one(&mut entry.slices, &slice));
        }
        if let Some(import) = import.cloned() {
            self.slice_imports.insert(name.clone(), import.clone());
            self.edit_imported(import, delta, |imported| put_one(&mut imported.slices, &slice));
        }
    }

    fn drop_slice(&mut self, name: &ObjectName, delta: &mut Delta) {
        if let Some(owner) = self.slice_owners.remove(name) {
            self.edit_entry(owner, delta, |entry| entry.slices.remove_mut(&name.name));
        }
        if let Some(import) = self.slice_imports.remove(name) {
            self.edit_imported(import, delta, |imported| imported.slices.remove_mut(&name.name));
        }
    }

    /// Edits what is imported under `name`; `edit` says whether it changed anything.
    fn edit_imported(
        &mut self,
        name: ServiceName,
        delta: &mut Delta,
        edit: impl FnOnce(&mut Imported) -> bool,
    ) {
        self.edit_entry(name, delta, |entry| {
            let mut imported = entry.imported.as_deref().cloned().unwrap_or_default();
            let changed = edit(&mut imported);
            if changed {
                entry.imported = (!imported.is_empty()).then(|| Arc::new(imported));
            }
            changed
        });
    }

    /// Edits the entry of `name`; `edit` says whether it changed anything.
    fn edit_entry(
        &mut self,
        name: ServiceName,
        delta: &mut Delta,
        edit: impl FnOnce(&mut ServiceEntry) -> bool,
    ) {
        let mut entry =
            self.current.services.get(&name).map(|entry| (**entry).clone()).unwrap_or_default();
        if !edit(&mut entry) {
            return;
        }
        if entry.is_empty() {
            self.current.services.remove_mut(&name);
        } else {
            self.current.services.insert_mut(name.clone(), Arc::new(entry));
        }
        delta.services.insert(name);
    }
}

/// Puts `slice` among `slices` unless it stands there already; says whether it did not.
fn put_one(
    slices: &mut RedBlackTreeMapSync<LocalName, Arc<EndpointSlice>>,
    slice: &Arc<EndpointSlice>,
) -> bool {
    let changed = slices.get(&slice.name.name) != Some(slice);
    if changed {
        slices.insert_mut(slice.name.name.clone(), Arc::clone(slice));
    }
    changed
}

/// Puts `value` into `table` unless it stands there already.
fn put<K: Ord + Clone, V: Eq>(
    table: &mut RedBlackTreeMapSync<K, Arc<V>>,
    key: K,
    value: V,
    changed: &mut BTreeSet<K>,
) {
    if table.get(&key).map(AsRef::as_ref) != Some(&value) {
        table.insert_mut(key.clone(), Arc::new(value));
        changed.insert(key);
    }
}

/// Takes `key` out of `table`.
fn remove<K: Ord, V>(
    table: &mut RedBlackTreeMapSync<K, Arc<V>>,
    key: K,
    changed: &mut BTreeSet<K>,
) {
    if table.remove_mut(&key) {
        changed.insert(key);
    }
}
