//! What clients and the supervisor say to each other: one JSON object a line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::address::DualStack;
use crate::place::{NameError, ObjectName, Place};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// What runs where.
    Status,
    /// Which workloads a real control plane has not as they should be.
    Workloads,
    /// Something in the cluster shall be different.
    Change(Change),
    /// Runs a command; standard input, output and error of it are passed along as descriptors.
    Exec(Exec),
    /// Ends the lab.
    Down,
}

/// What shall be different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub(crate) enum Change {
    /// Creates or changes the objects of a manifest text.
    Apply {
        /// YAML or JSON, several documents allowed.
        manifests: String,
    },
    /// Deletes the objects of a manifest text.
    Delete {
        /// YAML or JSON; only kinds and names matter.
        manifests: String,
    },
    /// Deletes one object.
    DeleteObject(ObjectReference),
    /// Changes the number of replicas of a workload.
    Scale {
        /// The Deployment, ReplicaSet or StatefulSet.
        workload: ObjectReference,
        /// Pods wanted.
        replicas: u32,
    },
    /// Makes a pod pass or fail its readiness.
    SetReady {
        /// The pod.
        pod: ObjectName,
        /// Whether it shall be ready.
        ready: bool,
    },
    /// Starts or stops a part of the real control plane.
    ControlPlane {
        /// The part.
        component: Component,
        /// What to do with it.
        action: ComponentAction,
    },
    /// Gives the daemons a new token and makes the old one invalid.
    RotateToken,
    /// Gives the API server another certificate of the same authority.
    RotateCertificate,
    /// Starts or stops the daemon under test on one node.
    Daemon {
        /// The node's name.
        node: String,
        /// What to do with it.
        action: DaemonAction,
    },
}

/// Kind and name of an object, as typed: `deployment/web`, `svc/shop/web`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectReference {
    /// Kind as typed; case, plural and the short forms of kubectl do not matter.
    pub kind: String,
    /// Name of the object.
    pub name: ObjectName,
}

/// What to do with the daemon of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonAction {
    /// Start it unless it runs.
    Start,
    /// SIGTERM: an orderly end.
    Stop,
    /// SIGKILL: a crash.
    Kill,
}

/// A part of the real control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers.
    ControllerManager,
    /// `kubectl proxy`, by which the lab and its tests speak with the API server.
    Proxy,
}

impl Component {
    /// Its name in the names of logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Proxy => "kubectl-proxy",
        }
    }
}

/// What to do with a part of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentAction {
    /// Start it unless it runs.
    Start,
    /// SIGTERM: an orderly end.
    Stop,
    /// SIGKILL: a crash.
    Kill,
    /// SIGSTOP: connections stay open and nothing is said on them.
    Freeze,
    /// SIGCONT: it goes on.
    Thaw,
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exec {
    /// Where it runs.
    pub(crate) place: Place,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// Working directory; the root directory where it does not exist in that place.
    pub(crate) directory: PathBuf,
    /// Environment variables to set on top of the lab's own.
    pub(crate) environment: BTreeMap<String, String>,
}

/// What the supervisor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// The request was carried out.
    Done,
    /// The request was refused or failed.
    Failed {
        /// Why, with its causes.
        reason: String,
    },
    /// Answer to [`Change::Apply`] and [`Change::Delete`].
    Applied(Applied),
    /// Answer to [`Request::Status`].
    Status(Box<Status>),
    /// Answer to [`Request::Workloads`].
    Workloads {
        /// Each as `KIND NAMESPACE/NAME STATUS`; none in a lab that plays its controllers.
        unsettled: Vec<String>,
    },
    /// The command of an [`Exec`] ended.
    Exited {
        /// Its exit code, or 128 plus the signal that ended it.
        code: i32,
    },
}

/// What became of the objects of a manifest text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Objects taken over, as `kind namespace/name`.
    pub accepted: Vec<String>,
    /// Objects of kinds that mean nothing here.
    pub ignored: Vec<String>,
    /// Objects that an API server would refuse too, each with the reason.
    pub rejected: Vec<String>,
}

/// State of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether nothing is under way: every pod runs, none terminates, every daemon is ready.
    pub settled: bool,
    /// The folder that the daemons watch.
    pub manifests: PathBuf,
    /// The nodes in order.
    pub nodes: Vec<NodeStatus>,
    /// The pods by name.
    pub pods: Vec<PodStatus>,
    /// The Services by name.
    pub services: Vec<ServiceStatus>,
}

/// State of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its addresses between the nodes.
    pub addresses: DualStack,
    /// The daemon under test.
    pub podway: DaemonState,
}

/// State of the daemon under test on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonState {
    /// The lab was told to run without it.
    Absent,
    /// It runs and is not ready yet.
    Starting,
    /// It runs and says that it is ready.
    Ready,
    /// It does not run; how it ended.
    Stopped(String),
}

/// State of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Its name.
    pub name: ObjectName,
    /// The node it runs on, once it has one.
    pub node: Option<String>,
    /// Its addresses, once it has them.
    pub addresses: Option<DualStack>,
    /// Where it stands in its life.
    pub phase: PodPhase,
    /// Whether it is ready.
    pub ready: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What keeps it from running, and notes such as probes that cannot run here.
    pub notes: Vec<String>,
}

/// Where a pod stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// It has no node or is being made.
    Pending,
    /// Its server runs.
    Running,
    /// It was deleted and may finish within its grace period.
    Terminating,
}

/// State of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ObjectName,
    /// Its type.
    pub kind: String,
    /// Its cluster addresses; `None` for a headless Service.
    pub cluster_ips: Vec<String>,
    /// Its ports as `80/TCP` or, with a node port, `80:30001/TCP`.
    pub ports: Vec<String>,
    /// Pod addresses and ports behind it that are ready.
    pub ready_endpoints: usize,
}

impl std::str::FromStr for ObjectReference {
    type Err = NameError;

    /// Reads `KIND/NAME` and `KIND/NAMESPACE/NAME`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let expected = "KIND/NAME or KIND/NAMESPACE/NAME";
        let (kind, name) = text.split_once('/').ok_or_else(|| NameError::new(text, expected))?;
        let name = name.parse().map_err(|_inner: NameError| NameError::new(text, expected))?;
        Ok(Self { kind: kind.to_owned(), name })
    }
}
