//! The cluster as data: manifests in, pods to run and API objects to publish out.
//!
//! Pure: no clock, file, process or network. The supervisor feeds it with what users ask for and
//! what happens to pods, does what [`Cluster::reconcile`] says, and writes what
//! [`Cluster::files`] returns.

mod builtin;
mod manifest;
mod observed;
mod overview;
mod placement;
mod pod;
mod publish;
mod service;
mod slices;
pub(crate) mod spec;
mod workload;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) use builtin::{DAEMON_ANNOTATION, IGNORE_SIGTERM_ANNOTATION};
pub(crate) use observed::{initial_objects, objects_but_workloads};
pub(crate) use pod::Pod;
pub(crate) use publish::Files;
pub(crate) use spec::DnsConfig;
#[cfg(test)]
pub(crate) use spec::DnsOption;

use crate::place::ObjectName;
use crate::protocol::{Applied, PodPhase};
use manifest::{Kind, Manifest};
use service::Service;
use spec::{PodTemplate, Protocol};
use workload::{Step, Workload, WorkloadKind};

/// Why an object or a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The text is neither YAML nor JSON.
    #[error("{0}")]
    Text(String),
    /// A document is no object.
    #[error("{0}")]
    Object(String),
    /// An API server would refuse the object.
    #[error("{object}: {reason}")]
    Invalid { object: String, reason: String },
    /// Nothing has that name.
    #[error("no {kind} {name}")]
    Missing { kind: String, name: ObjectName },
}

impl ClusterError {
    /// An API server would refuse `manifest`.
    fn invalid(manifest: &Manifest, reason: String) -> Self {
        Self::Invalid { object: manifest.title(), reason }
    }
}

/// What the kubelet shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make the pod's namespace and run its server.
    Start(ObjectName),
    /// Run its hooks, end its server within the grace period, remove its namespace.
    Terminate(ObjectName),
}

/// What happened to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodEvent {
    /// Its server listens.
    Started,
    /// Its readiness is now this.
    Ready(bool),
    /// People should know this.
    Note(String),
    /// Nothing of it is left.
    Gone,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: u8,
    namespaces: BTreeSet<String>,
    services: BTreeMap<ObjectName, Service>,
    workloads: BTreeMap<(WorkloadKind, ObjectName), Workload>,
    user_slices: BTreeMap<ObjectName, Value>,
    user_endpoints: BTreeMap<ObjectName, Value>,
    pods: BTreeMap<ObjectName, Pod>,
    actions: Vec<Action>,
    /// Pods made so far.
    made: u64,
    /// Slot that the next pod of each node gets, so that addresses are not reused at once.
    next_slot: Vec<u8>,
    /// What only a cluster behind an API server has.
    observed: observed::Observed,
}

impl Cluster {
    /// A fresh cluster of `nodes` nodes.
    pub(crate) fn new(nodes: u8, with_daemon: bool) -> Result<Self, ClusterError> {
        let mut cluster = Self::empty(nodes);
        cluster.namespaces = builtin::NAMESPACES.map(str::to_owned).into();
        for object in builtin::objects(with_daemon) {
            for manifest in manifest::parse(&object.to_string())? {
                cluster.apply_one(&manifest?)?;
            }
        }
        Ok(cluster)
    }

    /// Nothing but `nodes` nodes.
    fn empty(nodes: u8) -> Self {
        Self {
            nodes,
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            workloads: BTreeMap::new(),
            user_slices: BTreeMap::new(),
            user_endpoints: BTreeMap::new(),
            pods: BTreeMap::new(),
            actions: Vec::new(),
            made: 0,
            next_slot: vec![0; usize::from(nodes)],
            observed: observed::Observed::default(),
        }
    }

    /// Takes over the objects of `text`; one bad object loses nothing else.
    pub(crate) fn apply(&mut self, text: &str) -> Result<Applied, ClusterError> {
        let mut applied = Applied::default();
        for manifest in manifest::parse(text)? {
            let outcome = manifest.and_then(|manifest| {
                let known = self.apply_one(&manifest)?;
                Ok((known, manifest.title()))
            });
            match outcome {
                Ok((true, title)) => applied.accepted.push(title),
                Ok((false, title)) => applied.ignored.push(title),
                Err(error) => applied.rejected.push(error.to_string()),
            }
        }
        Ok(applied)
    }

