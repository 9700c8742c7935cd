//! The Rust interface of a running lab.

mod change;
mod control_plane;
mod daemon;
mod wait;

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::address::{self, DualStack, Family};
use crate::builder::Builder;
use crate::cgroup::Cgroups;
use crate::exec::{Output, Running};
use crate::place::{ObjectName, Place};
use crate::protocol::{PodStatus, Reply, Request, Status};
use crate::state_dir::StateDir;
use crate::wire::Wire;
use wait::{PATIENCE, wait_for};

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    name: String,
    state: StateDir,
    /// The launcher, where this value owns the lab.
    owner: Option<Owner>,
    /// Longest wait for a condition.
    patience: Duration,
}

/// The launcher of a lab; the lab ends with this value.
#[derive(Debug)]
pub(crate) struct Owner(Option<Child>, Option<Cgroups>);

impl Owner {
    pub(crate) fn new(child: Child, cgroups: Option<Cgroups>) -> Self {
        Self(Some(child), cgroups)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself; nothing can be done about other errors here.
            child.kill().unwrap_or_default();
            drop(child.wait());
            if let Some(cgroups) = self.1.take() {
                // Its processes are being killed; what is busy that long stays, empty.
                drop(wait_for("cgroups to be left", PATIENCE, || {
                    Ok(cgroups.remove().then_some(()))
                }));
            }
        }
    }
}

impl Lab {
    /// Describes a lab to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Speaks with the lab `name`, which another process started.
    ///
    /// # Errors
    /// When no such lab runs.
    pub fn attach(name: &str) -> Result<Self> {
        let lab = Self::new(name, StateDir::of(name)?, None);
        connect(&lab.state)?;
        Ok(lab)
    }

    /// Ends the lab `name` and removes what it left, also after a crash. Whether there was any.
    ///
    /// # Errors
    /// When what it left cannot be removed.
    pub fn down(name: &str) -> Result<bool> {
        let state = StateDir::of(name)?;
        if !state.path().exists() {
            return Ok(false);
        }
        if let Some(launcher) = state.launcher()? {
            if let Ok(mut wire) = connect(&state) {
                // It may end before it answers; the lock below tells.
                drop(wire.send(&Request::Down, &[]).and_then(|()| wire.receive::<Reply>()));
            } else {
                // It may have ended this moment; the lock below tells.
                nix::sys::signal::kill(launcher, nix::sys::signal::Signal::SIGKILL)
                    .unwrap_or_default();
            }
            wait_for("the lab to end", PATIENCE, || state.try_lock())?;
        }
        if let Ok(cgroups) = Cgroups::of(name) {
            // A lab without any has none to remove.
            wait_for("cgroups to be left", PATIENCE, || Ok(cgroups.remove().then_some(())))?;
        }
        state.remove()?;
        Ok(true)
    }

    pub(crate) fn new(name: &str, state: StateDir, owner: Option<Owner>) -> Self {
        // A real control plane takes its time, more so on a machine that is busy.
        let patience = if state.control_plane().exists() { 6 * PATIENCE } else { PATIENCE };
        Self { name: name.to_owned(), state, owner, patience }
    }

    /// Lets the lab go on without this value.
    pub(crate) fn detach(mut self) -> Self {
        if let Some(mut owner) = self.owner.take() {
            drop(owner.0.take());
        }
        self
    }

    /// Name of the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the daemons carry sockets by eBPF; `false` for a lab that another process started.
    #[must_use]
    pub fn is_on_ebpf(&self) -> bool {
        matches!(&self.owner, Some(Owner(_, Some(_))))
    }

    /// The folder that the daemons watch; files put here by a test are read too.
    #[must_use]
    pub fn manifests_folder(&self) -> PathBuf {
        self.state.manifests()
    }

    /// Runs `command` at `place` and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started; how it ended is in the [`Output`].
    pub fn exec(&self, place: &Place, command: &[&str]) -> Result<Output> {
        Running::start(&self.state, place, command)?.output()
    }

    /// Starts `command` at `place` and leaves it running.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub fn spawn(&self, place: &Place, command: &[&str]) -> Result<Running> {
        Running::start(&self.state, place, command)
    }

    /// Runs `command` at `place` with the standard streams of this process; its exit code.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn exec_inherited(&self, place: &Place, command: &[&str]) -> Result<i32> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let descriptors = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        Running::pass(&self.state, place, command, descriptors)?.wait()
    }

    /// State of everything.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub fn status(&self) -> Result<Status> {
        let reply = self.request(&Request::Status)?;
        let Reply::Status(status) = reply else { bail!("unexpected answer {reply:?}") };
        Ok(*status)
    }

    /// The pods whose names begin with `prefix`, `NAME` or `NAMESPACE/NAME`, in order.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub fn pods(&self, prefix: &str) -> Result<Vec<PodStatus>> {
        let prefix: ObjectName = prefix.parse()?;
        let mut pods = self.status()?.pods;
        pods.retain(|pod| {
            pod.name.namespace == prefix.namespace && pod.name.name.starts_with(&prefix.name)
        });
        Ok(pods)
    }

    /// Addresses of the pod `NAME` or `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// When there is no such pod, or it has no address yet.
    pub fn pod_addresses(&self, pod: &str) -> Result<DualStack> {
        let name: ObjectName = pod.parse()?;
        let status = self.status()?;
        let pod = status.pods.iter().find(|pod| pod.name == name);
        pod.with_context(|| format!("no pod {name}"))?
            .addresses
            .with_context(|| format!("pod {name} has no address"))
    }

    /// Address of node `number`, counted from 1.
    #[must_use]
    pub fn node_ip(&self, number: u8, family: Family) -> IpAddr {
        address::node(number).of(family)
    }

    /// Address of the client outside.
    #[must_use]
    pub fn outside_ip(&self, family: Family) -> IpAddr {
        address::outside().of(family)
    }

    /// Names of the external names that were asked at the name server outside, oldest first.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn upstream_queries(&self) -> Result<Vec<String>> {
        Ok(read_log(&self.state.upstream_log())?.lines().map(str::to_owned).collect())
    }

    fn request(&self, request: &Request) -> Result<Reply> {
        let mut wire = connect(&self.state)?;
        wire.send(request, &[]).context("lab does not take the request")?;
        match wire.receive::<Reply>()?.map(|message| message.value) {
            Some(Reply::Failed { reason }) => Err(anyhow!(reason)),
            Some(reply) => Ok(reply),
            None => bail!("lab {} ended", self.name),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            drop(owner);
            if thread::panicking() {
                eprintln!("logs of the lab: {}", self.state.logs().display());
            } else {
                self.state.remove().unwrap_or_default();
            }
        }
    }
}

/// Opens a conversation with the lab of `state`.
pub(crate) fn connect(state: &StateDir) -> Result<Wire> {
    let socket = state.socket();
    match UnixStream::connect(&socket) {
        Ok(stream) => Ok(Wire::new(stream)),
        Err(error) => {
            let name = state.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            Err(error).with_context(|| format!("lab {name} is not up"))
        }
    }
}

/// Text of a log that may not have been started yet.
fn read_log(path: &std::path::Path) -> Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}
