//! Builds and finds the programs of other projects that tests and benchmarks stand beside.
//!
//! Owns where they come from (the Go modules in this folder), how they are built, and where they
//! lie: a folder outside the tree, under a key of everything that decides what comes out. Does not
//! own how they are run: that is the lab's. A version is pinned by `go.mod` and its content by
//! `go.sum`, which Go checks for every module that it takes.

mod build;
mod cache;
mod toolchain;

use std::fmt;
use std::path::PathBuf;

pub use toolchain::ToolchainError;

use cache::Cache;

/// A program to stand beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The name server of most clusters.
    CoreDns,
    /// The store behind the API server.
    Etcd,
    /// What Helm makes of a chart, and nothing else of it.
    HelmTemplate,
    /// The API server.
    KubeApiserver,
    /// The controllers: slices of Services, pods of workloads.
    KubeControllerManager,
    /// The Service proxy of most clusters.
    KubeProxy,
    /// The command line of users.
    Kubectl,
}

/// A Go module of this folder: one set of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Module {
    CoreDns,
    Helm,
    Kubernetes,
}

impl Module {
    /// Its folder, and its name in the cache.
    fn name(self) -> &'static str {
        match self {
            Self::CoreDns => "coredns",
            Self::Helm => "helm",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl Peer {
    /// All of them, the quickest to build first.
    pub const ALL: [Self; 7] = [
        Self::CoreDns,
        Self::HelmTemplate,
        Self::Etcd,
        Self::KubeProxy,
        Self::Kubectl,
        Self::KubeApiserver,
        Self::KubeControllerManager,
    ];

    /// What a lab with an API server runs.
    pub const CONTROL_PLANE: [Self; 4] =
        [Self::Etcd, Self::Kubectl, Self::KubeApiserver, Self::KubeControllerManager];

    /// Name of the program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CoreDns => "coredns",
            Self::Etcd => "etcd",
            Self::HelmTemplate => "helm-template",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeProxy => "kube-proxy",
            Self::Kubectl => "kubectl",
        }
    }

    /// Import path of its `main` package; those of CoreDNS and Helm are ours, with less in them.
    fn package(self) -> &'static str {
        match self {
            Self::CoreDns => "podway.io/tests/peers/coredns",
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::HelmTemplate => "podway.io/tests/peers/helm",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
        }
    }

    fn module(self) -> Module {
        match self {
            Self::CoreDns => Module::CoreDns,
            Self::HelmTemplate => Module::Helm,
            Self::Etcd
            | Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeProxy
            | Self::Kubectl => Module::Kubernetes,
        }
    }

    /// Where the program lies, if it was built.
    ///
    /// # Errors
    /// Go cannot be had, so that nobody can say which build is the right one; or it was not built,
    /// and the message has the command that does it.
    pub fn find(self) -> Result<PathBuf, PeerError> {
        let program = Cache::of(self.module())?.program(self);
        if program.is_file() {
            return Ok(program);
        }
        Err(PeerError::NotBuilt { peer: self })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::str::FromStr for Peer {
    type Err = UnknownPeer;

    fn from_str(text: &str) -> Result<Self, UnknownPeer> {
        let found = Self::ALL.into_iter().find(|peer| peer.name() == text);
        found.ok_or_else(|| UnknownPeer { text: text.to_owned() })
    }
}

/// A text that names no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is none of coredns, helm-template, etcd, kube-proxy, kubectl, kube-apiserver, \
     kube-controller-manager"
)]
pub struct UnknownPeer {
    text: String,
}

/// Why a peer cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Go is missing or unusable.
    #[error("{0}")]
    Toolchain(#[from] ToolchainError),
    /// Nobody built it yet.
    #[error("{peer} is not built; `cargo xtask peers {peer}` builds it")]
    NotBuilt {
        /// What is missing.
        peer: Peer,
    },
    /// Go refused to build it.
    #[error(
        "go cannot build {peers} ({status}); what it needs and could not get stands above, and \
         the module proxy that it asks is named by `go env GOPROXY`"
    )]
    Build {
        /// What was to be built.
        peers: String,
        /// How Go ended.
        status: std::process::ExitStatus,
    },
    /// A file or folder of the cache.
    #[error("{}: {action} failed", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What was to be done with it.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Neither variable says where caches go.
    #[error("neither XDG_CACHE_HOME nor HOME names a folder for caches")]
    NoCacheFolder,
}

/// Makes sure that all of `peers` are there, building those that are not.
///
/// Whoever comes second waits for the first. What Go says goes to the standard error.
///
/// # Errors
/// Go is missing, or cannot build one; see [`PeerError`].
pub fn require(peers: &[Peer]) -> Result<(), PeerError> {
    for module in [Module::CoreDns, Module::Helm, Module::Kubernetes] {
        let wanted: Vec<Peer> =
            peers.iter().copied().filter(|peer| peer.module() == module).collect();
        if !wanted.is_empty() {
            build::require(module, &wanted)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_found_by_its_own_name_and_no_other() {
        for peer in Peer::ALL {
            assert_eq!(peer.name().parse(), Ok(peer));
        }
        let error = "kubelet".parse::<Peer>().expect_err("kubelet is no peer");
        for peer in Peer::ALL {
            assert!(error.to_string().contains(peer.name()), "{peer} not in: {error}");
        }
    }

    #[test]
    fn every_peer_is_its_module_or_a_tool_of_it() {
        for peer in Peer::ALL {
            let manifest = cache::source(peer.module()).join("go.mod");
            let text = std::fs::read_to_string(&manifest).expect("go.mod is read");
            assert!(
                text.lines().any(|line| {
                    let line = line.trim();
                    let line = line.strip_prefix("module ").unwrap_or(line);
                    line.strip_prefix("tool ").unwrap_or(line) == peer.package()
                }),
                "{} does not name {peer}",
                manifest.display()
            );
        }
    }

    #[test]
    fn every_staging_module_stands_at_the_version_of_kubernetes() {
        let manifest = cache::source(Module::Kubernetes).join("go.mod");
        let text = std::fs::read_to_string(manifest).expect("go.mod is read");
        let version = cache::kubernetes_version(&text).expect("kubernetes is required");
        let staging = version.replacen("v1.", "v0.", 1);
        let replaced: Vec<_> = text.lines().filter(|line| line.contains("=>")).collect();
        assert!(replaced.len() > 20, "{replaced:?}");
        for line in replaced {
            assert!(line.ends_with(&format!(" {staging}")), "{line}");
        }
    }
}
