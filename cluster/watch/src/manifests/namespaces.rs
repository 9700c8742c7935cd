//! Which namespaces exist: those that have an object, and those with an object inside.
//!
//! An API server takes no object into a namespace that is not there, so the object proves its
//! namespace. A dump of Services and slices alone then means what the cluster meant.

use std::collections::HashMap;

use podway_cluster_model::builder::Change;
use podway_cluster_model::name::Namespace;

use crate::convert::labels::of_bare_namespace;
use crate::key::ObjectKey;

/// How many objects prove each namespace.
#[derive(Debug, Default)]
pub(super) struct Namespaces(HashMap<Namespace, usize>);

impl Namespaces {
    /// Takes in that the object `key` came; gives the namespace that came with it.
    pub(super) fn came(&mut self, key: &ObjectKey) -> Option<Change> {
        let namespace = key.namespace()?;
        let proofs = self.0.entry(namespace.clone()).or_default();
        *proofs += 1;
        if *proofs == 1 { self.bare(namespace) } else { None }
    }

    /// All that exist, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Namespace> {
        self.0.keys()
    }

    /// The namespace as it is without an object of its own; `None` where it does not exist.
    pub(super) fn bare(&self, namespace: &Namespace) -> Option<Change> {
        let exists = self.0.contains_key(namespace);
        exists.then(|| Change::Namespace(namespace.clone(), of_bare_namespace(namespace)))
    }

    /// Takes in that the object `key` went; gives the namespace that went with it.
    pub(super) fn went(&mut self, key: &ObjectKey) -> Option<Change> {
        let namespace = key.namespace()?;
        let proofs = self.0.get_mut(namespace)?;
        *proofs -= 1;
        if *proofs > 0 {
            return None;
        }
        self.0.remove(namespace);
        Some(Change::NamespaceGone(namespace.clone()))
    }
}
