//! Where built programs lie: `CACHE/podway/peers/MODULE-KEY/PROGRAM`.
//!
//! The key covers all that decides what comes out: the files of the Go module, the tool chain and
//! how it is called. So a change of any of them builds anew, and an old build stays usable for
//! another checkout.

use std::path::{Path, PathBuf};
use std::{env, fs};

use sha2::{Digest, Sha256};

use crate::{Module, Peer, PeerError, build, toolchain};

/// Folder of the programs of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// The folder for `module` as it stands in the tree.
    pub(crate) fn of(module: Module) -> Result<Self, PeerError> {
        let source = source(module);
        let mut parts = vec![toolchain::identity()?, build::FLAGS.join(" ")];
        for name in ["go.mod", "go.sum"] {
            let path = source.join(name);
            let text =
                fs::read_to_string(&path).map_err(|error| failed(&path, "reading", error))?;
            parts.push(text);
        }
        let main = source.join("main.go");
        if main.exists() {
            parts.push(fs::read_to_string(&main).map_err(|error| failed(&main, "reading", error))?);
        }
        let folder = format!("{}-{}", module.name(), key(&parts));
        Ok(Self(base()?.join("podway/peers").join(folder)))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where `peer` lies once it is built.
    pub(crate) fn program(&self, peer: Peer) -> PathBuf {
        self.0.join(peer.name())
    }
}

/// Folder of `module` in the tree.
pub(crate) fn source(module: Module) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(module.name())
}

/// A fault of `path` in the cache or the tree.
pub(crate) fn failed(path: &Path, action: &'static str, source: std::io::Error) -> PeerError {
    PeerError::Cache { path: path.to_path_buf(), action, source }
}

/// The version of Kubernetes that the text of a `go.mod` requires.
pub(crate) fn kubernetes_version(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let line = line.trim();
        let rest = line.strip_prefix("require ").unwrap_or(line);
        // A remark may follow: `// indirect`.
        rest.strip_prefix("k8s.io/kubernetes ")?.split(' ').next()
    })
}

/// The user's folder for caches.
fn base() -> Result<PathBuf, PeerError> {
    let folder =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .ok_or(PeerError::NoCacheFolder)
}

/// A short name for `parts`, different when any of them differs.
fn key(parts: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_changes_with_every_part_and_with_nothing_else() {
        let of =
            |parts: &[&str]| key(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        let base = of(&["go1.26", "flags", "mod", "sum"]);
        assert_eq!(base, of(&["go1.26", "flags", "mod", "sum"]));
        assert_eq!(base.len(), 16);
        for other in [
            ["go1.27", "flags", "mod", "sum"],
            ["go1.26", "flag", "smod", "sum"],
            ["go1.26", "flags", "mod", "sum2"],
        ] {
            assert_ne!(base, of(&other), "{other:?}");
        }
    }

    #[test]
    fn the_version_is_read_alone_and_in_a_block() {
        assert_eq!(kubernetes_version("require k8s.io/kubernetes v1.37.2"), Some("v1.37.2"));
        let block = "require (\n\tk8s.io/api v0.37.2\n\tk8s.io/kubernetes v1.37.2 // indirect\n)";
        assert_eq!(kubernetes_version(block), Some("v1.37.2"));
        assert_eq!(kubernetes_version("require k8s.io/api v0.37.2"), None);
    }
}
