//! What a lab is started with.

use std::path::PathBuf;

use podway_tests_peers::{Peer, PeerError};
use serde::{Deserialize, Serialize};

/// Settings of a lab, handed from the one who starts it to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Name of the lab.
    pub(crate) name: String,
    /// Number of nodes.
    pub(crate) nodes: u8,
    /// Cluster domain, for resolv.conf and the daemons.
    pub(crate) cluster_domain: String,
    /// The daemon under test; absent for a lab without it.
    pub(crate) podway: Option<PathBuf>,
    /// Further arguments of the daemon.
    pub(crate) podway_arguments: Vec<String>,
    /// Manifests to apply at start.
    pub(crate) manifests: Vec<String>,
    /// Folder of the nodes' cgroups, where the daemons carry sockets by eBPF.
    pub(crate) cgroups: Option<PathBuf>,
    /// The programs of a real control plane; absent for a lab that plays it.
    pub(crate) control_plane: Option<ControlPlanePrograms>,
    /// Whether the lab ends when the standard input of its launcher ends.
    pub(crate) owned: bool,
}

/// Where the programs of the control plane lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlPlanePrograms {
    pub(crate) etcd: PathBuf,
    pub(crate) kube_apiserver: PathBuf,
    pub(crate) kube_controller_manager: PathBuf,
    pub(crate) kubectl: PathBuf,
}

impl ControlPlanePrograms {
    /// Finds them, and builds those that are missing.
    pub(crate) fn require() -> Result<Self, PeerError> {
        podway_tests_peers::require(&Peer::CONTROL_PLANE)?;
        Ok(Self {
            etcd: Peer::Etcd.find()?,
            kube_apiserver: Peer::KubeApiserver.find()?,
            kube_controller_manager: Peer::KubeControllerManager.find()?,
            kubectl: Peer::Kubectl.find()?,
        })
    }
}
