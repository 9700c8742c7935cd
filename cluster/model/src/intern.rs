//! Texts that many objects share, each kept once.
//!
//! A cluster has few Nodes, zones, Namespaces and port names and very many endpoints that name them.
//! Names of Pods are their own and stay as they are.

use std::collections::HashSet;
use std::sync::Arc;

use crate::builder::Change;
use crate::endpoint::{Endpoint, EndpointSlice, HintSets};
use crate::import::SliceOrigin;
use crate::label::{LabelMap, Labels};
use crate::name::{ObjectName, PortName, ServiceName};
use crate::service::Service;

/// Fewest texts before those that nobody else holds are looked for.
const FIRST_SWEEP: usize = 4096;

/// Texts that many objects share.
#[derive(Debug)]
pub struct Interner {
    texts: HashSet<Arc<str>>,
    hints: HashSet<Arc<HintSets>>,
    labels: HashSet<Arc<LabelMap>>,
    /// How many texts there may be before the unused ones are dropped.
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            texts: HashSet::new(),
            hints: HashSet::new(),
            labels: HashSet::new(),
            sweep_at: FIRST_SWEEP,
        }
    }
}

impl Interner {
    /// Makes `change` share the texts that other objects have too.
    pub fn change(&mut self, change: &mut Change) {
        match change {
            Change::Service(service) => self.service(service),
            Change::Slice(slice) => self.slice(slice),
            Change::Import(import) => {
                self.service_name(&mut import.name);
                import.ports.iter_mut().for_each(|port| self.port_name(&mut port.name));
                self.labels(&mut import.labels);
            }
            Change::Pod(pod) => {
                self.object_name(&mut pod.name);
                pod.node.iter_mut().for_each(|node| self.text(node.shared_mut()));
                self.labels(&mut pod.labels);
            }
            Change::Namespace(name, labels) => {
                self.text(name.shared_mut());
                self.labels(labels);
            }
            // One of each at most, or used once.
            Change::Node(_)
            | Change::ServiceCidr(_)
            | Change::ServiceGone(_)
            | Change::SliceGone(_)
            | Change::ImportGone(_)
            | Change::NamespaceGone(_)
            | Change::NodeGone(_)
            | Change::PodGone(_)
            | Change::ServiceCidrGone(_) => {}
        }
        self.sweep();
    }

    fn service(&mut self, service: &mut Service) {
        self.service_name(&mut service.name);
        service.ports.iter_mut().for_each(|port| self.port_name(&mut port.name));
        service.ports.shrink_to_fit();
        self.labels(&mut service.labels);
    }

    fn slice(&mut self, slice: &mut EndpointSlice) {
        self.object_name(&mut slice.name);
        slice.service.iter_mut().for_each(|service| self.service_name(service));
        if let Some(origin) = &mut slice.origin {
            let SliceOrigin { service, cluster } = Arc::make_mut(origin);
            self.service_name(service);
            self.text(cluster.shared_mut());
        }
        slice.ports.iter_mut().for_each(|port| self.port_name(&mut port.name));
        slice.ports.shrink_to_fit();
        slice.endpoints.iter_mut().for_each(|endpoint| self.endpoint(endpoint));
    }

    fn endpoint(&mut self, endpoint: &mut Endpoint) {
        let Endpoint { hostname, node, pod, zone, hints, .. } = endpoint;
        node.iter_mut().for_each(|node| self.text(node.shared_mut()));
        zone.iter_mut().for_each(|zone| self.text(zone));
        // The host name of a StatefulSet's pod is the pod's name.
        if let (Some(hostname), Some(pod)) = (hostname, pod)
            && hostname.as_str() == pod.as_str()
        {
            *hostname.shared_mut() = Arc::clone(pod.shared_mut());
        }
        if let Some(hints) = hints.shared_mut() {
            self.hints(hints);
        }
    }