    /// Deletes the objects of `text` at the time `now`.
    pub(crate) fn delete(&mut self, text: &str, now: &str) -> Result<Applied, ClusterError> {
        let mut applied = Applied::default();
        for manifest in manifest::parse(text)? {
            let outcome = manifest.and_then(|manifest| {
                self.remove(&manifest.kind, &manifest.name, now)?;
                Ok(manifest.title())
            });
            match outcome {
                Ok(title) => applied.accepted.push(title),
                Err(error) => applied.rejected.push(error.to_string()),
            }
        }
        Ok(applied)
    }

    /// Takes over one object; whether its kind means something.
    fn apply_one(&mut self, manifest: &Manifest) -> Result<bool, ClusterError> {
        let name = manifest.name.clone();
        match &manifest.kind {
            Kind::Other(_) => return Ok(false),
            Kind::Namespace => {
                self.namespaces.insert(name.name);
                return Ok(true);
            }
            Kind::Service => {
                let service = service::complete(manifest, &self.services)?;
                self.services.insert(name.clone(), service);
            }
            Kind::EndpointSlice => {
                self.user_slices.insert(name.clone(), manifest.namespaced());
            }
            Kind::Endpoints => {
                self.user_endpoints.insert(name.clone(), manifest.namespaced());
            }
            Kind::Pod => self.apply_pod(manifest)?,
            Kind::Workload(kind) => {
                let workload = Workload::read(*kind, manifest)?;
                self.workloads.insert((*kind, name.clone()), workload);
            }
        }
        // kubectl would ask for the Namespace first; tutorials make it by a command.
        self.namespaces.insert(name.namespace);
        Ok(true)
    }

    fn apply_pod(&mut self, manifest: &Manifest) -> Result<(), ClusterError> {
        let refuse = |reason: &str| ClusterError::invalid(manifest, reason.to_owned());
        if let Some(pod) = self.pods.get_mut(&manifest.name) {
            if pod.is_terminating() {
                return Err(refuse("a pod of that name still terminates"));
            }
            pod.labels = manifest.metadata.labels.clone();
            pod.annotations = manifest.metadata.annotations.clone();
            return Ok(());
        }
        let spec = spec::read(&manifest.object, "spec")
            .map_err(|error| refuse(&format!("spec: {error}")))?;
        let template = PodTemplate { metadata: manifest.metadata.clone(), spec };
        self.create_pod(manifest.name.clone(), template, None, "");
        Ok(())
    }

    /// Deletes one object at the time `now`.
    pub(crate) fn remove(
        &mut self,
        kind: &Kind,
        name: &ObjectName,
        now: &str,
    ) -> Result<(), ClusterError> {
        let found = match kind {
            Kind::Namespace => self.remove_namespace(&name.name, now),
            Kind::Service => self.services.remove(name).is_some(),
            Kind::EndpointSlice => self.user_slices.remove(name).is_some(),
            Kind::Endpoints => self.user_endpoints.remove(name).is_some(),
            Kind::Pod => self.delete_pod(name, now),
            Kind::Workload(kind) => self.workloads.remove(&(*kind, name.clone())).is_some(),
            Kind::Other(_) => false,
        };
        let missing =
            || ClusterError::Missing { kind: kind.as_str().to_owned(), name: name.clone() };
        if found { Ok(()) } else { Err(missing()) }
    }

    /// Deletes the object that a person named.
    pub(crate) fn remove_named(
        &mut self,
        kind: &str,
        name: &ObjectName,
        now: &str,
    ) -> Result<(), ClusterError> {
        self.remove(&Kind::named(kind), name, now)
    }

    fn remove_namespace(&mut self, namespace: &str, now: &str) -> bool {
        let other = |name: &ObjectName| name.namespace != namespace;
        self.services.retain(|name, _| other(name));
        self.workloads.retain(|(_, name), _| other(name));
        self.user_slices.retain(|name, _| other(name));
        self.user_endpoints.retain(|name, _| other(name));
        let pods: Vec<_> = self.pods.keys().filter(|name| !other(name)).cloned().collect();
        for name in pods {
            self.delete_pod(&name, now);
        }
        self.namespaces.remove(namespace)
    }

    /// Sets the replicas of a workload.
    pub(crate) fn scale(
        &mut self,
        kind: &str,
        name: &ObjectName,
        replicas: u32,
    ) -> Result<(), ClusterError> {
        let workload = match Kind::named(kind) {
            Kind::Workload(WorkloadKind::DaemonSet) => None,
            Kind::Workload(kind) => self.workloads.get_mut(&(kind, name.clone())),
            Kind::Namespace
            | Kind::Service
            | Kind::Endpoints
            | Kind::EndpointSlice
            | Kind::Pod
            | Kind::Other(_) => None,
        };
        let Some(workload) = workload else {
            return Err(ClusterError::Missing { kind: kind.to_owned(), name: name.clone() });
        };
        workload.spec.replicas = Some(replicas);
        Ok(())
    }

