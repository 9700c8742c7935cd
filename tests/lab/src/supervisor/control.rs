//! The control socket: takes requests, runs commands, passes the rest to the engine.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::control_plane::ControlPlane;
use super::control_plane::workloads::{self, Outcome};
use super::engine::Event;
use super::places::Places;
use super::process::Processes;
use crate::place::ObjectName;
use crate::protocol::{Change, Exec, Reply, Request};
use crate::wire::Wire;

/// Serves every connection on a thread of its own.
pub(super) fn serve(listener: UnixListener, control: Control) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let control = control.clone();
            thread::spawn(move || {
                if let Err(error) = control.converse(stream) {
                    eprintln!("control: {error:#}");
                }
            });
        }
    });
}

/// What conversations need; a cheap handle.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) places: Places,
    pub(super) processes: Processes,
    pub(super) events: Sender<Event>,
    pub(super) control_plane: Option<Arc<ControlPlane>>,
}

impl Control {
    fn converse(&self, stream: UnixStream) -> Result<()> {
        let mut wire = Wire::new(stream);
        while let Some(message) = wire.receive::<Request>()? {
            let reply = match message.value {
                Request::Exec(exec) => {
                    let hang_up = wire.stream().try_clone()?;
                    self.exec(exec, message.descriptors, hang_up)
                }
                Request::Down => {
                    wire.send(&Reply::Done, &[])?;
                    // The end of process 1 is the end of everything.
                    std::process::exit(0);
                }
                Request::Status => self.ask(Event::Status),
                Request::Workloads => self.workloads(),
                Request::Change(change) => self.change(change),
            };
            let reply =
                reply.unwrap_or_else(|error| Reply::Failed { reason: format!("{error:#}") });
            wire.send(&reply, &[])?;
        }
        Ok(())
    }

    /// What the controllers of a real control plane have not done yet, and the lab not seen of it.
    fn workloads(&self) -> Result<Reply> {
        let Some(control_plane) = &self.control_plane else {
            return Ok(Reply::Workloads { unsettled: Vec::new() });
        };
        let api = control_plane.api();
        let mut unsettled = workloads::unsettled(&api)?;
        let pods = workloads::pods(&api)?;
        let Reply::Status(status) = self.ask(Event::Status)? else { bail!("no status") };
        let is_seen = |pod: &ObjectName| status.pods.iter().any(|seen| seen.name == *pod);
        unsettled.extend(pods.iter().filter_map(|(pod, deleted)| match (deleted, is_seen(pod)) {
            (true, _) => Some(format!("pod {pod} is being deleted")),
            (false, false) => Some(format!("pod {pod} is not seen yet")),
            (false, true) => None,
        }));
        Ok(Reply::Workloads { unsettled })
    }

    /// Lets those make a change whose it is.
    fn change(&self, change: Change) -> Result<Reply> {
        match &self.control_plane {
            Some(control_plane) => match workloads::change(control_plane, change)? {
                Outcome::Made(reply) => Ok(reply),
                Outcome::Ours(change) => self.ask(|reply| Event::Change(change, reply)),
            },
            None => self.ask(|reply| Event::Change(change, reply)),
        }
    }

    /// Lets the engine answer.
    fn ask(&self, event: impl FnOnce(Sender<Result<Reply>>) -> Event) -> Result<Reply> {
        let (reply, answer) = mpsc::channel();
        self.events.send(event(reply)).context("the engine is gone")?;
        answer.recv().context("the engine is gone")?
    }

    /// Runs a command to its end; kills it when the client hangs up.
    fn exec(&self, exec: Exec, descriptors: Vec<OwnedFd>, client: UnixStream) -> Result<Reply> {
        let [stdin, stdout, stderr]: [OwnedFd; 3] = descriptors
            .try_into()
            .map_err(|got: Vec<_>| anyhow::anyhow!("{} descriptors in place of 3", got.len()))?;
        let (ended, end) = mpsc::channel();
        let group = self.places.run(&exec.place, |place| {
            let directory = place.enter(|| Ok(working_directory(&exec.directory)))?;
            let mut command = command(&exec)?;
            command
                .current_dir(directory)
                .stdin(Stdio::from(stdin))
                .stdout(Stdio::from(stdout))
                .stderr(Stdio::from(stderr));
            let (group, _child) = self.processes.spawn(place, command, move |exit| {
                // The receiver may have failed; then nobody wants to know.
                ended.send(exit).unwrap_or_default();
            })?;
            Ok(group)
        })?;
        let over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&over);
        thread::spawn(move || {
            // The client sends nothing more; this returns when it is gone.
            drop(Wire::new(client).receive::<Request>());
            if !watched.load(Ordering::Acquire) {
                group.signal(Signal::SIGKILL);
            }
        });
        let exit = end.recv().context("the reaper is gone")?;
        over.store(true, Ordering::Release);
        Ok(Reply::Exited { code: exit.code() })
    }
}

/// The caller's working directory, where the place has it too.
fn working_directory(wanted: &Path) -> &Path {
    if wanted.is_dir() { wanted } else { Path::new("/") }
}

fn command(exec: &Exec) -> Result<Command> {
    ensure!(!exec.command.is_empty(), "no command");
    let mut command = Command::new(&exec.command[0]);
    command.args(&exec.command[1..]);
    for (name, value) in exec.environment.iter().filter(|(name, _)| *name != "PATH") {
        command.env(name, value);
    }
    if let Some(path) = exec.environment.get("PATH") {
        let own = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:{own}"));
    }
    Ok(command)
}
