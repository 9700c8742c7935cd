//! The daemon: Kubernetes Services and names, served by one process per node.
//!
//! | module | owns |
//! |---|---|
//! | `args` | flags as typed |
//! | `config_file`, `live` | flags from a file, and what happens when it changes |
//! | `config`, `environment` | what they and the host make together, checked |
//! | `build` | composition: every part is made and joined there |
//! | `run` | `podway run`: from start to drain |
//! | `inspect` | `podway plan` |
//! | `cleanup` | `podway cleanup` |
//! | `sockets` | the eBPF back end: whether it is used, and joining it to the sync loop |
//! | `migrate` | `podway migrate` |
//! | `snapshot` | `podway snapshot` |
//! | `corefile` | `podway corefile` |
//! | `probe` | `podway probe` |
//! | `decisions` | `podway events` |
//! | `asking` | a question of such a command to the running daemon |
//! | `interfaces` | addresses of the node, as they change |
//! | `events` | what the cluster is told of this node |
//! | `health_checks`, `loopback` | servers at node ports: health checks, and loopback addresses |
//! | `dns` | the Corefile: read, put to work, followed |
//! | `source` | where snapshots come from |
//! | `names` | the zones, kept at the newest snapshot |
//! | `node_local` | the cluster's DNS addresses, answered on the node |
//! | `networks` | whose queries are answered |
//! | `admin`, `metrics`, `readiness` | how the daemon is |
//! | `logging` | where log lines go |

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Command, CommandLine};
use crate::config::FlagErrors;

mod admin;
mod args;
mod asking;
mod build;
mod cleanup;
mod config;
mod config_file;
mod corefile;
mod decisions;
mod dns;
mod environment;
mod events;
mod health_checks;
mod inspect;
mod interfaces;
mod live;
mod logging;
mod loopback;
mod metrics;
mod migrate;
mod names;
mod networks;
mod node_local;
mod probe;
mod readiness;
mod run;
mod snapshot;
mod sockets;
mod source;

/// What is returned when flags are wrong; clap returns it too.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    let result = match &command {
        Command::Run(args) => run::run(args, std::env::args_os().collect()),
        Command::Plan(args) => inspect::plan(args),
        Command::Cleanup(args) => cleanup::cleanup(args),
        Command::Probe(args) => probe::probe(args),
        Command::Events(args) => decisions::events(args),
        Command::Snapshot(command) => snapshot::snapshot(command),
        Command::Migrate(args) => migrate::migrate(args),
        Command::Corefile(args) => corefile::corefile(args),
        Command::Version => version().map_err(Into::into),
        Command::SocketTrial(args) => sockets::help(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            drop(writeln!(io::stderr(), "podway: {error:#}"));
            let usage = error.downcast_ref::<FlagErrors>().is_some();
            if usage { ExitCode::from(USAGE_ERROR) } else { ExitCode::FAILURE }
        }
    }
}

fn version() -> io::Result<()> {
    writeln!(io::stdout(), "podway {}", env!("CARGO_PKG_VERSION"))
}
