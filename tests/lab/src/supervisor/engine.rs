//! The loop that plays the cluster: takes events, lets the controllers run, publishes, acts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::{Result, anyhow, ensure};
use serde_json::Value;

use super::api_link::{Link, Observation, Watched};
use super::folder::Folder;
use super::kubelet::{Context, Kubelet};
use super::places::Places;
use super::pod_start::Prepared;
use super::process::Exit;
use crate::address;
use crate::api::Api;
use crate::cluster::{Action, Cluster, Pod, PodEvent};
use crate::place::{ObjectName, node_name};
use crate::protocol::{Change, DaemonAction, NodeStatus, PodPhase, PodStatus, Reply, Status};
use crate::settings::Settings;
use crate::state_dir::StateDir;

/// What happens in a lab.
pub(super) enum Event {
    /// A client wants to know the state of things.
    Status(Sender<Result<Reply>>),
    /// A client wants something to be different.
    Change(Change, Sender<Result<Reply>>),
    /// The API server has something else than before.
    Observed(Observation),
    /// Something happened to the pod with this uid; names come back, uids do not.
    Pod(String, Happening),
}

/// What happens to a pod.
pub(super) enum Happening {
    /// It was made, or could not be.
    Prepared { pod: Box<Pod>, outcome: Result<Prepared> },
    /// Its server said something.
    ServerSaid(String),
    /// Its server ended.
    ServerEnded(Exit),
    /// Somebody touched its readiness file.
    ReadyFileTouched,
    /// The probes of one of its containers passed or failed.
    Probed { container: usize, passed: bool },
    /// People should know something.
    Note(String),
    /// Nothing is left of it.
    Removed,
}

/// The state of a lab.
pub(super) struct Engine {
    cluster: Cluster,
    published: Published,
    kubelet: Kubelet,
    settings: Arc<Settings>,
    state: StateDir,
}

/// Where the state of the cluster goes.
enum Published {
    /// To the folder that the daemons watch.
    Folder(Folder),
    /// To the API server.
    Api(Link),
}

impl Published {
    fn update(&mut self, cluster: &Cluster) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.update(cluster.files()),
            Self::Api(link) => {
                link.update(cluster);
                Ok(())
            }
        }
    }
}

impl Engine {
    /// Makes the cluster of `context`: the one behind `api`, or one that the lab plays.
    pub(super) fn new(context: Context, places: Places, api: Option<Api>) -> Result<Self> {
        let (settings, state) = (Arc::clone(&context.settings), context.state.clone());
        let (cluster, published) = match api {
            Some(api) => {
                let link = Link::start(&api, &context.events);
                (Cluster::observed(settings.nodes), Published::Api(link))
            }
            None => (played(&settings)?, Published::Folder(Folder::new(state.manifests()))),
        };
        let kubelet = Kubelet::new(context, places)?;
        let mut engine = Self { cluster, published, kubelet, settings, state };
        engine.advance()?;
        Ok(engine)
    }

