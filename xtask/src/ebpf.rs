//! `cargo xtask ebpf`: compiles the eBPF programs to the object that is committed.
//!
//! A plain build needs none of the tools for it; who changes the programs does, and CI, which
//! compiles them again and compares.

pub(crate) mod record;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// The target: eBPF of a little-endian machine.
const TARGET: &str = "bpfel-unknown-none";

/// Where the programs are.
const FOLDER: &str = "ebpf/prog";

/// The committed object, in that folder.
const OBJECT: &str = "podway-ebpf.o";

/// What the linker makes.
const LINKED: &str = "podway-ebpf";

/// The file with verifier and memory figures, in that folder.
const STATS: &str = "STATS.txt";

/// How `--check` ends where the tools are not there and cannot be installed.
const WITHOUT_TOOLS: u8 = 3;

/// Arguments of `cargo xtask ebpf`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail when the committed object is not what the sources give; write nothing. Ends with 3 where the
    /// tools cannot be had.
    #[arg(long, conflicts_with = "stats")]
    check: bool,
    /// Load the committed object and write instruction counts and map memory to ebpf/prog/STATS.txt;
    /// needs root.
    #[arg(long)]
    stats: bool,
}

/// Compiles, compares or measures.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = process::root();
    let committed = root.join(FOLDER).join(OBJECT);
    if args.stats {
        return stats(&root);
    }
    let tools = match tools::Tools::find_or_install(&root) {
        Ok(tools) => tools,
        // Not a failure of what is committed, and not to be taken for a comparison either.
        Err(error) if args.check => {
            eprintln!("NOT COMPARED: {error:#}");
            return Ok(ExitCode::from(WITHOUT_TOOLS));
        }
        Err(error) => return Err(error),
    };
    let built = compile(&root, &tools)?;
    if args.check {
        let same = fs::read(&committed).is_ok_and(|bytes| bytes == built);
        ensure!(
            same,
            "{FOLDER}/{OBJECT} is not what the sources give: run cargo xtask ebpf and commit it"
        );
        eprintln!("{FOLDER}/{OBJECT}: the sources give the same {} bytes", built.len());
        return Ok(ExitCode::SUCCESS);
    }
    fs::write(&committed, &built).with_context(|| committed.display().to_string())?;
    record::write(&root)?;
    eprintln!("{FOLDER}/{OBJECT}: {} bytes", built.len());
    Ok(ExitCode::SUCCESS)
}

/// The object that the sources give, without what differs between machines.
fn compile(root: &Path, tools: &tools::Tools) -> Result<Vec<u8>> {
    let folder = root.join("target").join("ebpf");
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(process::cargo(root).get_program());
    command
        .current_dir(root.join(FOLDER))
        .args(["build", "--quiet", "--release", "--locked", "--target", TARGET])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(&folder)
        // The target is no stable feature; the compiler is the pinned one all the same.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root, tools).join("\u{1f}"));
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "the eBPF programs cannot be compiled: {status}");
    let linked = folder.join(TARGET).join("release").join(LINKED);
    let stripped = folder.join(OBJECT);
    // Debug information is needed for BTF only, which has a section of its own.
    let mut strip = Command::new(&tools.strip);
    strip.arg("--strip-debug").arg("-o").arg(&stripped).arg(&linked);
    process::stdout(&mut strip)?;
    fs::read(&stripped).with_context(|| stripped.display().to_string())
}

/// Flags of the compiler; paths of this machine get names that are the same on every machine.
fn flags(root: &Path, tools: &tools::Tools) -> Vec<String> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    vec![
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", tools.linker.display()),
        remap(&registry(), "registry"),
        remap(&tools.sysroot, "rust"),
        remap(root, "podway"),
    ]
}

/// Where cargo keeps the sources of crates.
fn registry() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    home.unwrap_or_default().join("registry").join("src")
}

/// Loads the committed object and writes what the kernel says of it.
fn stats(root: &Path) -> Result<ExitCode> {
    let mut command = process::cargo(root);
    command.args(["run", "--quiet", "--package", "podway-ebpf-backend", "--example", "stats"]);
    let text = process::stdout(&mut command)?;
    if text.is_empty() {
        bail!("the kernel said nothing of the programs");
    }
    fs::write(root.join(FOLDER).join(STATS), &text)?;
    eprint!("{text}");
    Ok(ExitCode::SUCCESS)
}