    /// Puts the shared hints in the place of `hints`.
    fn hints(&mut self, hints: &mut Arc<HintSets>) {
        if let Some(shared) = self.hints.get(hints) {
            *hints = Arc::clone(shared);
            return;
        }
        let HintSets { zones, nodes } = HintSets::clone(hints);
        let zones = zones.into_iter().map(|mut zone| {
            self.text(&mut zone);
            zone
        });
        let zones = zones.collect();
        let nodes = nodes.into_iter().map(|mut node| {
            self.text(node.shared_mut());
            node
        });
        *hints = Arc::new(HintSets { zones, nodes: nodes.collect() });
        self.hints.insert(Arc::clone(hints));
    }

    /// Puts the shared labels in the place of `labels`.
    fn labels(&mut self, labels: &mut Labels) {
        let Some(labels) = labels.shared_mut() else { return };
        if let Some(shared) = self.labels.get(labels) {
            *labels = Arc::clone(shared);
            return;
        }
        let texts = labels.iter().map(|(key, value)| {
            let (mut key, mut value) = (Arc::clone(key), Arc::clone(value));
            self.text(&mut key);
            self.text(&mut value);
            (key, value)
        });
        *labels = Arc::new(texts.collect());
        self.labels.insert(Arc::clone(labels));
    }

    fn service_name(&mut self, name: &mut ServiceName) {
        self.text(name.namespace.shared_mut());
        self.text(name.name.shared_mut());
    }

    fn object_name(&mut self, name: &mut ObjectName) {
        self.text(name.namespace.shared_mut());
    }

    fn port_name(&mut self, name: &mut PortName) {
        self.text(name.shared_mut());
    }

    /// Puts the shared text in the place of `text`.
    fn text(&mut self, text: &mut Arc<str>) {
        match self.texts.get(text) {
            Some(shared) => *text = Arc::clone(shared),
            None => drop(self.texts.insert(Arc::clone(text))),
        }
    }

    /// Drops what nobody else holds, whenever there is twice as much as was in use.
    fn sweep(&mut self) {
        if self.held() >= self.sweep_at {
            // Hints and labels hold texts.
            self.hints.retain(|hints| Arc::strong_count(hints) > 1);
            self.labels.retain(|labels| Arc::strong_count(labels) > 1);
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = (self.held() * 2).max(FIRST_SWEEP);
        }
    }

    fn held(&self) -> usize {
        self.texts.len() + self.hints.len() + self.labels.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;
    use crate::name::Namespace;

    proptest! {
        #[test]
        fn sharing_changes_no_object(changes in arbitrary::changes(40)) {
            let mut interner = Interner::default();
            for change in changes {
                let mut shared = change.clone();
                interner.change(&mut shared);
                prop_assert_eq!(shared, change);
            }
        }
    }

    #[test]
    fn equal_texts_are_one() {
        let mut interner = Interner::default();
        let [first, second] = ["shop", "shop"].map(|text| {
            let labels = [(Arc::from("team"), Arc::from(text))].into_iter().collect();
            let mut change = Change::Namespace(Namespace::new(text).unwrap(), labels);
            interner.change(&mut change);
            let Change::Namespace(name, labels) = change else { panic!("{change:?}") };
            (name, labels)
        });
        assert!(std::ptr::eq(first.0.as_str(), second.0.as_str()));
        let value = |labels: &Labels| std::ptr::from_ref(labels.value("team").unwrap());
        assert!(std::ptr::eq(value(&first.1), value(&second.1)), "labels are shared");
        assert!(std::ptr::eq(value(&first.1), first.0.as_str()), "and so are their texts");
    }

    #[test]
    fn texts_that_nobody_uses_are_dropped() {
        let mut interner = Interner::default();
        for number in 0..FIRST_SWEEP * 3 {
            let name = Namespace::new(&format!("n{number}")).unwrap();
            let labels = [(Arc::from("name"), Arc::from(name.as_str()))].into_iter().collect();
            interner.change(&mut Change::Namespace(name, labels));
        }
        assert!(interner.held() < FIRST_SWEEP, "{}", interner.held());
    }
}
