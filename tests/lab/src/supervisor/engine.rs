//! The loop that plays the cluster: takes events, lets the controllers run, publishes, acts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use anyhow::{Result, anyhow, ensure};

use super::folder::Folder;
use super::kubelet::{Context, Kubelet};
use super::network::Network;
use super::places::Places;
use super::pod_start::Prepared;
use super::process::{Exit, Processes};
use crate::address;
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
    folder: Folder,
    kubelet: Kubelet,
    settings: Settings,
    state: StateDir,
}

impl Engine {
    /// Makes a cluster with the manifests of `settings`.
    pub(super) fn new(
        state: &StateDir,
        settings: Settings,
        world: (Processes, Arc<Network>, Places),
        events: Sender<Event>,
    ) -> Result<Self> {
        let mut cluster = Cluster::new(settings.nodes, settings.podway.is_some())?;
        let mut rejected = Vec::new();
        for manifests in &settings.manifests {
            rejected.extend(cluster.apply(manifests)?.rejected);
        }
        ensure!(rejected.is_empty(), "rejected: {}", rejected.join("; "));
        let (processes, network, places) = world;
        let context = Context {
            processes,
            network,
            events,
            settings: Arc::new(settings.clone()),
            state: state.clone(),
        };
        let mut engine = Self {
            cluster,
            folder: Folder::new(state.manifests()),
            kubelet: Kubelet::new(context, places)?,
            settings,
            state: state.clone(),
        };
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
            Event::Pod(uid, happening) => {
                for (pod, news) in self.kubelet.take(&uid, happening) {
                    self.cluster.pod_event(&pod, news);
                }
                None
            }
        }
    }

    /// Lets controllers, publication and kubelet follow what has happened.
    fn advance(&mut self) -> Result<()> {
        loop {
            let actions = self.cluster.reconcile(&now());
            self.folder.update(self.cluster.files())?;
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

/// The present time as the API writes it.
fn now() -> String {
    let seconds = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// News about pods for the cluster.
pub(super) type News = Vec<(ObjectName, PodEvent)>;
