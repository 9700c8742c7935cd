//! Where the control plane keeps its files.

use std::path::{Path, PathBuf};

use crate::state_dir::StateDir;

/// Paths of one lab's control plane.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    state: StateDir,
}

impl Layout {
    /// The paths of the lab in `state`.
    pub(crate) fn new(state: &StateDir) -> Self {
        Self { state: state.clone() }
    }

    /// Folder of everything but etcd's data.
    pub(crate) fn folder(&self) -> PathBuf {
        self.state.control_plane()
    }

    /// Folder of certificates and keys.
    pub(crate) fn pki(&self) -> PathBuf {
        self.folder().join("pki")
    }

    /// etcd's data: in the memory that only the lab sees.
    pub(crate) fn etcd(&self) -> &Path {
        Path::new("/run/etcd")
    }

    /// kubeconfig of `user`.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder().join(format!("{user}.kubeconfig"))
    }

    /// The token of the daemons' ServiceAccount.
    pub(crate) fn token(&self) -> PathBuf {
        self.folder().join("podway.token")
    }

    /// Where the API server is spoken to without credentials.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state.api_socket()
    }

    /// Log of one program.
    pub(crate) fn log(&self, program: &str) -> PathBuf {
        self.state.logs().join(format!("{program}.log"))
    }
}
