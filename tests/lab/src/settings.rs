//! What a lab is started with.

use std::path::PathBuf;

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
    /// Whether the lab ends when the standard input of its launcher ends.
    pub(crate) owned: bool,
}
