//! `cargo xtask test`: builds the workspace, runs every tier of tests, and says which one failed.
//!
//! One `cargo test` run covers everything, so that all tiers share one build; its output passes
//! through unchanged and is tallied on the way. The netns tier needs tools and privileges, the
//! conformance tier a real API server besides; they fail where these are missing, and only
//! `NETNS_TESTS=off` and `API_SERVER_TESTS=off` leave them out, which the closing line then says.
#![expect(clippy::print_stdout, reason = "the command reports to a person")]

mod tally;
mod targets;

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{process, programs, require};
use tally::Tally;
use targets::{Mode, Run, Targets};

/// Longest wait for the end of the output once cargo has ended.
///
/// 10 s: far more than a test needs to end a child that it waits for, and short beside a CI run
/// that would otherwise hang on a daemon left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(10);

/// Variable that tells labs how their daemons send packets to endpoints.
const PROXY_MODE: &str = "PODWAY_TEST_PROXY_MODE";

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs only this tier.
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// Passed to the test programs, for example a part of a test's name.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Kinds of tests, by what they need. The name of a test target says its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Tier {
    /// Beside the code, and examples in docs: tables and properties. Needs nothing.
    Unit,
    /// Targets `golden*`: manifests in, plan, ruleset and zone text out. Needs nothing.
    Golden,
    /// Other targets in `tests/` of a crate, DNS over loopback among them. Needs nothing.
    Integration,
    /// Targets of the crate `tests/netns`: the real daemon, real packets. Needs namespaces.
    Netns,
    /// Those of them about traffic a second time, with sockets carried by eBPF. Needs root.
    Ebpf,
    /// Targets of the crate `tests/conformance`: a real API server besides. Needs Go too.
    Conformance,
}

/// Leaves out the tier netns, and with it the tier conformance.
const NETNS_SWITCH: &str = "NETNS_TESTS";

/// Leaves out the tier conformance.
const API_SERVER_SWITCH: &str = "API_SERVER_TESTS";

/// Tiers that do not run because somebody said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct LeftOut {
    netns: bool,
    conformance: bool,
}

impl LeftOut {
    /// What `is_off` says of the switches; an order for one tier is an order for that tier.
    fn new(tier: Option<Tier>, is_off: impl Fn(&str) -> bool) -> Self {
        let by_name = matches!(tier, Some(Tier::Netns | Tier::Ebpf | Tier::Conformance));
        let netns = is_off(NETNS_SWITCH) && !by_name;
        let conformance = (netns || is_off(API_SERVER_SWITCH)) && tier != Some(Tier::Conformance);
        Self { netns, conformance }
    }

    /// Reads the environment; only `off` is an order, so that a slip of the pen leaves out nothing.
    fn from_environment(tier: Option<Tier>) -> Self {
        Self::new(tier, |switch| env::var(switch).is_ok_and(|value| value == "off"))
    }

    /// Whether the tier `needed` runs when `tier` was asked for.
    fn runs(self, needed: Tier, tier: Option<Tier>) -> bool {
        let is_out = match needed {
            Tier::Netns | Tier::Ebpf => self.netns,
            Tier::Conformance => self.conformance,
            Tier::Unit | Tier::Golden | Tier::Integration => false,
        };
        !is_out && tier.is_none_or(|tier| tier == needed)
    }
}

