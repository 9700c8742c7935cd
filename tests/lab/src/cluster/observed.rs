//! The cluster as an API server has it: pods to run come from there, what they do goes there.
//!
//! Here the real controllers make pods and slices. The lab only schedules, runs pods, and gives
//! Services their load-balancer addresses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::manifest::{self, Kind, Manifest};
use super::pod::Pod;
use super::service;
use super::spec::{self, PodTemplate};
use super::{Cluster, ClusterError, builtin, publish};
use crate::place::ObjectName;

/// What an API server still says, or says already, of pods that are not here.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Observed {
    /// Pods of which nothing is left here, by uid, while the API server may still have them.
    ended: BTreeSet<String>,
    /// Pods that wait for the end of one of the same name.
    successors: BTreeMap<ObjectName, Value>,
}

impl Observed {
    /// Takes that nothing is left of the pod `uid`.
    pub(super) fn ended(&mut self, uid: String) {
        self.ended.insert(uid);
    }
}

/// What a cluster with an API server of its own has at the beginning.
pub(crate) fn initial_objects(nodes: u8, with_daemon: bool) -> Vec<Value> {
    let empty = Cluster::observed(nodes);
    let mut objects: Vec<_> = (1..=nodes).map(|number| publish::node(&empty, number)).collect();
    objects.push(builtin::kube_dns_service());
    if with_daemon {
        objects.push(builtin::daemon_set());
    }
    objects
}

/// The objects of a manifest text, but for those that pods are made of.
pub(crate) fn objects_but_workloads(text: &str) -> Result<Vec<Value>, ClusterError> {
    let mut objects = Vec::new();
    for manifest in manifest::parse(text)? {
        let manifest = manifest?;
        if !matches!(manifest.kind, Kind::Pod | Kind::Workload(_)) {
            objects.push(manifest.object);
        }
    }
    Ok(objects)
}

impl Cluster {
    /// A cluster of `nodes` nodes that holds nothing but what is observed.
    pub(crate) fn observed(nodes: u8) -> Self {
        Self::empty(nodes)
    }

    /// Takes a pod as the API server has it at the time `now`.
    pub(crate) fn observe_pod(&mut self, object: Value, now: &str) -> Result<(), ClusterError> {
        let manifest = Manifest::of(object)?;
        let metadata = &manifest.object["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
        let deleted = metadata.get("deletionTimestamp").is_some_and(|time| !time.is_null());
        let name = manifest.name.clone();
        if self.observed.ended.contains(&uid) {
            return Ok(());
        }
        match self.pods.get_mut(&name) {
            Some(pod) if pod.uid == uid => {
                pod.labels = manifest.metadata.labels.clone();
                pod.annotations = manifest.metadata.annotations.clone();
                let grace = metadata["deletionGracePeriodSeconds"].as_u64();
                if let Some(grace) = grace.and_then(|seconds| u32::try_from(seconds).ok()) {
                    pod.spec.termination_grace_period_seconds = Some(grace);
                }
            }
            Some(_) => {
                self.observed.successors.insert(name, manifest.object);
                return Ok(());
            }
            None => self.take_in(&manifest, uid)?,
        }
        if deleted {
            self.delete_pod(&name, now);
        }
        Ok(())
    }

    /// Makes a pod of one that the API server has.
    fn take_in(&mut self, manifest: &Manifest, uid: String) -> Result<(), ClusterError> {
        let refuse =
            |error: serde_json::Error| ClusterError::invalid(manifest, format!("spec: {error}"));
        let mut spec: spec::PodSpec = spec::read(&manifest.object, "spec").map_err(refuse)?;
        if spec.node_name.is_empty() {
            spec.node_name = pinned_node(&manifest.object).unwrap_or_default().to_owned();
        }
        let template = PodTemplate { metadata: manifest.metadata.clone(), spec };
        self.create_pod(manifest.name.clone(), template, None, "");
        if let Some(pod) = self.pods.get_mut(&manifest.name) {
            pod.uid = uid;
        }
        Ok(())
    }

    /// Takes that the API server has no pod `name` of `uid` any more, at the time `now`.
    pub(crate) fn lose_pod(&mut self, name: &ObjectName, uid: &str, now: &str) {
        if self.pods.get(name).is_some_and(|pod| pod.uid == uid) {
            self.delete_pod(name, now);
        }
        let is_it = |object: &Value| object["metadata"]["uid"] == uid;
        if self.observed.successors.get(name).is_some_and(is_it) {
            self.observed.successors.remove(name);
        }
        self.observed.ended.remove(uid);
    }

    /// Takes in the pods that waited for one of the same name that is gone now, at the time `now`;
    /// what is wrong with them.
    pub(crate) fn take_successors(&mut self, now: &str) -> Vec<ClusterError> {
        let pods = &self.pods;
        let free = self.observed.successors.extract_if(.., |name, _| !pods.contains_key(name));
        let free: Vec<_> = free.map(|(_, object)| object).collect();
        free.into_iter().filter_map(|object| self.observe_pod(object, now).err()).collect()
    }

    /// Takes that the API server has these pods, by uid, and no others.
    pub(crate) fn keep_pods(&mut self, uids: &BTreeSet<String>, now: &str) {
        let lost = self.pods.values().filter(|pod| !uids.contains(&pod.uid));
        for name in lost.map(|pod| pod.name.clone()).collect::<Vec<_>>() {
            self.delete_pod(&name, now);
        }
        self.observed.ended.retain(|uid| uids.contains(uid));
        let is_there = |object: &Value| {
            object["metadata"]["uid"].as_str().is_some_and(|uid| uids.contains(uid))
        };
        self.observed.successors.retain(|_, object| is_there(object));
    }

    /// Takes a Service as the API server has it.
    pub(crate) fn observe_service(&mut self, object: Value) -> Result<(), ClusterError> {
        let manifest = Manifest::of(object)?;
        // Everything is allocated already but the load balancer's address, which is ours to give.
        let nobody = BTreeMap::new();
        let balanced = manifest.object["spec"]["type"] == "LoadBalancer";
        let others = if balanced { &self.services } else { &nobody };
        let service = service::complete(&manifest, others)?;
        self.services.insert(manifest.name, service);
        Ok(())
    }

    /// Takes that there is no Service `name` any more.
    pub(crate) fn lose_service(&mut self, name: &ObjectName) {
        self.services.remove(name);
    }

    /// Takes that there are these Services and no others.
    pub(crate) fn keep_services(&mut self, names: &BTreeSet<ObjectName>) {
        self.services.retain(|name, _| names.contains(name));
    }

    /// `status` of a pod, as its kubelet reports it.
    pub(crate) fn pod_status(&self, pod: &Pod) -> Value {
        publish::pod_status(pod)
    }

    /// `status` of the Services with a load balancer, as the cloud reports it.
    pub(crate) fn service_statuses(&self) -> Vec<(ObjectName, Value)> {
        let balanced = self.services.values().filter(|service| service.load_balancer.is_some());
        balanced
            .map(|service| (service.name.clone(), service.published()["status"].clone()))
            .collect()
    }
}

/// The node that the controller of a DaemonSet wants its pod on: it leaves the binding to the
/// scheduler.
fn pinned_node(pod: &Value) -> Option<&str> {
    let affinity = &pod["spec"]["affinity"]["nodeAffinity"];
    let required = &affinity["requiredDuringSchedulingIgnoredDuringExecution"];
    let field = &required["nodeSelectorTerms"][0]["matchFields"][0];
    if *field != json!(null) && field["key"] == "metadata.name" {
        field["values"][0].as_str()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
