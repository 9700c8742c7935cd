//! The process that a lab lives in: namespaces, processes, and the loop that plays the cluster.
//!
//! It is process 1 of its own process namespace: when it ends, by itself or killed, the kernel
//! kills every process of the lab, and with the last of them all namespaces, links, addresses,
//! routes, rules and mounts are gone. What stays is a folder of logs.

mod api_link;
mod control;
mod control_plane;
mod daemon;
mod engine;
mod folder;
mod kubelet;
mod launch;
mod mounts;
mod names;
mod namespace;
mod network;
mod places;
mod pod_start;
mod pod_stop;
mod probe;
mod process;
mod runtime;
mod topology;

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::settings::Settings;
use crate::state_dir::StateDir;
use control::Control;
use control_plane::ControlPlane;
use engine::Engine;
use kubelet::Context as World;
use network::Network;
use places::Places;
use process::Processes;

pub(crate) use control_plane::Layout;
pub use launch::launch;

/// Runs the lab of the folder `state`; to be called in fresh namespaces, as process 1.
///
/// # Errors
/// When the lab cannot be built.
pub fn supervise(state: &Path) -> Result<()> {
    ensure!(std::process::id() == 1, "supervise is called by launch, not by people");
    // The launcher is where people look for the lab; without it nobody would end this.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let state = StateDir::at(state);
    let settings: Settings = serde_json::from_slice(&fs::read(state.settings())?)?;
    mounts::separate(state.path())?;
    if settings.cgroups.is_some() {
        (1..=settings.nodes).try_for_each(mounts::mount_pins)?;
    }
    if settings.owned {
        thread::spawn(end_with_owner);
    }
    let processes = Processes::start();
    let network = Arc::new(Network::build(
        &processes,
        settings.nodes,
        settings.cgroups.as_deref(),
        settings.control_plane.is_some(),
    )?);
    let places = Places::new(&network);
    start_upstream(&processes, &network, &state)?;
    let (events, inbox) = mpsc::channel();
    let control_plane = ControlPlane::start(&state, &settings, &processes, &network)?;
    let context = World {
        processes: processes.clone(),
        network,
        events: events.clone(),
        settings: Arc::new(settings),
        state: state.clone(),
    };
    let api = control_plane.as_ref().map(|control_plane| control_plane.api());
    let engine = Engine::new(context, places.clone(), api)?;
    let listener = UnixListener::bind(state.socket()).context("control socket cannot be made")?;
    control::serve(listener, Control { places, processes, events, control_plane });
    println_ready()?;
    engine.run(&inbox)
}

/// Tells the one who started the lab that it can be spoken to.
fn println_ready() -> Result<()> {
    let mut output = std::io::stdout();
    output.write_all(b"ready\n")?;
    Ok(output.flush()?)
}

/// Ends the lab when the other end of the standard input is closed.
fn end_with_owner() {
    let mut rest = Vec::new();
    // Nothing is ever sent; an error means the same as the end.
    std::io::stdin().read_to_end(&mut rest).unwrap_or_default();
    std::process::exit(0);
}

/// Runs the name server outside.
fn start_upstream(processes: &Processes, network: &Network, state: &StateDir) -> Result<()> {
    let mut command = lab_command("upstream");
    command.arg(state.upstream_log()).stdin(std::process::Stdio::null());
    processes.spawn(&network.outside, command, |exit| {
        eprintln!("the name server outside ended: {exit}");
    })?;
    Ok(())
}

/// A command of the lab's own program.
///
/// By the link in /proc, because a place may not see the path that the program was started from.
fn lab_command(name: &str) -> std::process::Command {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg(name);
    command
}