/// Runs the tests asked for and closes with their count.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = process::root();
    let left_out = LeftOut::from_environment(args.tier);
    let runs = |tier| left_out.runs(tier, args.tier);
    let path = if runs(Tier::Netns) || runs(Tier::Ebpf) || runs(Tier::Conformance) {
        // Where they cannot be had, `NETNS_TESTS=off` leaves that tier out.
        require::programs("the netns tests (NETNS_TESTS=off leaves them out)")?
    } else {
        env::var_os("PATH").unwrap_or_default()
    };
    if runs(Tier::Conformance) {
        require::api_server()?;
    }
    let targets = Targets::read(&root)?;
    let plan = targets.runs(args.tier, left_out)?;
    let mut tally = Tally::new(targets);
    let built = programs::folder("debug")?;
    let mut build = process::cargo(&root);
    build.args(["build", "--workspace", "--all-targets"]);
    if build.status().context("cargo cannot be started")?.success() {
        for Run { arguments, mode } in plan {
            let mut cargo = process::cargo(&root);
            cargo.arg("test").args(arguments).arg("--no-fail-fast").arg("--").args(&args.rest);
            cargo.env("PATH", &path).envs(programs::named(&built));
            tally.mode(mode);
            match mode {
                Mode::Default => {}
                Mode::Ebpf => drop(cargo.env(PROXY_MODE, "ebpf")),
            }
            // What was asked for by name runs, whatever the environment says.
            if runs(Tier::Netns) || runs(Tier::Ebpf) || runs(Tier::Conformance) {
                cargo.env_remove(NETNS_SWITCH);
            }
            if runs(Tier::Conformance) {
                cargo.env_remove(API_SERVER_SWITCH);
            }
            let status = stream(&mut cargo, &mut tally)?;
            tally.close(status.success());
        }
    } else {
        tally.fail("build");
    }
    print!("\n{}", tally.report(left_out));
    Ok(if tally.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs `command`, passing its output through line by line and counting it.
///
/// Both streams go through one pipe, because cargo names the target on one and the target reports
/// on the other. A process that a test leaves behind keeps that pipe open; it is counted as a
/// failure instead of being waited for.
fn stream(command: &mut Command, tally: &mut Tally) -> Result<ExitStatus> {
    stream_for(command, tally, LEFT_BEHIND)
}

/// [`stream`] with the time to wait for the end of the output.
fn stream_for(
    command: &mut Command,
    tally: &mut Tally,
    left_behind: Duration,
) -> Result<ExitStatus> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cargo cannot be started")?;
    // The command holds write ends too; with them open the output would never end.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let (lines, output) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut ended: Option<Instant> = None;
    loop {
        match output.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                println!("{line}");
                tally.read(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => {
                if ended.get_or_insert_with(Instant::now).elapsed() >= left_behind {
                    tally.fail("a process left running by a test");
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Ok(child.wait()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_leaves_out_its_tier_and_what_stands_on_it_unless_asked_for_by_name() {
        let rows = [
            ("nothing said", None, &[][..], (false, false)),
            ("no API server", None, &[API_SERVER_SWITCH], (false, true)),
            ("no namespaces", None, &[NETNS_SWITCH], (true, true)),
            ("netns by name", Some(Tier::Netns), &[NETNS_SWITCH], (false, false)),
            ("conformance by name", Some(Tier::Conformance), &[API_SERVER_SWITCH], (false, false)),
        ];
        for (name, tier, off, (netns, conformance)) in rows {
            let found = LeftOut::new(tier, |switch| off.contains(&switch));
            assert_eq!(found, LeftOut { netns, conformance }, "{name}");
        }
        assert!(LeftOut::default().runs(Tier::Conformance, None));
        assert!(!LeftOut::default().runs(Tier::Conformance, Some(Tier::Netns)));
    }

    #[test]
    fn a_command_whose_output_ends_is_counted_and_its_status_returned() {
        let mut tally = Tally::new(Targets::default());
        let script = "echo '     Running tests/golden.rs (target/debug/deps/golden-1)' >&2; \
                      echo 'test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured'; exit 101";
        let status = stream(Command::new("sh").args(["-c", script]), &mut tally).expect("sh runs");
        tally.close(status.success());
        assert_eq!(status.code(), Some(101));
        assert_eq!((tally.passed(), tally.failed()), (3, 1));
    }

    #[test]
    fn a_process_that_a_test_leaves_behind_is_a_failure_and_is_not_waited_for() {
        let mut tally = Tally::new(Targets::default());
        // The child keeps the pipe open and ends by itself soon after the wait for it is over.
        let script = "(sleep 2) & echo 'test result: ok. 1 passed; 0 failed; 0 ignored'";
        let mut command = Command::new("sh");
        let status =
            stream_for(command.args(["-c", script]), &mut tally, Duration::ZERO).expect("sh runs");
        tally.close(status.success());
        assert_eq!((tally.passed(), tally.failed()), (1, 1));
    }
}
