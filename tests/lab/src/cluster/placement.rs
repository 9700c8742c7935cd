//! The scheduler and what makes a pod of a template: its name, node and addresses.

use super::pod::{self, Owner, Pod};
use super::spec::{self, Labels, PodTemplate};
use super::workload::{Workload, WorkloadKind};
use super::{Action, Cluster};
use crate::address::{self, PODS_PER_NODE};
use crate::place::{ObjectName, node_name};
use crate::protocol::PodPhase;

impl Cluster {
    /// Makes a pod for `workload`.
    pub(super) fn create_for(
        &mut self,
        workload: &Workload,
        ordinal: Option<u32>,
        node: Option<u8>,
    ) {
        let owner = workload.owner(ordinal);
        let mut template = workload.spec.template.clone();
        let labels = &mut template.metadata.labels;
        let name = match (workload.kind, ordinal) {
            (WorkloadKind::StatefulSet, Some(ordinal)) => {
                let name = format!("{}-{ordinal}", owner.name);
                labels.insert("statefulset.kubernetes.io/pod-name".into(), name.clone());
                labels.insert("apps.kubernetes.io/pod-index".into(), ordinal.to_string());
                template.spec.hostname.clone_from(&name);
                template.spec.subdomain.clone_from(&workload.spec.service_name);
                name
            }
            (kind, _) => {
                if kind == WorkloadKind::Deployment {
                    labels.insert("pod-template-hash".into(), workload.revision.clone());
                }
                let number = self.made.to_string();
                format!("{}-{}", owner.name, pod::hash_name(&[&owner.name, &number], 5))
            }
        };
        if let Some(node) = node {
            template.spec.node_name = node_name(node);
        }
        let name = ObjectName::new(workload.name.namespace.clone(), name);
        self.create_pod(name, template, Some(owner), &workload.revision);
    }

    /// Makes a pod and gives it a node and addresses, if there are any.
    pub(super) fn create_pod(
        &mut self,
        name: ObjectName,
        template: PodTemplate,
        owner: Option<Owner>,
        revision: &str,
    ) {
        let sequence = self.made;
        self.made += 1;
        let mut pod = Pod {
            uid: pod::uid(&[&name.namespace, &name.name, &sequence.to_string()]),
            name,
            owner,
            revision: revision.to_owned(),
            labels: template.metadata.labels,
            annotations: template.metadata.annotations,
            spec: template.spec,
            node: None,
            addresses: None,
            phase: PodPhase::Pending,
            ready: false,
            deleted_at: None,
            notes: Vec::new(),
            sequence,
        };
        match self.place(&pod) {
            Some(node) => {
                pod.node = Some(node);
                pod.addresses = if pod.spec.host_network {
                    Some(address::node(node))
                } else {
                    self.free_slot(node).map(|slot| address::pod(node, slot))
                };
            }
            None => pod.notes.push("no node fits nodeName or nodeSelector".to_owned()),
        }
        if pod.addresses.is_some() {
            self.actions.push(Action::Start(pod.name.clone()));
        } else if pod.node.is_some() {
            pod.notes.push("no address is free on its node".to_owned());
        }
        self.pods.insert(pod.name.clone(), pod);
    }

    /// The scheduler: of the nodes that fit, the one with the fewest siblings, then pods.
    fn place(&self, pod: &Pod) -> Option<u8> {
        let crowd = |node: u8| {
            let there = || self.pods.values().filter(move |other| other.node == Some(node));
            let sibling = |other: &&Pod| pod.owner.is_some() && same_workload(pod, other);
            (there().filter(sibling).count(), there().filter(|o| !o.spec.host_network).count())
        };
        self.nodes_for(&pod.spec).into_iter().min_by_key(|node| crowd(*node))
    }

    /// The nodes that `nodeName` and `nodeSelector` allow.
    pub(super) fn nodes_for(&self, spec: &spec::PodSpec) -> Vec<u8> {
        let fits = |number: &u8| {
            let labels = self.node_labels(*number);
            let selected = |(key, value)| labels.get(key) == Some(value);
            (spec.node_name.is_empty() || spec.node_name == node_name(*number))
                && spec.node_selector.iter().all(selected)
        };
        (1..=self.nodes).filter(fits).collect()
    }

    fn free_slot(&mut self, node: u8) -> Option<u8> {
        let next = self.next_slot.get_mut(usize::from(node).checked_sub(1)?)?;
        let taken = |slot: u8| {
            let addresses = address::pod(node, slot);
            self.pods.values().any(|pod| pod.addresses == Some(addresses))
        };
        let slot = (0..PODS_PER_NODE)
            .map(|offset| (usize::from(*next) + usize::from(offset)) % usize::from(PODS_PER_NODE))
            .filter_map(|slot| u8::try_from(slot).ok())
            .find(|slot| !taken(*slot))?;
        *next = (slot + 1) % PODS_PER_NODE;
        Some(slot)
    }

    /// Labels of node `number`.
    pub(super) fn node_labels(&self, number: u8) -> Labels {
        let mut labels = Labels::new();
        labels.insert("kubernetes.io/hostname".to_owned(), node_name(number));
        labels.insert("kubernetes.io/os".to_owned(), "linux".to_owned());
        labels.insert("topology.kubernetes.io/region".to_owned(), "lab".to_owned());
        labels.insert("topology.kubernetes.io/zone".to_owned(), zone(number));
        labels
    }
}

/// Whether two pods belong to the same workload.
fn same_workload(pod: &Pod, other: &Pod) -> bool {
    let key = |pod: &Pod| {
        let owner = pod.owner.as_ref()?;
        Some((pod.name.namespace.clone(), owner.kind, owner.workload.clone()))
    };
    key(pod) == key(other)
}

/// Zone of node `number`: every node has its own, by letter.
pub(super) fn zone(number: u8) -> String {
    format!("zone-{}", char::from(b'a' + (number.saturating_sub(1)) % 26))
}
