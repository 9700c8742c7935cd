//! The Rust interface of a running lab.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::address::{self, DualStack, Family};
use crate::builder::Builder;
use crate::exec::{Output, Running};
use crate::place::{ObjectName, Place, node_name};
use crate::protocol::{
    Applied, DaemonAction, DaemonState, ObjectReference, PodStatus, Reply, Request, Status,
};
use crate::state_dir::StateDir;
use crate::wire::Wire;

/// Longest wait for a condition.
///
/// 30 s: conditions hold within a fraction of a second; the rest is for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    name: String,
    state: StateDir,
    /// The launcher, where this value owns the lab.
    owner: Option<Owner>,
}

/// The launcher of a lab; the lab ends with this value.
#[derive(Debug)]
pub(crate) struct Owner(Option<Child>);

impl Owner {
    pub(crate) fn new(child: Child) -> Self {
        Self(Some(child))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself; nothing can be done about other errors here.
            child.kill().unwrap_or_default();
            drop(child.wait());
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
                drop(nix::sys::signal::kill(launcher, nix::sys::signal::Signal::SIGKILL));
            }
            wait_for("the lab to end", PATIENCE, || Ok(state.try_lock()?))?;
        }
        state.remove()?;
        Ok(true)
    }

    pub(crate) fn new(name: &str, state: StateDir, owner: Option<Owner>) -> Self {
        Self { name: name.to_owned(), state, owner }
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

    /// Creates or changes the objects of `manifests`.
    ///
    /// # Errors
    /// When the text does not parse or an object is rejected; the others are taken over.
    pub fn apply(&self, manifests: &str) -> Result<Applied> {
        let applied = self.apply_leniently(manifests)?;
        if applied.rejected.is_empty() {
            return Ok(applied);
        }
        bail!("rejected: {}", applied.rejected.join("; "))
    }

    /// As [`Lab::apply`], with rejected objects in the answer.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn apply_leniently(&self, manifests: &str) -> Result<Applied> {
        self.applied(&Request::Apply { manifests: manifests.to_owned() })
    }

    /// Deletes the objects of `manifests`.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn delete(&self, manifests: &str) -> Result<Applied> {
        self.applied(&Request::Delete { manifests: manifests.to_owned() })
    }

    fn applied(&self, request: &Request) -> Result<Applied> {
        match self.request(request)? {
            Reply::Applied(applied) => Ok(applied),
            other => bail!("unexpected answer {other:?}"),
        }
    }

    /// Deletes one object, named as kubectl would: `pod/web-0`, `svc/shop/web`.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn delete_object(&self, object: &str) -> Result<()> {
        self.done(&Request::DeleteObject(object.parse()?))
    }

    /// Deletes a pod: it terminates within its grace period, and its workload replaces it.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn delete_pod(&self, pod: &str) -> Result<()> {
        let name = pod.parse()?;
        self.done(&Request::DeleteObject(ObjectReference { kind: "pod".to_owned(), name }))
    }

    /// Sets the replicas of a workload, named as kubectl would: `statefulset/myapp`.
    ///
    /// # Errors
    /// When there is no such workload.
    pub fn scale(&self, workload: &str, replicas: u32) -> Result<()> {
        self.done(&Request::Scale { workload: workload.parse()?, replicas })
    }

    /// Makes the pod `NAME` or `NAMESPACE/NAME` fail its readiness.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn unready(&self, pod: &str) -> Result<()> {
        self.done(&Request::SetReady { pod: pod.parse()?, ready: false })
    }

    /// Makes the pod `NAME` or `NAMESPACE/NAME` pass its readiness again.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn ready(&self, pod: &str) -> Result<()> {
        self.done(&Request::SetReady { pod: pod.parse()?, ready: true })
    }

    /// State of everything.
    ///
    /// # Errors
    /// When the lab does not answer.
    pub fn status(&self) -> Result<Status> {
        match self.request(&Request::Status)? {
            Reply::Status(status) => Ok(*status),
            other => bail!("unexpected answer {other:?}"),
        }
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

    /// What the daemon of node `number` has logged since the lab is up.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn podway_log(&self, number: u8) -> Result<String> {
        read_log(&self.state.podway_log(&node_name(number)))
    }

    /// Kills the daemon of node `number` and waits until it is gone; nothing restarts it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_podway(&self, number: u8) -> Result<()> {
        self.end_podway(number, DaemonAction::Kill)
    }

    /// Sends SIGTERM to the daemon of node `number` and waits until it is gone.
    ///
    /// # Errors
    /// When it does not run or does not end.
    pub fn stop_podway(&self, number: u8) -> Result<()> {
        self.end_podway(number, DaemonAction::Stop)
    }

    fn end_podway(&self, number: u8, action: DaemonAction) -> Result<()> {
        self.done(&Request::Daemon { node: node_name(number), action })?;
        self.wait_until("the daemon to end", || {
            Ok(matches!(self.daemon_state(number)?, DaemonState::Stopped(_)))
        })
    }

    /// Starts the daemon of node `number` again and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready.
    pub fn start_podway(&self, number: u8) -> Result<()> {
        self.done(&Request::Daemon { node: node_name(number), action: DaemonAction::Start })?;
        self.wait_until("the daemon to be ready", || match self.daemon_state(number)? {
            DaemonState::Ready => Ok(true),
            DaemonState::Stopped(how) => Err(anyhow!("the daemon ended: {how}")),
            DaemonState::Starting | DaemonState::Absent => Ok(false),
        })
    }

    /// State of the daemon of node `number`.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn daemon_state(&self, number: u8) -> Result<DaemonState> {
        let name = node_name(number);
        let status = self.status()?;
        let node = status.nodes.into_iter().find(|node| node.name == name);
        Ok(node.with_context(|| format!("no node {name}"))?.podway)
    }

    /// Waits until nothing is under way: pods run and are as ready as they were told to be, none
    /// terminates, daemons are ready.
    ///
    /// # Errors
    /// When that does not happen in time; the error says what is missing.
    pub fn wait_settled(&self) -> Result<()> {
        wait_for("the lab to settle", PATIENCE, || {
            let status = self.status()?;
            if status.settled { Ok(Some(())) } else { Err(anyhow!(self.missing(&status))) }
        })
    }

    /// What keeps the lab from being settled, for people.
    fn missing(&self, status: &Status) -> String {
        let mut text = String::new();
        for pod in status.pods.iter().filter(|pod| !pod.ready) {
            let notes = pod.notes.join(", ");
            drop(write!(text, "\n  pod {} {:?} not ready {notes}", pod.name, pod.phase));
        }
        for node in &status.nodes {
            if !matches!(node.podway, DaemonState::Ready | DaemonState::Absent) {
                let log = read_log(&self.state.podway_log(&node.name)).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(5).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n    ");
                drop(write!(text, "\n  podway on {}: {:?}\n    {last}", node.name, node.podway));
            }
        }
        text
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// When it does not hold in time; the error has the condition's last one.
    pub fn wait_until(
        &self,
        what: &str,
        mut condition: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        wait_for(what, PATIENCE, || Ok(condition()?.then_some(())))
    }

    /// Waits until `condition` yields a value.
    ///
    /// # Errors
    /// When it yields none in time; the error has the condition's last one.
    pub fn wait_for<T>(
        &self,
        what: &str,
        condition: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        wait_for(what, PATIENCE, condition)
    }

    fn done(&self, request: &Request) -> Result<()> {
        match self.request(request)? {
            Reply::Done => Ok(()),
            other => bail!("unexpected answer {other:?}"),
        }
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

/// Looks at `condition` again and again until it yields a value.
fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let outcome = condition();
        if let Ok(Some(value)) = outcome {
            return Ok(value);
        }
        if start.elapsed() >= patience {
            let last = outcome.err().unwrap_or_else(|| anyhow!("it did not hold"));
            return Err(last.context(format!("waited {} s for {what}", patience.as_secs())));
        }
        thread::sleep(PAUSE);
    }
}
