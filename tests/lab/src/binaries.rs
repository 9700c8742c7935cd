//! Finds the programs of this workspace that a lab runs, and builds them where it must.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

/// The programs that a lab runs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The lab's own program, which is supervisor, pods' server and name server in one.
    pub lab: PathBuf,
    /// The daemon under test.
    pub podway: PathBuf,
}

impl Binaries {
    /// Builds the programs, once per process, unless `PODWAY_LAB_BIN` and `PODWAY_BIN` name them.
    ///
    /// Cargo does nothing where they are fresh, and a stale program would test yesterday's code.
    ///
    /// # Errors
    /// When cargo fails, or a named program does not exist.
    pub fn find() -> Result<Self> {
        static FOUND: OnceLock<Result<Binaries, String>> = OnceLock::new();
        FOUND
            .get_or_init(|| Self::find_or_build(true).map_err(|error| format!("{error:#}")))
            .clone()
            .map_err(anyhow::Error::msg)
    }

    /// As [`Binaries::find`], without the daemon: for labs that run without it.
    ///
    /// # Errors
    /// When cargo fails, or a named program does not exist.
    pub(crate) fn find_lab() -> Result<PathBuf> {
        static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        FOUND
            .get_or_init(|| {
                Self::find_or_build(false)
                    .map(|found| found.lab)
                    .map_err(|error| format!("{error:#}"))
            })
            .clone()
            .map_err(anyhow::Error::msg)
    }

    fn find_or_build(with_daemon: bool) -> Result<Self> {
        let (lab, podway) = (named("PODWAY_LAB_BIN")?, named("PODWAY_BIN")?);
        let mut packages = Vec::new();
        if lab.is_none() {
            packages.push(("podway-tests-lab", "podway-lab"));
        }
        if podway.is_none() && with_daemon {
            packages.push(("podway-proxy-daemon", "podway"));
        }
        let folder = target_folder()?;
        if !packages.is_empty() {
            build(&packages, &folder)?;
        }
        Ok(Self {
            lab: lab.unwrap_or_else(|| folder.join("podway-lab")),
            podway: podway.unwrap_or_else(|| folder.join("podway")),
        })
    }
}

/// The program that the environment variable `variable` names, if it is set.
fn named(variable: &str) -> Result<Option<PathBuf>> {
    let Some(path) = env::var_os(variable) else { return Ok(None) };
    let path = std::path::absolute(&path)?;
    ensure!(path.is_file(), "{variable} names {}, which is no file", path.display());
    Ok(Some(path))
}

/// The folder that cargo builds this profile into: where the running program itself lies.
fn target_folder() -> Result<PathBuf> {
    let program = env::current_exe().context("own path cannot be read")?;
    let folder = program.parent().context("own path has no folder")?;
    // Tests lie one level deeper, examples too.
    let nested = ["deps", "examples"].iter().any(|name| folder.ends_with(name));
    Ok(if nested { folder.parent().unwrap_or(folder) } else { folder }.to_path_buf())
}

fn build(packages: &[(&str, &str)], folder: &Path) -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args(["build", "--quiet"]);
    for (package, binary) in packages {
        command.args(["--package", package, "--bin", binary]);
    }
    if folder.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    let output = command.output().context("cargo cannot be started")?;
    if !output.status.success() {
        let names: Vec<_> = packages.iter().map(|(package, _)| *package).collect();
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("cargo cannot build {}:\n{text}", names.join(" and "));
    }
    Ok(())
}
