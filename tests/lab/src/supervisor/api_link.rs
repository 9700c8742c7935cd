//! Ties the lab to its API server: what is there becomes events, what the lab does is reported.
//!
//! The lab is the scheduler (it binds pods), the kubelets (it reports what pods do, and lets them
//! go) and the cloud (it gives Services their load-balancer addresses). Reports that an API server
//! does not take, because it is away, are made again until it does.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::engine::Event;
use crate::api::{Api, ApiAnswer};
use crate::cluster::{Cluster, Pod};
use crate::place::{ObjectName, node_name};

/// Pause before the API server is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// What the lab follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    Pods,
    Services,
}

impl Watched {
    fn path(self) -> &'static str {
        match self {
            Self::Pods => "/api/v1/pods",
            Self::Services => "/api/v1/services",
        }
    }

    /// An item of a list, which leaves out what all its items are.
    fn described(self, mut item: Value) -> Value {
        item["apiVersion"] = json!("v1");
        item["kind"] = match self {
            Self::Pods => json!("Pod"),
            Self::Services => json!("Service"),
        };
        item
    }
}

/// News from the API server.
#[derive(Debug)]
pub(super) enum Observation {
    /// All that there is.
    All(Watched, Vec<Value>),
    /// An object that is new or different.
    Changed(Watched, Value),
    /// An object that is gone.
    Gone(Watched, Value),
}

/// One request of the lab's.
#[derive(Debug)]
struct Report {
    method: &'static str,
    path: String,
    media_type: &'static str,
    body: Value,
}

/// The lab's end of the link.
pub(super) struct Link {
    reports: Sender<Report>,
    /// What was reported of pods, by uid.
    pods: HashMap<String, (ObjectName, Value)>,
    /// What was reported of Services.
    services: HashMap<ObjectName, Value>,
}

impl Link {
    /// Follows the API server and tells `events`.
    pub(super) fn start(api: &Api, events: &Sender<Event>) -> Self {
        for watched in [Watched::Pods, Watched::Services] {
            let (api, events) = (api.clone(), events.clone());
            thread::spawn(move || {
                loop {
                    if let Err(error) = follow(&api, watched, &events) {
                        eprintln!("watch of {watched:?}: {error:#}");
                    }
                    thread::sleep(PAUSE);
                }
            });
        }
        let (reports, inbox) = mpsc::channel();
        let api = api.clone();
        thread::spawn(move || deliver(&api, &inbox));
        Self { reports, pods: HashMap::new(), services: HashMap::new() }
    }

    /// Reports what is different since the last time.
    pub(super) fn update(&mut self, cluster: &Cluster) {
        for pod in cluster.pods() {
            let status = cluster.pod_status(pod);
            let known = self.pods.get(&pod.uid);
            if known.is_none() {
                self.bind(pod);
            }
            if known.is_none_or(|(_, reported)| *reported != status) {
                let body = json!({"metadata": {"uid": pod.uid}, "status": status});
                self.merge(format!("{}/status", pod_path(&pod.name)), body);
                self.pods.insert(pod.uid.clone(), (pod.name.clone(), status));
            }
        }
        let is_here =
            |uid: &str, name: &ObjectName| cluster.pod(name).is_some_and(|pod| pod.uid == uid);
        let gone = self.pods.extract_if(|uid, (name, _)| !is_here(uid, name));
        for (uid, (name, _)) in gone.collect::<Vec<_>>() {
            // The kubelet's last word: nothing is left of it.
            let body = json!({
                "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                "preconditions": {"uid": uid},
            });
            self.send("DELETE", pod_path(&name), "application/json", body);
        }
        for (name, status) in cluster.service_statuses() {
            if self.services.get(&name) != Some(&status) {
                let path = format!("/api/v1/namespaces/{}/services/{}", name.namespace, name.name);
                self.merge(format!("{path}/status"), json!({"status": status}));
                self.services.insert(name, status);
            }
        }
    }

    fn bind(&self, pod: &Pod) {
        let Some(node) = pod.node.map(node_name) else { return };
        let body = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": pod.name.name, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        self.send("POST", format!("{}/binding", pod_path(&pod.name)), "application/json", body);
    }

    fn merge(&self, path: String, body: Value) {
        self.send("PATCH", path, "application/merge-patch+json", body);
    }

    fn send(&self, method: &'static str, path: String, media_type: &'static str, body: Value) {
        // The one who delivers lives as long as the lab.
        self.reports.send(Report { method, path, media_type, body }).unwrap_or_default();
    }
}

fn pod_path(name: &ObjectName) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", name.namespace, name.name)
}

/// Delivers reports in order, each until the API server has said something to it.
fn deliver(api: &Api, inbox: &Receiver<Report>) {
    for Report { method, path, media_type, body } in inbox {
        loop {
            match api.request(method, &path, Some((media_type, &body))) {
                // What is bound already, or gone, needs no report any more.
                Ok(ApiAnswer { status: 200..=299 | 404 | 409, .. }) => break,
                Ok(ApiAnswer { status: status @ (400 | 403 | 405 | 422), object }) => {
                    eprintln!("{method} {path}: {status}: {}", object["message"]);
                    break;
                }
                Ok(_) | Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

/// Lists what there is and follows it until the watch cannot go on.
fn follow(api: &Api, watched: Watched, events: &Sender<Event>) -> Result<()> {
    let tell = |observation: Observation| {
        // The engine lives as long as the lab.
        events.send(Event::Observed(observation)).unwrap_or_default();
    };
    let mut list = api.get(watched.path())?;
    let mut version = version(&list)?;
    let items = match list["items"].take() {
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Vec::new()
        }
    };
    let items = items.into_iter().map(|item| watched.described(item)).collect();
    tell(Observation::All(watched, items));
    loop {
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={version}",
            watched.path()
        );
        for event in api.watch(&path)? {
            // The connection was cut: what is missing follows from the last version.
            let Ok(mut event) = event else { break };
            let object = event["object"].take();
            match event["type"].as_str().unwrap_or_default() {
                "ADDED" | "MODIFIED" => {
                    version = self::version(&object)?;
                    tell(Observation::Changed(watched, object));
                }
                "DELETED" => {
                    version = self::version(&object)?;
                    tell(Observation::Gone(watched, object));
                }
                "BOOKMARK" => version = self::version(&object)?,
                // The version is too old, most likely: all is listed anew.
                _ => return Ok(()),
            }
        }
    }
}

fn version(object: &Value) -> Result<String> {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.map(str::to_owned).context("object without resourceVersion")
}
