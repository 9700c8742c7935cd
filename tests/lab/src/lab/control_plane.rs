//! The real control plane of a lab that was started with one.

use std::io::Write as _;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};

use super::Lab;
use crate::api::Api;
use crate::exec::{Output, Running};
use crate::place::Place;
use crate::protocol::{Change, Component, ComponentAction};
use crate::settings::Settings;
use crate::supervisor::Layout;

impl Lab {
    /// The API server, spoken to as an administrator from wherever the caller is.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::at(&self.state.api_socket())
    }

    /// The kubeconfig of `admin` or of the daemons' account, `podway`.
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        Layout::new(&self.state).kubeconfig(user)
    }

    /// Runs `kubectl` as an administrator beside the API server, with `input` as its input.
    ///
    /// # Errors
    /// When it cannot be started; how it ended is in the [`Output`].
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let command = self.kubectl_command(arguments)?;
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let mut running = Running::start(&self.state, &Place::ControlPlane, &words)?;
        let stdin = running.stdin.take();
        // It may write before it has read everything, so both go on at once.
        thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // A program that ends early says why by itself.
                    stdin.write_all(input.as_bytes()).unwrap_or_default();
                }
            });
            running.output()
        })
    }

    /// The command line of `kubectl` as an administrator, to be run beside the API server.
    ///
    /// # Errors
    /// When this lab has none.
    pub fn kubectl_command<T: AsRef<str>>(&self, arguments: &[T]) -> Result<Vec<String>> {
        let settings: Settings = serde_json::from_slice(&std::fs::read(self.state.settings())?)?;
        let programs = settings.control_plane.context("this lab has no API server")?;
        let program = programs.kubectl.display().to_string();
        let kubeconfig = self.kubeconfig("admin").display().to_string();
        let mut command = vec![program, "--kubeconfig".to_owned(), kubeconfig];
        command.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        Ok(command)
    }

    /// Starts, ends or halts a part of the control plane.
    ///
    /// # Errors
    /// When it does not run, or cannot be started.
    pub fn control_plane(&self, component: Component, action: ComponentAction) -> Result<()> {
        self.done(Change::ControlPlane { component, action })
    }

    /// Starts the API server and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_api_server(&self) -> Result<()> {
        self.control_plane(Component::ApiServer, ComponentAction::Start)?;
        self.wait_until("the API server to be ready", || {
            Ok(self.api().request("GET", "/readyz", None)?.status == 200)
        })
    }

    /// Gives the daemons a new token and makes the old one invalid.
    ///
    /// # Errors
    /// When the API server is away.
    pub fn rotate_token(&self) -> Result<()> {
        self.done(Change::RotateToken)
    }

    /// Gives the API server another certificate of the same authority.
    ///
    /// # Errors
    /// When this lab has none.
    pub fn rotate_certificate(&self) -> Result<()> {
        self.done(Change::RotateCertificate)
    }

    /// What a part of the control plane has logged.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn component_log(&self, component: Component) -> Result<String> {
        super::read_log(&Layout::new(&self.state).log(component.as_str()))
    }
}