    /// Runs until the senders are gone, which is never.
    pub(super) fn run(mut self, inbox: &Receiver<Event>) -> Result<()> {
        while let Ok(event) = inbox.recv() {
            let mut answers = Vec::new();
            // What has come meanwhile is one change for those who watch the folder.
            for event in std::iter::once(event).chain(inbox.try_iter()) {
                answers.extend(self.take(event));
            }
            self.advance()?;
            for (reply, sender) in answers {
                // Answered after the change was published; the client may be gone by now.
                sender.send(reply).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Takes one event; an answer for its sender.
    fn take(&mut self, event: Event) -> Option<(Result<Reply>, Sender<Result<Reply>>)> {
        match event {
            Event::Status(sender) => {
                // Controllers must have seen what the same batch did.
                let outcome = self.advance().map(|()| Reply::Status(Box::new(self.status())));
                Some((outcome, sender))
            }
            Event::Change(change, sender) => Some((self.change(change), sender)),
            Event::Observed(observation) => {
                self.observe(observation);
                None
            }
            Event::Pod(uid, happening) => {
                for (pod, news) in self.kubelet.take(&uid, happening) {
                    self.cluster.pod_event(&pod, news);
                }
                None
            }
        }
    }

    /// Takes what the API server has.
    fn observe(&mut self, observation: Observation) {
        let now = now();
        let names = |objects: &[Value]| objects.iter().map(object_name).collect();
        match observation {
            Observation::All(Watched::Pods, objects) => {
                self.cluster.keep_pods(&objects.iter().map(object_uid).collect(), &now);
                objects.into_iter().for_each(|object| self.see(Watched::Pods, object));
            }
            Observation::All(Watched::Services, objects) => {
                self.cluster.keep_services(&names(&objects));
                objects.into_iter().for_each(|object| self.see(Watched::Services, object));
            }
            Observation::Changed(watched, object) => self.see(watched, object),
            Observation::Gone(Watched::Pods, object) => {
                self.cluster.lose_pod(&object_name(&object), &object_uid(&object), &now);
            }
            Observation::Gone(Watched::Services, object) => {
                self.cluster.lose_service(&object_name(&object));
            }
        }
    }

    /// Takes one object that the API server has.
    fn see(&mut self, watched: Watched, object: Value) {
        let taken = match watched {
            Watched::Pods => self.cluster.observe_pod(object, &now()),
            Watched::Services => self.cluster.observe_service(object),
        };
        if let Err(error) = taken {
            eprintln!("{error}");
        }
    }

    /// Lets controllers, publication and kubelet follow what has happened.
    fn advance(&mut self) -> Result<()> {
        loop {
            for error in self.cluster.take_successors(&now()) {
                eprintln!("{error}");
            }
            let actions = self.cluster.reconcile(&now());
            self.published.update(&self.cluster)?;
            for action in &actions {
                self.act(action);
            }
            let news = self.kubelet.sync(&self.cluster);
            if news.is_empty() && actions.is_empty() {
                return Ok(());
            }
            for (pod, event) in news {
                self.cluster.pod_event(&pod, event);
            }
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Start(name) => {
                if let Some(pod) = self.cluster.pod(name) {
                    self.kubelet.start(pod);
                }
            }
            Action::Terminate(name) => {
                if let Some(pod) = self.cluster.pod(name) {
                    self.kubelet.terminate(pod);
                }
            }
        }
    }

    fn change(&mut self, change: Change) -> Result<Reply> {
        match change {
            Change::Apply { manifests } => Ok(Reply::Applied(self.cluster.apply(&manifests)?)),
            Change::Delete { manifests } => {
                Ok(Reply::Applied(self.cluster.delete(&manifests, &now())?))
            }
            Change::DeleteObject(object) => {
                self.cluster.remove_named(&object.kind, &object.name, &now())?;
                Ok(Reply::Done)
            }
            Change::Scale { workload, replicas } => {
                self.cluster.scale(&workload.kind, &workload.name, replicas)?;
                Ok(Reply::Done)
            }
            Change::SetReady { pod, ready } => self.set_ready(&pod, ready),
            Change::Daemon { node, action } => self.command_daemon(&node, action),
            Change::ControlPlane { .. } | Change::RotateToken | Change::RotateCertificate => {
                Err(anyhow!("this lab has no API server"))
            }
        }
    }

    fn set_ready(&mut self, name: &ObjectName, ready: bool) -> Result<Reply> {
        let pod = self.cluster.pod(name).ok_or_else(|| anyhow!("no pod {name}"))?;
        let uid = pod.uid.clone();
        for (pod, news) in self.kubelet.set_ready_file(&uid, ready)? {
            self.cluster.pod_event(&pod, news);
        }
        Ok(Reply::Done)
    }

    fn command_daemon(&mut self, node: &str, action: DaemonAction) -> Result<Reply> {
        let number = (1..=self.settings.nodes).find(|number| node_name(*number) == node);
        let number = number.ok_or_else(|| anyhow!("no node {node}"))?;
        for (pod, news) in self.kubelet.command_daemon(number, action)? {
            self.cluster.pod_event(&pod, news);
        }
        Ok(Reply::Done)
    }

    fn status(&self) -> Status {
        let node = |number: u8| NodeStatus {
            name: node_name(number),
            addresses: address::node(number),
            podway: self.kubelet.daemon_state(number),
        };
        let pod = |pod: &Pod| PodStatus {
            name: pod.name.clone(),
            node: pod.node.map(node_name),
            addresses: pod.addresses,
            phase: pod.phase,
            ready: pod.ready,
            labels: pod.labels.clone(),
            notes: pod.notes.clone(),
        };
        let nodes: Vec<_> = (1..=self.settings.nodes).map(node).collect();
        Status {
            settled: self.cluster.pods().all(|pod| self.is_settled(pod)),
            manifests: self.state.manifests(),
            nodes,
            pods: self.cluster.pods().map(pod).collect(),
            services: self.cluster.service_list(),
        }
    }

    /// Whether a pod is as far as it will get without anybody doing something.
    fn is_settled(&self, pod: &Pod) -> bool {
        match pod.phase {
            PodPhase::Pending => pod.addresses.is_none(),
            PodPhase::Running => {
                (pod.ready || self.kubelet.is_held(&pod.uid)) && !self.kubelet.is_waiting(&pod.uid)
            }
            PodPhase::Terminating => false,
        }
    }
}

/// The cluster that the lab plays by itself, with the manifests of `settings`.
fn played(settings: &Settings) -> Result<Cluster> {
    let mut cluster = Cluster::new(settings.nodes, settings.podway.is_some())?;
    let mut rejected = Vec::new();
    for manifests in &settings.manifests {
        rejected.extend(cluster.apply(manifests)?.rejected);
    }
    ensure!(rejected.is_empty(), "rejected: {}", rejected.join("; "));
    Ok(cluster)
}

/// Name of an object as the API server has it.
pub(super) fn object_name(object: &Value) -> ObjectName {
    let word = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    ObjectName::new(word("namespace"), word("name"))
}

/// Identity of an object as the API server has it.
fn object_uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// The present time as the API writes it.
fn now() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// News about pods for the cluster.
pub(super) type News = Vec<(ObjectName, PodEvent)>;
