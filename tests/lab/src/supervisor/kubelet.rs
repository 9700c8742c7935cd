//! The kubelets of all nodes: they start and end what runs for pods, and say who is ready.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use notify::Watcher as _;

use super::daemon;
use super::engine::{Event, Happening, News};
use super::mounts::Files;
use super::network::Network;
use super::places::Places;
use super::pod_start::{self, Prepared};
use super::pod_stop;
use super::process::Processes;
use super::runtime::{Runtime, Server};
use crate::cluster::{Cluster, DAEMON_ANNOTATION, Pod, PodEvent};
use crate::protocol::{DaemonAction, DaemonState};
use crate::settings::Settings;
use crate::state_dir::StateDir;

/// What the work on a pod needs besides the pod; a cheap handle.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) processes: Processes,
    pub(super) network: Arc<Network>,
    pub(super) events: Sender<Event>,
    pub(super) settings: Arc<Settings>,
    pub(super) state: StateDir,
}

impl Context {
    /// Tells the engine what happened to the pod `uid`; the engine lives as long as the lab.
    pub(super) fn tell(&self, uid: &str, happening: Happening) {
        self.events.send(Event::Pod(uid.to_owned(), happening)).unwrap_or_default();
    }
}

/// The kubelets.
pub(super) struct Kubelet {
    context: Context,
    places: Places,
    /// By the pods' uid.
    runtimes: HashMap<String, Runtime>,
    /// Pods deleted while they were being made.
    doomed: HashSet<String>,
    watcher: notify::RecommendedWatcher,
    cables: u32,
}

