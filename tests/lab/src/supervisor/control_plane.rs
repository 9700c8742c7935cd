//! The real control plane of a lab that has one: etcd, API server, controller manager.
//!
//! Owns their processes, credentials and what a cluster has before anybody applies a manifest. They
//! run in a namespace of their own on the nodes' network. What the lab goes on playing, scheduler,
//! kubelets and cloud, is `api_link`'s.

mod bootstrap;
mod certificates;
mod commands;
mod kubeconfig;
mod layout;
pub(super) mod workloads;

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;

use super::network::Network;
use super::process::{Group, Processes};
use crate::address::{self, API_PORT};
use crate::api::Api;
use crate::exec::Output;
use crate::protocol::{Component, ComponentAction};
use crate::settings::{ControlPlanePrograms, Settings};
use crate::state_dir::StateDir;
use certificates::Authority;
use kubeconfig::Credential;

pub(crate) use layout::Layout;

/// Longest wait for a program to serve.
///
/// 180 s: it takes a few seconds; the rest is for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Where the tokens of the daemons are asked for.
const TOKENS: &str = "/api/v1/namespaces/kube-system/serviceaccounts/podway/token";

/// Secrets of the daemons' namespace.
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";

/// A program that runs: its group, and the news of its end.
type Running = (Group, Receiver<()>);

/// The control plane.
pub(super) struct ControlPlane {
    processes: Processes,
    network: Arc<Network>,
    programs: ControlPlanePrograms,
    layout: Layout,
    authority: Authority,
    running: Mutex<HashMap<Component, Running>>,
    /// Number of the token that the daemons have.
    token: Mutex<u32>,
}

impl ControlPlane {
    /// Starts the control plane of `settings`, if it has one, and fills the cluster.
    pub(super) fn start(
        state: &StateDir,
        settings: &Settings,
        processes: &Processes,
        network: &Arc<Network>,
    ) -> Result<Option<Arc<Self>>> {
        let Some(programs) = settings.control_plane.clone() else { return Ok(None) };
        let control_plane = Self {
            processes: processes.clone(),
            network: Arc::clone(network),
            programs,
            layout: Layout::new(state),
            authority: Authority::new("lab")?,
            running: Mutex::default(),
            token: Mutex::new(0),
        };
        control_plane.lay_credentials()?;
        control_plane.launch(Component::Etcd)?;
        control_plane.wait("etcd to serve", |own| {
            own.network.control_plane()?.enter(|| Ok(TcpStream::connect("127.0.0.1:2379")?))?;
            Ok(())
        })?;
        control_plane.launch(Component::ApiServer)?;
        control_plane.launch(Component::Proxy)?;
        control_plane.wait("the API server to be ready", |own| {
            own.api().request("GET", "/readyz", None)?.checked().map(drop)
        })?;
        control_plane.apply(&bootstrap::objects(settings).to_string())?;
        control_plane.apply(&bootstrap::access()?.to_string())?;
        control_plane.rotate_token()?;
        // After the ServiceAccount, so that nothing waits for a retry.
        control_plane.launch(Component::ControllerManager)?;
        for manifests in settings.manifests.iter().filter(|text| !text.trim().is_empty()) {
            control_plane.apply(manifests)?;
        }
        Ok(Some(Arc::new(control_plane)))
    }

    /// The API server.
    pub(super) fn api(&self) -> Api {
        Api::at(&self.layout.socket())
    }

    /// Starts, ends or halts `component`; returns when that has come about, for a start when the
    /// process runs.
    pub(super) fn command(&self, component: Component, action: ComponentAction) -> Result<()> {
        let signal = match action {
            ComponentAction::Start => {
                return if self.running().contains_key(&component) {
                    Ok(())
                } else {
                    self.launch(component)
                };
            }
            ComponentAction::Stop => Signal::SIGTERM,
            ComponentAction::Kill => Signal::SIGKILL,
            ComponentAction::Freeze => Signal::SIGSTOP,
            ComponentAction::Thaw => Signal::SIGCONT,
        };
        let mut running = self.running();
        let (group, ended) =
            running.get(&component).with_context(|| format!("{component:?} does not run"))?;
        group.signal(signal);
        if matches!(action, ComponentAction::Stop | ComponentAction::Kill) {
            // An error means that it has ended before.
            match ended.recv_timeout(PATIENCE) {
                Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {}
                Err(error) => return Err(error).context("it does not end"),
            }
            running.remove(&component);
        }
        Ok(())
    }

