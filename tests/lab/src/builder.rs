//! Starts a lab.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::address::MOST_NODES;
use crate::binaries::Binaries;
use crate::cgroup::Cgroups;
use crate::lab::{Lab, Owner};
use crate::settings::{ControlPlanePrograms, Settings};
use crate::state_dir::StateDir;

/// What a lab shall be like.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    nodes: u8,
    cluster_domain: String,
    manifests: Vec<String>,
    daemon: Daemon,
    daemon_arguments: Vec<String>,
    proxy_mode: ProxyMode,
    wait: bool,
    api_server: bool,
}

/// How the daemons send packets to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyMode {
    /// By nftables alone.
    Nftables,
    /// By eBPF at the socket, before nftables.
    Ebpf,
}

/// Variable with the mode of labs that do not choose one: `nftables` or `ebpf`.
const PROXY_MODE: &str = "PODWAY_TEST_PROXY_MODE";

/// Which daemon runs on the nodes.
#[derive(Debug, Clone)]
enum Daemon {
    /// Built from this workspace.
    Built,
    /// The one at this path.
    At(PathBuf),
    /// None.
    Without,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            nodes: 2,
            cluster_domain: "cluster.local".to_owned(),
            manifests: Vec::new(),
            daemon: Daemon::Built,
            daemon_arguments: Vec::new(),
            proxy_mode: match std::env::var(PROXY_MODE).as_deref() {
                Ok("ebpf") => ProxyMode::Ebpf,
                Ok(_) | Err(_) => ProxyMode::Nftables,
            },
            wait: true,
            api_server: false,
        }
    }
}

impl Builder {
    /// Sets the number of nodes; 2 by default.
    pub fn nodes(mut self, nodes: u8) -> Self {
        self.nodes = nodes;
        self
    }

    /// Sets the cluster domain; `cluster.local` by default.
    pub fn cluster_domain(mut self, domain: impl Into<String>) -> Self {
        self.cluster_domain = domain.into();
        self
    }

    /// Adds manifests to apply at start: YAML or JSON, several documents allowed.
    pub fn manifests(mut self, text: impl Into<String>) -> Self {
        self.manifests.push(text.into());
        self
    }

    /// Runs the daemon at `path` in place of the one of this workspace.
    pub fn podway(mut self, path: impl Into<PathBuf>) -> Self {
        self.daemon = Daemon::At(path.into());
        self
    }

    /// Runs no daemon: for tests of the lab itself.
    pub fn without_podway(mut self) -> Self {
        self.daemon = Daemon::Without;
        self
    }

    /// Adds an argument to every daemon's command line.
    pub fn podway_argument(mut self, argument: impl Into<String>) -> Self {
        self.daemon_arguments.push(argument.into());
        self
    }

    /// Has the daemons carry sockets by eBPF, whatever the environment says; needs root.
    pub fn ebpf(mut self) -> Self {
        self.proxy_mode = ProxyMode::Ebpf;
        self
    }

    /// Has the daemons use nftables alone, whatever the environment says.
    pub fn nftables(mut self) -> Self {
        self.proxy_mode = ProxyMode::Nftables;
        self
    }

    /// Runs a real API server with its store and controllers, which the daemons watch; they are
    /// built where they are not.
    pub fn api_server(mut self) -> Self {
        self.api_server = true;
        self
    }

    /// Returns from `start` without waiting for pods and daemons.
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Starts a lab that ends when the returned value is dropped or this process ends.
    ///
    /// # Errors
    /// When programs cannot be built, namespaces cannot be made, a manifest is rejected, or pods
    /// and daemons do not become ready.
    pub fn start(self) -> Result<Lab> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = StateDir::owned_name(NUMBER.fetch_add(1, Ordering::Relaxed));
        self.launch(&name, true)
    }

    /// Starts the lab `name`, which goes on until it is told to end.
    ///
    /// # Errors
    /// As [`Builder::start`], and when a lab of that name runs.
    pub fn start_detached(self, name: &str) -> Result<Lab> {
        self.launch(name, false)
    }

    fn launch(self, name: &str, owned: bool) -> Result<Lab> {
        ensure!((1..=MOST_NODES).contains(&self.nodes), "a lab has 1 to {MOST_NODES} nodes");
        let (program, podway) = match self.daemon {
            Daemon::Built => Binaries::find().map(|found| (found.lab, Some(found.podway)))?,
            Daemon::At(path) => (Binaries::find_lab()?, Some(path)),
            Daemon::Without => (Binaries::find_lab()?, None),
        };
        let control_plane =
            if self.api_server { Some(ControlPlanePrograms::require()?) } else { None };
        let state = StateDir::of(name)?;
        state.create()?;
        let Some(lock) = state.try_lock()? else { bail!("lab {name} is up already") };
        // What a lab of this name left behind must not be taken for news.
        state.remove()?;
        drop(lock);
        state.create()?;
        let cgroups = match self.proxy_mode {
            ProxyMode::Nftables => None,
            ProxyMode::Ebpf => Some(Cgroups::of(name)?),
        };
        if let Some(cgroups) = &cgroups {
            cgroups.create(self.nodes)?;
        }
        let settings = Settings {
            name: name.to_owned(),
            nodes: self.nodes,
            cluster_domain: self.cluster_domain,
            podway,
            podway_arguments: self.daemon_arguments,
            manifests: self.manifests,
            cgroups: cgroups.as_ref().map(|cgroups| cgroups.path().to_path_buf()),
            control_plane,
            owned,
        };
        fs::write(state.settings(), serde_json::to_vec_pretty(&settings)?)?;
        let owner = spawn(&program, &state, (owned, cgroups))?;
        let lab = Lab::new(name, state, Some(owner));
        if self.wait {
            lab.wait_settled()?;
        }
        Ok(if owned { lab } else { lab.detach() })
    }
}

/// Starts the launcher and waits until the lab answers.
fn spawn(
    program: &std::path::Path,
    state: &StateDir,
    (owned, cgroups): (bool, Option<Cgroups>),
) -> Result<Owner> {
    let log = fs::File::create(state.supervisor_log())?;
    let mut child = Command::new(program)
        .arg("launch")
        .arg(state.path())
        .current_dir("/")
        .stdin(if owned { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let output = child.stdout.take().context("launcher without output")?;
    let owner = Owner::new(child, cgroups);
    let mut first = String::new();
    BufReader::new(output).read_line(&mut first)?;
    match first.trim_end() {
        "ready" => Ok(owner),
        "" => {
            let log = fs::read_to_string(state.supervisor_log()).unwrap_or_default();
            let reason = log.trim_end();
            drop(owner);
            state.remove()?;
            bail!("lab cannot start: {reason}")
        }
        other => bail!("launcher said {other:?}"),
    }
}
