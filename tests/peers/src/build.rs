//! Calls `go build` for what is missing.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use crate::cache::{self, Cache, failed};
use crate::{Module, Peer, PeerError, ToolchainError};

/// How Go is called; a part of the cache's key.
///
/// No symbols and no paths of this machine: half the size, and the same bytes everywhere. Nothing
/// in `go.mod` may change on the way, and no version control is asked.
pub(crate) const FLAGS: [&str; 3] = ["-trimpath", "-mod=readonly", "-buildvcs=false"];

/// Builds those of `peers`, all of `module`, that are not there.
pub(crate) fn require(module: Module, peers: &[Peer]) -> Result<(), PeerError> {
    let cache = Cache::of(module)?;
    let missing =
        || peers.iter().copied().filter(|peer| !cache.program(*peer).is_file()).collect::<Vec<_>>();
    if missing().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(cache.path()).map_err(|error| failed(cache.path(), "making", error))?;
    let lock = cache.path().join("lock");
    let held = File::create(&lock).map_err(|error| failed(&lock, "making", error))?;
    held.lock().map_err(|error| failed(&lock, "locking", error))?;
    // Another process may have built them while this one waited.
    let missing = missing();
    if missing.is_empty() { Ok(()) } else { build(module, &cache, &missing) }
}

/// Builds `peers` one after the other; what they share Go compiles once.
fn build(module: Module, cache: &Cache, peers: &[Peer]) -> Result<(), PeerError> {
    let source = cache::source(module);
    let fresh = cache.path().join("fresh");
    fs::create_dir_all(&fresh).map_err(|error| failed(&fresh, "making", error))?;
    for &peer in peers {
        let mut go = Command::new("go");
        go.current_dir(&source).env("CGO_ENABLED", "0").arg("build").args(FLAGS);
        go.arg("-ldflags").arg(linker_flags(module)?);
        // Each by its own name: Go would name a program after the end of its import path.
        go.arg("-o").arg(fresh.join(peer.name())).arg(peer.package()).stdin(Stdio::null());
        let status = go.status().map_err(|source| ToolchainError::Missing { source })?;
        if !status.success() {
            return Err(PeerError::Build { peers: peer.to_string(), status });
        }
        // A program appears whole or not at all.
        let program = cache.program(peer);
        fs::rename(fresh.join(peer.name()), &program)
            .map_err(|error| failed(&program, "renaming", error))?;
    }
    Ok(())
}

/// What the linker is told: no symbols, and the version that Kubernetes reports of itself.
fn linker_flags(module: Module) -> Result<String, PeerError> {
    let plain = "-s -w".to_owned();
    if module != Module::Kubernetes {
        return Ok(plain);
    }
    let manifest = cache::source(module).join("go.mod");
    let text =
        fs::read_to_string(&manifest).map_err(|error| failed(&manifest, "reading", error))?;
    Ok(match cache::kubernetes_version(&text) {
        None => plain,
        Some(version) => format!(
            "{plain} -X k8s.io/component-base/version.gitVersion={version} \
             -X k8s.io/client-go/pkg/version.gitVersion={version}"
        ),
    })
}
