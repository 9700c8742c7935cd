//! `cargo xtask bench`: builds the benchmarks and the daemon as users get them, and runs one.
//!
//! Which benchmarks there are, and what they take, is the crate `tests/bench`'s to say: everything
//! behind `bench` is passed on.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use podway_tests_peers::Peer;

use crate::{process, programs};

/// Program with the benchmarks.
const PROGRAM: &str = "podway-tests-bench";

/// What is built: the benchmarks, what they measure, and where.
const PACKAGES: [&str; 3] = [PROGRAM, programs::LAB.package, programs::DAEMON.package];

/// Names the program of CoreDNS to the benchmark `dns`.
const COREDNS: &str = "PODWAY_BENCH_COREDNS";

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// A benchmark and its flags; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "BENCHMARK")]
    rest: Vec<OsString>,
}

/// Builds in release mode and runs the benchmark asked for; it makes its own network namespace.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut build = process::cargo(&process::root());
    build.args(["build", "--quiet", "--release"]);
    build.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    if !build.status().context("cargo cannot be started")?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let folder = programs::folder("release")?;
    let program = folder.join(PROGRAM);
    let mut benchmark = Command::new(&program);
    benchmark.args(&args.rest).envs(programs::named(&folder));
    // Measured too where it was built, unless another one is named.
    if let (None, Ok(coredns)) = (env::var_os(COREDNS), Peer::CoreDns.find()) {
        benchmark.env(COREDNS, coredns);
    }
    let status =
        benchmark.status().with_context(|| format!("{} cannot be started", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
