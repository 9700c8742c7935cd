//! The real daemon as a process: started, asked, stopped.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::measure;

/// Name of this node, which no endpoint carries.
const NODE: &str = "bench-node";

/// Where the daemon says whether it is ready: the default of `--healthz-bind-address`.
const READYZ: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10256);

/// Longest time to be ready.
const READY_LIMIT: Duration = Duration::from_secs(300);

/// Longest time to stop; the daemon promises 2 s.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Pause between two looks: the resolution of the time to be ready.
const PAUSE: Duration = Duration::from_millis(2);

/// How much of the log is shown of a daemon that failed.
const LOG_BYTES: usize = 2_000;

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    program: PathBuf,
    log: PathBuf,
}

/// Where the daemon's program lies: beside ours, unless `named`.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = named.map_or_else(|| own.with_file_name("podway"), Path::to_path_buf);
    ensure!(
        path.is_file(),
        "{} is not there; `cargo xtask bench` builds it, and so does `cargo build -p podway-proxy-daemon`",
        path.display()
    );
    Ok(path)
}

impl Daemon {
    /// Starts `program` on the manifests of `folder`; what it logs goes to `log`.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        cluster_cidr: &str,
        log: &Path,
    ) -> Result<Self> {
        let output = File::create(log).with_context(|| log.display().to_string())?;
        // The daemon goes when we go, however that happens.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "SIGKILL", "--"])
            .arg(program)
            .args(["run", "--hostname-override", NODE, "--cluster-cidr", cluster_cidr])
            .arg("--manifests")
            .arg(folder)
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("setpriv (package util-linux) cannot be started")?;
        Ok(Self { child, program: program.to_path_buf(), log: log.to_path_buf() })
    }

    /// Waits until the daemon says that it is ready.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("podway ended before it was ready: {status}\n{}", self.last_words());
            }
            ensure!(Instant::now() < deadline, "podway is not ready:\n{}", self.last_words());
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Most memory that it has held.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        measure::peak_bytes(&self.child.id().to_string())
    }

    /// Stops it and removes what it left in the kernel.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP_LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "podway does not stop:\n{}", self.last_words());
            thread::sleep(PAUSE);
        };
        ensure!(status.success(), "podway ended badly: {status}\n{}", self.last_words());
        let cleanup = Command::new(&self.program).arg("cleanup").output()?;
        ensure!(
            cleanup.status.success(),
            "podway cleanup: {}\n{}",
            cleanup.status,
            String::from_utf8_lossy(&cleanup.stderr)
        );
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let start = log.len().saturating_sub(LOG_BYTES);
        String::from_utf8_lossy(log.get(start..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_ready() -> bool {
    ask("/readyz").is_ok_and(|answer| is_ok(&answer))
}

/// Gets `path` and returns the answer as it came.
fn ask(path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(READYZ)?;
    stream.set_read_timeout(Some(STOP_LIMIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Whether an HTTP answer has the status 200.
fn is_ok(answer: &[u8]) -> bool {
    answer.split(|octet| *octet == b' ').nth(1) == Some(b"200")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_decides() {
        assert!(is_ok(b"HTTP/1.0 200 OK\r\n\r\nok\n"));
        assert!(!is_ok(b"HTTP/1.0 503 Service Unavailable\r\n\r\nwaiting for 200 things"));
        assert!(!is_ok(b""));
    }
}