    /// Runs `kubectl` with `arguments` and `input` as an administrator.
    pub(super) fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(&self.programs.kubectl);
        command
            .arg("--kubeconfig")
            .arg(self.layout.kubeconfig("admin"))
            .args(arguments)
            .current_dir("/")
            .env("HOME", self.layout.folder());
        self.processes.capture(self.network.control_plane()?, command, input)
    }

    /// Applies manifests that have to be in order.
    fn apply(&self, manifests: &str) -> Result<()> {
        self.kubectl(&["apply", "-f", "-"], manifests)?.checked().map(drop)
    }

    /// Gives the daemons a new token and makes the old one invalid, as when its pod goes.
    ///
    /// A token is bound to a Secret of its own, and ends with it.
    pub(super) fn rotate_token(&self) -> Result<()> {
        let mut number = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let (api, name) = (self.api(), format!("podway-{}", *number + 1));
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        let secret = api.create(SECRETS, &secret)?;
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": {
                "apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret["metadata"]["uid"],
            }},
        });
        let answer = api.create(TOKENS, &request)?;
        let token = answer["status"]["token"].as_str().context("no token in the answer")?;
        certificates::write(&self.layout.token(), token)?;
        if *number > 0 {
            api.delete(&format!("{SECRETS}/podway-{number}"))?;
        }
        *number += 1;
        Ok(())
    }

    /// Gives the API server another certificate; it reads the files again by itself.
    pub(super) fn rotate_certificate(&self) -> Result<()> {
        self.authority.serving()?.write(&self.layout.pki(), "api-server")
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Component, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process of `component`.
    fn launch(&self, component: Component) -> Result<()> {
        let mut command = commands::command(component, &self.programs, &self.layout);
        let path = self.layout.log(component.as_str());
        let log = File::options().create(true).append(true).open(&path)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if component == Component::Proxy {
            // A socket that an earlier one left would keep it from listening.
            fs::remove_file(self.layout.socket()).unwrap_or_default();
        }
        let (over, ended) = mpsc::channel();
        let place = self.network.control_plane()?;
        let (group, _child) = self.processes.spawn(place, command, move |exit| {
            eprintln!("{} ended: {exit}", component.as_str());
            over.send(()).unwrap_or_default();
        })?;
        self.running().insert(component, (group, ended));
        Ok(())
    }

    /// Waits until `condition` holds.
    fn wait(&self, what: &str, condition: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = condition(self) {
            let log = |component: Component| {
                let text = fs::read_to_string(self.layout.log(component.as_str()));
                let text = text.unwrap_or_default();
                text.lines().last().unwrap_or_default().to_owned()
            };
            ensure!(
                start.elapsed() < PATIENCE,
                "waited {} s for {what}: {error:#}; etcd: {}; API server: {}",
                PATIENCE.as_secs(),
                log(Component::Etcd),
                log(Component::ApiServer),
            );
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Writes certificates, keys and kubeconfigs.
    fn lay_credentials(&self) -> Result<()> {
        let pki = self.layout.pki();
        fs::create_dir_all(&pki)?;
        let authority = &self.authority;
        certificates::write(&pki.join("ca.crt"), &authority.pem())?;
        authority.serving()?.write(&pki, "api-server")?;
        authority.client("admin", Some("system:masters"))?.write(&pki, "admin")?;
        // Its own user may do little: installers give each controller an account of its own.
        let manager = authority.client("controller-manager", Some("system:masters"))?;
        manager.write(&pki, "controller-manager")?;
        certificates::write_key_pair(&pki, "accounts")?;
        let file = |name: String| pki.join(name).display().to_string();
        let server = format!("https://{}:{API_PORT}", address::control_plane().v4);
        for user in ["admin", "controller-manager"] {
            let (certificate, key) = (file(format!("{user}.crt")), file(format!("{user}.key")));
            let credential = Credential::Certificate(&certificate, &key);
            self.lay_kubeconfig(user, &server, &credential)?;
        }
        let token = self.layout.token().display().to_string();
        self.lay_kubeconfig("podway", &server, &Credential::TokenFile(&token))
    }

    fn lay_kubeconfig(&self, user: &str, server: &str, credential: &Credential<'_>) -> Result<()> {
        let authority = self.layout.pki().join("ca.crt").display().to_string();
        let text = kubeconfig::text(server, &authority, credential);
        certificates::write(&self.layout.kubeconfig(user), &text)
    }
}
