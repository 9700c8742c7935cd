//! `cargo xtask fuzz`: looks for messages and files that break what must always hold.
//!
//! libFuzzer with the pinned stable compiler: the counters of coverage that it is guided by are made
//! by a pass of LLVM (`sancov-module`), which needs no unstable flag. Sanitizers would need one; code
//! here is safe but for system calls, and what is looked for are panics, hangs and broken
//! invariants. Targets are the binaries of `tests/fuzz`; what they find stays in
//! `target/fuzz/artifacts` until it is copied to `tests/fuzz/regressions`.

#![expect(clippy::print_stdout, reason = "the command reports to a person")]

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{MetadataCommand, Package};

use crate::process;

/// Folder of the targets, a workspace of its own.
const FOLDER: &str = "tests/fuzz";

/// What makes the compiler count which edges of the code are taken, and what is compared with what,
/// and keep the checks of arithmetic.
const COVERAGE: &str = "-Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 --cfg fuzzing";

/// Longest time that one input may take: no message or file of this size is worth more.
const INPUT_SECONDS: u32 = 10;

/// Longest input in octets: as long as a message can be.
const INPUT_OCTETS: u32 = 65_535;

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets; all if none is named.
    targets: Vec<String>,
    /// Seconds that each target runs.
    #[arg(long, default_value_t = 300)]
    seconds: u32,
}

/// Builds the targets and runs one after the other; fails if any found something.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = Utf8PathBuf::try_from(process::root())?;
    let folder = root.join(FOLDER);
    let metadata = MetadataCommand::new().current_dir(&folder).no_deps().exec()?;
    let package = metadata.root_package().context("tests/fuzz has no package")?;
    let known: Vec<&str> = package.targets.iter().map(|target| target.name.as_str()).collect();
    for target in &args.targets {
        ensure!(known.contains(&target.as_str()), "no target {target:?}; there are {known:?}");
    }
    let wanted =
        |name: &&str| args.targets.is_empty() || args.targets.iter().any(|one| one == name);
    let targets: Vec<&str> = known.iter().copied().filter(wanted).collect();
    let workspace = MetadataCommand::new().current_dir(&root).no_deps().exec()?;
    let output = workspace.target_directory.join("fuzz");
    let programs = build(&folder, &output, &targets)?;
    let mut findings = Vec::new();
    for target in &targets {
        let place = Place { folder: &folder, output: &output, programs: &programs };
        if !place.fuzz(target, package, args.seconds)? {
            findings.push(*target);
        }
    }
    if findings.is_empty() {
        println!("{}: {} s each, nothing found", targets.join(", "), args.seconds);
        return Ok(ExitCode::SUCCESS);
    }
    println!("found something: {}; see {output}/artifacts", findings.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Builds `targets` with counters of coverage; returns the folder of the programs.
fn build(folder: &Utf8Path, output: &Utf8Path, targets: &[&str]) -> Result<Utf8PathBuf> {
    let version = process::stdout(Command::new("rustc").arg("-vV").current_dir(folder))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    let mut build = process::cargo(folder.as_std_path());
    // Not --locked: the lock file follows the crates that are fuzzed.
    // With a target named, what runs during the build is compiled without the counters.
    build.args(["build", "--release", "--target", host, "--target-dir"]).arg(output);
    build.args(targets.iter().flat_map(|target| ["--bin", target])).env("RUSTFLAGS", COVERAGE);
    ensure!(build.status().context("cargo cannot be started")?.success(), "the build failed");
    Ok(output.join(host).join("release"))
}

/// Where everything of a run is.
struct Place<'a> {
    folder: &'a Utf8Path,
    output: &'a Utf8Path,
    programs: &'a Utf8Path,
}

impl Place<'_> {
    /// Runs one target; `false` if it found something.
    fn fuzz(&self, target: &str, package: &Package, seconds: u32) -> Result<bool> {
        let corpus = self.output.join("corpus").join(target);
        let artifacts = self.output.join("artifacts").join(target);
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder).with_context(|| folder.to_string())?;
        }
        let further = package.metadata["seeds"][target].as_array().into_iter().flatten();
        let folders = further.filter_map(|folder| folder.as_str()).map(str::to_owned);
        let own = ["seeds", "regressions"].map(|kind| format!("{kind}/{target}"));
        let seeds = folders.chain(own).map(|folder| self.folder.join(folder));
        let status = Command::new(self.programs.join(target))
            .current_dir(self.folder)
            .arg(&corpus)
            .args(seeds.filter(|folder| folder.is_dir()))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-max_len={INPUT_OCTETS}"))
            .arg(format!("-artifact_prefix={artifacts}/"))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .status()
            .with_context(|| format!("{target} cannot be started"))?;
        Ok(status.success())
    }
}
