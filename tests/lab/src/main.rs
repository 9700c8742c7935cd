//! The lab's own program: supervisor, pods' server, its client, and name server outside.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use podway_tests_lab::{agent, client, inject, queries, supervisor, upstream};

/// Runs the parts of a lab; people use `cargo xtask lab`.
#[derive(Debug, Parser)]
#[command(name = "podway-lab")]
enum Command {
    /// Makes namespaces and runs the supervisor in them.
    Launch {
        /// Folder of the lab.
        state: PathBuf,
    },
    /// Runs the lab, as process 1 of its namespaces.
    Supervise {
        /// Folder of the lab.
        state: PathBuf,
    },
    /// Serves in a pod.
    Agent(agent::Args),
    /// Asks the servers of pods.
    Client(client::Args),
    /// Sends what belongs to no window of a connection.
    Inject(inject::Args),
    /// Asks a DNS server at a steady rate.
    Queries(queries::Args),
    /// Serves names outside.
    Upstream {
        /// File that gets a line for every query.
        log: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Launch { state } => supervisor::launch(&state),
        Command::Supervise { state } => supervisor::supervise(&state).map(|()| ExitCode::SUCCESS),
        Command::Agent(args) => agent::run(args).map(|()| ExitCode::SUCCESS),
        Command::Client(args) => client::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Inject(args) => inject::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Queries(args) => queries::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Upstream { log } => upstream::run(&log).map(|()| ExitCode::SUCCESS),
    }
}
