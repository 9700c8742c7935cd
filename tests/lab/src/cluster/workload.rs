//! The controllers of workloads: which pods to make and which to delete next.
//!
//! Each decision is a pure function of the workload and its pods, made again after every change,
//! so that the outcome does not depend on the order of events. Rules: the Kubernetes documentation
//! of Deployment (rolling update), StatefulSet (ordinals, ordered updates) and DaemonSet.

use std::collections::BTreeSet;

use super::ClusterError;
use super::manifest::Manifest;
use super::pod::{Owner, Pod, hash_name};
use super::spec::{self, IntOrString, WorkloadSpec};
use crate::place::ObjectName;

/// A workload as the user wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Workload {
    pub(crate) kind: WorkloadKind,
    pub(crate) name: ObjectName,
    pub(crate) spec: WorkloadSpec,
    /// Hash of the pod template.
    pub(crate) revision: String,
}

/// Kinds of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WorkloadKind {
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
}

/// One thing to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a pod: for a StatefulSet with this ordinal, for a DaemonSet on this node.
    Create { ordinal: Option<u32>, node: Option<u8> },
    /// Delete a pod.
    Delete(ObjectName),
}

impl Step {
    const ANY: Self = Self::Create { ordinal: None, node: None };
}

impl Workload {
    /// Reads a workload.
    pub(crate) fn read(kind: WorkloadKind, manifest: &Manifest) -> Result<Self, ClusterError> {
        let refuse = |reason: String| ClusterError::invalid(manifest, reason);
        let spec: WorkloadSpec = spec::read(&manifest.object, "spec")
            .map_err(|error| refuse(format!("spec: {error}")))?;
        let labels = &spec.template.metadata.labels;
        let selector = &spec.selector.match_labels;
        if !selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            return Err(refuse("spec.selector: does not match the template's labels".to_owned()));
        }
        let template = manifest.object["spec"]["template"].to_string();
        let revision = hash_name(&[&manifest.name.name, &template], 10);
        Ok(Self { kind, name: manifest.name.clone(), spec, revision })
    }

    /// Pods wanted; meaningless for a DaemonSet.
    pub(crate) fn replicas(&self) -> usize {
        usize::try_from(self.spec.replicas.unwrap_or(1)).unwrap_or(usize::MAX)
    }

    /// Whether `pod` was made for this workload.
    pub(crate) fn owns(&self, pod: &Pod) -> bool {
        pod.name.namespace == self.name.namespace
            && pod.owner.as_ref().is_some_and(|owner| {
                owner.workload == self.name.name && owner.kind == self.owner_kind()
            })
    }

    fn owner_kind(&self) -> &'static str {
        match self.kind {
            WorkloadKind::Deployment | WorkloadKind::ReplicaSet => "ReplicaSet",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::DaemonSet => "DaemonSet",
        }
    }

    /// The owner of a pod that this workload makes.
    pub(crate) fn owner(&self, ordinal: Option<u32>) -> Owner {
        let name = match self.kind {
            WorkloadKind::Deployment => format!("{}-{}", self.name.name, self.revision),
            WorkloadKind::ReplicaSet | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
                self.name.name.clone()
            }
        };
        Owner { kind: self.owner_kind(), name, workload: self.name.name.clone(), ordinal }
    }

    /// What to do next, given the workload's pods and the nodes that a DaemonSet may use.
    pub(crate) fn steps(&self, pods: &[&Pod], nodes: &[u8]) -> Vec<Step> {
        match self.kind {
            WorkloadKind::Deployment => self.deployment(pods),
            WorkloadKind::ReplicaSet => self.replica_set(pods),
            WorkloadKind::StatefulSet if self.spec.pod_management_policy == "Parallel" => {
                self.parallel(pods)
            }
            WorkloadKind::StatefulSet => self.ordered(pods).into_iter().collect(),
            WorkloadKind::DaemonSet => self.daemon_set(pods, nodes),
        }
    }

    fn replica_set(&self, pods: &[&Pod]) -> Vec<Step> {
        let live: Vec<_> = pods.iter().copied().filter(|pod| !pod.is_terminating()).collect();
        let mut steps = vec![Step::ANY; self.replicas().saturating_sub(live.len())];
        steps.extend(surplus(live, self.replicas()));
        steps
    }

    fn deployment(&self, pods: &[&Pod]) -> Vec<Step> {
        let replicas = self.replicas();
        let (new, old): (Vec<&Pod>, Vec<&Pod>) = pods
            .iter()
            .copied()
            .filter(|pod| !pod.is_terminating())
            .partition(|pod| pod.revision == self.revision);
        let is_old_ending = |pod: &&Pod| pod.is_terminating() && pod.revision != self.revision;
        if self.spec.strategy.kind == "Recreate"
            && (!old.is_empty() || pods.iter().any(is_old_ending))
        {
            return old.iter().map(|pod| Step::Delete(pod.name.clone())).collect();
        }
        let (surge, unavailable) = self.tolerance();
        let room = (replicas + surge).saturating_sub(new.len() + old.len());
        let missing = replicas.saturating_sub(new.len());
        // Without old pods there is nothing to surge over.
        let create = if old.is_empty() { missing } else { missing.min(room) };
        let mut steps = vec![Step::ANY; create];
        // Old pods that serve nobody go first and cost nothing.
        let (serving, idle): (Vec<&Pod>, Vec<&Pod>) =
            old.into_iter().partition(|pod| pod.is_available());
        let available = new.iter().filter(|pod| pod.is_available()).count() + serving.len();
        let spare = available.saturating_sub(replicas.saturating_sub(unavailable));
        steps.extend(
            idle.into_iter()
                .chain(serving.into_iter().take(spare))
                .map(|pod| Step::Delete(pod.name.clone())),
        );
        steps.extend(surplus(new, replicas));
        steps
    }

    /// Pods that a rolling update may have above, and may lack below, the replicas wanted.
    fn tolerance(&self) -> (usize, usize) {
        let rolling = &self.spec.strategy.rolling_update;
        let share = |value: &Option<IntOrString>, round_up: bool| match value {
            Some(IntOrString::Int(number)) => usize::from(*number),
            other => {
                let text = match other {
                    Some(IntOrString::String(text)) => text.trim_end_matches('%'),
                    Some(IntOrString::Int(_)) | None => "25",
                };
                let percent: usize = text.parse().unwrap_or(25);
                let product = self.replicas() * percent;
                if round_up { product.div_ceil(100) } else { product / 100 }
            }
        };
        match (share(&rolling.max_surge, true), share(&rolling.max_unavailable, false)) {
            // Neither more nor less would never move.
            (0, 0) => (0, 1),
            tolerance => tolerance,
        }
    }

    /// One step of an ordered StatefulSet: each waits for the one before.
    fn ordered(&self, pods: &[&Pod]) -> Option<Step> {
        let find = |wanted: u32| pods.iter().find(|pod| ordinal(pod) == Some(wanted));
        let replicas = self.spec.replicas.unwrap_or(1);
        for index in 0..replicas {
            match find(index) {
                None => return Some(Step::Create { ordinal: Some(index), node: None }),
                Some(pod) if !pod.is_available() => {
                    // A pod of an old template that never gets ready would block its own repair.
                    let stuck = pod.revision != self.revision && !pod.is_terminating();
                    return stuck.then(|| Step::Delete(pod.name.clone()));
                }
                Some(_) => {}
            }
        }
        let beyond = |pod: &&&Pod| ordinal(pod).is_some_and(|number| number >= replicas);
        let surplus = pods.iter().filter(beyond).max_by_key(|pod| ordinal(pod));
        let old = || pods.iter().filter(|pod| pod.revision != self.revision);
        let next = surplus.or_else(|| old().max_by_key(|pod| ordinal(pod)))?;
        (!next.is_terminating()).then(|| Step::Delete(next.name.clone()))
    }

    /// Steps of a StatefulSet with parallel pod management.
    fn parallel(&self, pods: &[&Pod]) -> Vec<Step> {
        let replicas = self.spec.replicas.unwrap_or(1);
        let present: BTreeSet<u32> = pods.iter().filter_map(|pod| ordinal(pod)).collect();
        let missing = (0..replicas).filter(|number| !present.contains(number));
        let mut steps: Vec<_> =
            missing.map(|number| Step::Create { ordinal: Some(number), node: None }).collect();
        let beyond = pods.iter().filter(|pod| {
            !pod.is_terminating() && ordinal(pod).is_some_and(|number| number >= replicas)
        });
        steps.extend(beyond.map(|pod| Step::Delete(pod.name.clone())));
        if steps.is_empty() && pods.iter().all(|pod| pod.is_available()) {
            let old = pods.iter().filter(|pod| pod.revision != self.revision);
            let next = old.max_by_key(|pod| ordinal(pod));
            steps.extend(next.map(|pod| Step::Delete(pod.name.clone())));
        }
        steps
    }

    fn daemon_set(&self, pods: &[&Pod], nodes: &[u8]) -> Vec<Step> {
        let covered: BTreeSet<u8> = pods.iter().filter_map(|pod| pod.node).collect();
        let missing = nodes.iter().filter(|node| !covered.contains(node));
        let mut steps: Vec<_> =
            missing.map(|node| Step::Create { ordinal: None, node: Some(*node) }).collect();
        let misplaced = |pod: &&&Pod| pod.node.is_some_and(|node| !nodes.contains(&node));
        let live = pods.iter().filter(|pod| !pod.is_terminating());
        steps.extend(live.filter(misplaced).map(|pod| Step::Delete(pod.name.clone())));
        if steps.is_empty() && pods.iter().all(|pod| pod.is_available()) {
            let old = pods.iter().find(|pod| pod.revision != self.revision);
            steps.extend(old.map(|pod| Step::Delete(pod.name.clone())));
        }
        steps
    }
}

/// Ordinal of a StatefulSet's pod.
fn ordinal(pod: &Pod) -> Option<u32> {
    pod.owner.as_ref().and_then(|owner| owner.ordinal)
}

/// Deletes what stands above `wanted`: those that do not serve first, then the youngest.
fn surplus(mut live: Vec<&Pod>, wanted: usize) -> impl Iterator<Item = Step> {
    live.sort_by_key(|pod| (std::cmp::Reverse(pod.ready), pod.sequence));
    live.into_iter().skip(wanted).map(|pod| Step::Delete(pod.name.clone()))
}

#[cfg(test)]
mod tests;