    /// Notes what happened to the pod `name`; a pod that is gone already is no news.
    pub(crate) fn pod_event(&mut self, name: &ObjectName, event: PodEvent) {
        let Some(pod) = self.pods.get_mut(name) else { return };
        match event {
            PodEvent::Started if pod.phase == PodPhase::Pending => pod.phase = PodPhase::Running,
            PodEvent::Started => {}
            PodEvent::Ready(ready) => pod.ready = ready,
            PodEvent::Note(note) => pod.notes.push(note),
            PodEvent::Gone => self.end_pod(name),
        }
    }

    /// Runs the controllers until they rest; what the kubelet has to do now.
    pub(crate) fn reconcile(&mut self, now: &str) -> Vec<Action> {
        while self.step(now) {}
        std::mem::take(&mut self.actions)
    }

    /// One round of all controllers; whether anything changed.
    fn step(&mut self, now: &str) -> bool {
        let mut changed = false;
        let workloads: Vec<_> = self.workloads.values().cloned().collect();
        for workload in &workloads {
            let pods: Vec<_> = self.pods.values().filter(|pod| workload.owns(pod)).collect();
            let nodes = self.nodes_for(&workload.spec.template.spec);
            for step in workload.steps(&pods, &nodes) {
                changed = true;
                match step {
                    Step::Create { ordinal, node } => self.create_for(workload, ordinal, node),
                    Step::Delete(name) => {
                        self.delete_pod(&name, now);
                    }
                }
            }
        }
        let is_orphan = |pod: &&Pod| {
            pod.owner.is_some()
                && !pod.is_terminating()
                && !workloads.iter().any(|workload| workload.owns(pod))
        };
        let orphans: Vec<_> =
            self.pods.values().filter(is_orphan).map(|p| p.name.clone()).collect();
        for name in orphans {
            changed |= self.delete_pod(&name, now);
        }
        changed
    }

    /// Begins the end of a pod; whether there was one to end.
    fn delete_pod(&mut self, name: &ObjectName, now: &str) -> bool {
        let Some(pod) = self.pods.get_mut(name) else { return false };
        if pod.is_terminating() {
            return true;
        }
        if pod.addresses.is_none() {
            self.end_pod(name);
            return true;
        }
        pod.phase = PodPhase::Terminating;
        pod.deleted_at = Some(now.to_owned());
        self.actions.push(Action::Terminate(name.clone()));
        true
    }

    /// Takes that nothing is left of a pod.
    fn end_pod(&mut self, name: &ObjectName) {
        if let Some(pod) = self.pods.remove(name) {
            self.observed.ended(pod.uid);
        }
    }

    /// The slices that the controllers make for `service`.
    fn slices(&self, service: &Service) -> Vec<Value> {
        let mut pods: Vec<_> =
            self.pods.values().filter(|pod| slices::selects(service, pod)).collect();
        pods.sort_by_key(|pod| pod.sequence);
        let zones: Vec<_> = (1..=self.nodes).map(placement::zone).collect();
        slices::of_service(service, &pods, &zones)
    }

    /// The pod `name`.
    pub(crate) fn pod(&self, name: &ObjectName) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// All pods.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// What the daemons' folder shall hold.
    pub(crate) fn files(&self) -> Files {
        publish::files(self)
    }

    /// Ports that the server of `pod` shall listen on: those that it declares or probes, and the
    /// numbers that Services behind which it stands send to.
    pub(crate) fn ports(&self, pod: &Pod) -> BTreeSet<(Protocol, u16)> {
        let containers = &pod.spec.containers;
        let declared = containers.iter().flat_map(|container| {
            let probes = container.readiness_probe.iter().chain(&container.startup_probe);
            let probed = probes.filter_map(|probe| probe.handler.port(pod));
            let ports = container.ports.iter().map(|port| (port.protocol, port.container_port));
            ports.chain(probed.map(|port| (Protocol::Tcp, port)))
        });
        let services = self.services.values().filter(|service| slices::selects(service, pod));
        let targets = services
            .flat_map(Service::numeric_targets)
            .map(|(number, protocol)| (protocol, number));
        let mut ports: BTreeSet<_> = declared.chain(targets).collect();
        ports.retain(|(_, number)| *number != 0);
        ports
    }
}

#[cfg(test)]
mod tests;
