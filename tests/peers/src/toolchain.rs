//! The Go tool chain: whether it is there, and which it is.

use std::io;
use std::process::Command;

/// Why Go cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// There is no program `go`.
    #[error(
        "go is not on the search path: etcd, Kubernetes and CoreDNS are built with Go 1.26 or \
         newer, from https://go.dev/dl or the package golang-go"
    )]
    Missing {
        /// Why it cannot be started.
        #[source]
        source: io::Error,
    },
    /// It cannot say which it is.
    #[error("`go env` fails ({status}): {message}")]
    Broken {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        message: String,
    },
}

/// Version of the Go that builds, and what it builds for: `go1.26.8 linux amd64`.
pub(crate) fn identity() -> Result<String, ToolchainError> {
    let output = Command::new("go")
        .args(["env", "GOVERSION", "GOOS", "GOARCH"])
        // Not where a go.mod of somebody else could ask for another version.
        .current_dir("/")
        .output()
        .map_err(|source| ToolchainError::Missing { source })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ToolchainError::Broken { status: output.status, message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" "))
}