impl Kubelet {
    pub(super) fn new(context: Context, places: Places) -> Result<Self> {
        let listener = context.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An event that cannot be read leaves readiness as it was; commands still change it.
            for path in event.map(|event| event.paths).unwrap_or_default() {
                if let Some(uid) = Files::owner(&path) {
                    listener.tell(&uid, Happening::ReadyFileTouched);
                }
            }
        })
        .context("readiness files cannot be watched")?;
        let (runtimes, doomed) = (HashMap::new(), HashSet::new());
        Ok(Self { context, places, runtimes, doomed, watcher, cables: 0 })
    }

    /// Begins to make `pod`, beside the caller.
    pub(super) fn start(&mut self, pod: &Pod) {
        let (context, pod) = (self.context.clone(), pod.clone());
        self.cables += 1;
        let cable = format!("veth{}", self.cables);
        thread::spawn(move || {
            let outcome = if pod.annotations.contains_key(DAEMON_ANNOTATION) {
                daemon::prepare(&context, &pod)
            } else {
                pod_start::prepare(&context, &pod, cable)
            };
            let uid = pod.uid.clone();
            context.tell(&uid, Happening::Prepared { pod: Box::new(pod), outcome });
        });
    }

    /// Begins to end `pod`, beside the caller.
    pub(super) fn terminate(&mut self, pod: &Pod) {
        let Some(runtime) = self.runtimes.get_mut(&pod.uid) else {
            self.doomed.insert(pod.uid.clone());
            return;
        };
        runtime.terminating = true;
        runtime.stop_probing();
        let (waiter, gone) = mpsc::channel();
        match runtime.group {
            Some(_) => runtime.waiter = Some(waiter),
            // It has ended already, and so nobody will tell.
            None => drop(waiter),
        }
        let ending = pod_stop::Ending {
            context: self.context.clone(),
            pod: pod.clone(),
            node: runtime.node,
            place: Arc::clone(&runtime.place),
            cable: runtime.cable.clone(),
            group: runtime.group,
            gone,
        };
        thread::spawn(move || ending.run());
    }

    /// Takes what happened to the pod `uid`.
    pub(super) fn take(&mut self, uid: &str, happening: Happening) -> News {
        match happening {
            Happening::Prepared { pod, outcome } => self.prepared(uid, &pod, outcome),
            Happening::Removed => self.removed(uid),
            Happening::ReadyFileTouched => self.update(uid, |_| None),
            Happening::ServerSaid(line) => self.update(uid, |runtime| runtime.said(&line)),
            Happening::ServerEnded(exit) => self.update(uid, |runtime| runtime.ended(exit)),
            Happening::Note(note) => self.update(uid, |_| Some(note)),
            Happening::Probed { container, passed } => self.update(uid, |runtime| {
                runtime.probed(container, passed);
                None
            }),
        }
    }

    /// Changes a runtime; news of its readiness and of what the change wants people to know.
    fn update(&mut self, uid: &str, change: impl FnOnce(&mut Runtime) -> Option<String>) -> News {
        let Some(runtime) = self.runtimes.get_mut(uid) else { return News::new() };
        let note = change(runtime);
        let mut news = News::new();
        if runtime.started {
            news.push((runtime.name.clone(), PodEvent::Started));
        }
        news.push((runtime.name.clone(), PodEvent::Ready(runtime.is_ready())));
        news.extend(note.map(|note| (runtime.name.clone(), PodEvent::Note(note))));
        news
    }

    fn prepared(&mut self, uid: &str, pod: &Pod, outcome: Result<Prepared>) -> News {
        match outcome {
            Ok(prepared) => {
                let runtime = Runtime::new(prepared);
                let folder = runtime.files.pod();
                let watched = self.watcher.watch(&folder, notify::RecursiveMode::NonRecursive);
                self.places.open(pod.name.clone(), Arc::clone(&runtime.place));
                self.runtimes.insert(uid.to_owned(), runtime);
                if self.doomed.remove(uid) {
                    self.terminate(pod);
                }
                let why = |error: notify::Error| format!("readiness file not watched: {error}");
                self.update(uid, |_| watched.err().map(why))
            }
            // Nothing of it runs, so nothing ends when it is deleted.
            Err(_) if self.doomed.remove(uid) => vec![(pod.name.clone(), PodEvent::Gone)],
            Err(error) => vec![(pod.name.clone(), PodEvent::Note(format!("{error:#}")))],
        }
    }

    fn removed(&mut self, uid: &str) -> News {
        let Some(runtime) = self.runtimes.remove(uid) else { return News::new() };
        // The folder goes with its files; a watch that is gone already is no loss.
        self.watcher.unwatch(&runtime.files.pod()).unwrap_or_default();
        self.places.close(&runtime.name);
        runtime.files.remove();
        vec![(runtime.name, PodEvent::Gone)]
    }

    /// Tells servers where to listen by now; what turned out on the way.
    pub(super) fn sync(&mut self, cluster: &Cluster) -> News {
        let mut news = News::new();
        for pod in cluster.pods().filter(|pod| !pod.is_terminating()) {
            let Some(runtime) = self.runtimes.get_mut(&pod.uid) else { continue };
            if runtime.group.is_none() {
                continue;
            }
            match runtime.listen(&cluster.ports(pod)) {
                Ok(false) => {}
                Ok(true) => {
                    news.push((pod.name.clone(), PodEvent::Started));
                    news.push((pod.name.clone(), PodEvent::Ready(runtime.is_ready())));
                }
                // It ended a moment ago; that event is on its way.
                Err(_) => {}
            }
        }
        news
    }

    /// Makes or removes the readiness file of a pod; the watcher brings the news.
    pub(super) fn set_ready_file(&mut self, uid: &str, ready: bool) -> Result<News> {
        let runtime = self.runtimes.get(uid).context("the pod does not run")?;
        let file = runtime.files.ready();
        if ready {
            fs::write(&file, "")?;
        } else if let Err(error) = fs::remove_file(&file)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error.into());
        }
        Ok(self.update(uid, |_| None))
    }

    /// Whether a pod is as ready as it was told to be, although it is not.
    pub(super) fn is_held(&self, uid: &str) -> bool {
        self.runtimes.get(uid).is_some_and(Runtime::is_held)
    }

    /// Whether a pod's server has yet to confirm a port.
    pub(super) fn is_waiting(&self, uid: &str) -> bool {
        self.runtimes.get(uid).is_some_and(Runtime::is_waiting)
    }

    /// Carries out what somebody wants of the daemon of node `number`.
    pub(super) fn command_daemon(&mut self, number: u8, action: DaemonAction) -> Result<News> {
        let (uid, runtime) = self
            .runtimes
            .iter_mut()
            .find(|(_, runtime)| is_daemon(runtime) && runtime.node == number)
            .context("no daemon on that node")?;
        let uid = uid.clone();
        let (signal, group) = match (action, runtime.group) {
            (DaemonAction::Start, Some(_)) => return Ok(News::new()),
            (DaemonAction::Start, None) => {
                runtime.group = Some(daemon::spawn(&self.context, number, &uid)?);
                runtime.server = Server::Daemon { ended: None, on_purpose: false };
                runtime.probed(0, false);
                return Ok(self.update(&uid, |_| None));
            }
            (DaemonAction::Stop, Some(group)) => (Signal::SIGTERM, group),
            (DaemonAction::Kill, Some(group)) => (Signal::SIGKILL, group),
            (DaemonAction::Stop | DaemonAction::Kill, None) => bail!("the daemon does not run"),
        };
        if let Server::Daemon { on_purpose, .. } = &mut runtime.server {
            *on_purpose = true;
        }
        group.signal(signal);
        Ok(News::new())
    }

    /// State of the daemon of node `number`.
    pub(super) fn daemon_state(&self, number: u8) -> DaemonState {
        if self.context.settings.podway.is_none() {
            return DaemonState::Absent;
        }
        let daemon = self
            .runtimes
            .values()
            .find(|runtime| is_daemon(runtime) && runtime.node == number && !runtime.terminating);
        match daemon.map(|runtime| (&runtime.server, runtime.is_ready())) {
            Some((Server::Daemon { ended: Some(exit), .. }, _)) => {
                DaemonState::Stopped(exit.to_string())
            }
            Some((_, true)) => DaemonState::Ready,
            Some((_, false)) | None => DaemonState::Starting,
        }
    }
}

fn is_daemon(runtime: &Runtime) -> bool {
    matches!(runtime.server, Server::Daemon { .. })
}
