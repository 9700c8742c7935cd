//! Addresses of pods by namespace: for [`PodMode::Verified`](crate::PodMode::Verified), and to tell
//! whose search path to walk.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use podway_cluster_model::name::{Namespace, ObjectName};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

/// Which addresses pods have, in which namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pods {
    /// What each pod contributed, to be taken back when it changes.
    addresses: HashTrieMapSync<ObjectName, Arc<[IpAddr]>>,
    /// The namespaces of the pods with an address, ordered; one for each pod, since pods on the
    /// node's own network share its address.
    holders: RedBlackTreeMapSync<IpAddr, Arc<[Namespace]>>,
}

impl Pods {
    /// Whether a pod in the namespace of this label has the address.
    pub(crate) fn has(&self, namespace: &[u8], address: IpAddr) -> bool {
        self.holders.get(&address).is_some_and(|holders| {
            holders.iter().any(|holder| holder.as_str().as_bytes() == namespace)
        })
    }

    /// The namespace of the pods with an address, where all are of one.
    pub(crate) fn namespace_of(&self, address: IpAddr) -> Option<&Namespace> {
        let (first, others) = self.holders.get(&address)?.split_first()?;
        others.iter().all(|other| other == first).then_some(first)
    }

    /// Every address with its namespace, ordered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Namespace, IpAddr)> {
        self.holders.iter().flat_map(|(address, holders)| {
            holders.iter().collect::<BTreeSet<_>>().into_iter().map(|holder| (holder, *address))
        })
    }

    /// Sets the addresses of a pod, none where it is gone; says whether anything changed.
    pub(crate) fn set(&mut self, pod: &ObjectName, addresses: &[IpAddr]) -> bool {
        let after: Arc<[IpAddr]> =
            addresses.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let before = self.addresses.get(pod).cloned().unwrap_or_default();
        if before == after {
            return false;
        }
        for address in before.iter() {
            self.release(*address, &pod.namespace);
        }
        for address in after.iter() {
            self.claim(*address, &pod.namespace);
        }
        if after.is_empty() {
            self.addresses.remove_mut(pod);
        } else {
            self.addresses.insert_mut(pod.clone(), after);
        }
        true
    }

    fn claim(&mut self, address: IpAddr, namespace: &Namespace) {
        let mut holders =
            self.holders.get(&address).map_or_else(Vec::new, |holders| holders.to_vec());
        let (Ok(place) | Err(place)) = holders.binary_search(namespace);
        holders.insert(place, namespace.clone());
        self.holders.insert_mut(address, holders.into());
    }

    fn release(&mut self, address: IpAddr, namespace: &Namespace) {
        let mut holders =
            self.holders.get(&address).map_or_else(Vec::new, |holders| holders.to_vec());
        if let Ok(place) = holders.binary_search(namespace) {
            holders.remove(place);
        }
        if holders.is_empty() {
            self.holders.remove_mut(&address);
        } else {
            self.holders.insert_mut(address, holders.into());
        }
    }
}
