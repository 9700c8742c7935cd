//! The programs that labs run, and where a build has left them.
//!
//! A lab builds what nobody names to it, with the features of its two packages alone: after a build of
//! the workspace that is many dependencies once more. So whoever has built them names them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;
use cargo_metadata::MetadataCommand;

use crate::process;

/// A program that labs run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    name: &'static str,
    /// The package that has it.
    pub(crate) package: &'static str,
    /// The variable that names it to labs.
    variable: &'static str,
}

/// The lab's own program.
pub(crate) const LAB: Program =
    Program { name: "podway-lab", package: "podway-tests-lab", variable: "PODWAY_LAB_BIN" };

/// The daemon.
pub(crate) const DAEMON: Program =
    Program { name: "podway", package: "podway-proxy-daemon", variable: "PODWAY_BIN" };

impl Program {
    /// Whether the environment names one.
    pub(crate) fn is_named(self) -> bool {
        env::var_os(self.variable).is_some()
    }
}

/// Where builds of `profile` (`debug`, `release`) leave programs.
pub(crate) fn folder(profile: &str) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().current_dir(process::root()).no_deps().exec()?;
    Ok(metadata.target_directory.join(profile).into_std_path_buf())
}

/// What names the programs in `folder` to labs, but for those that the environment names.
pub(crate) fn named(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let unnamed = [LAB, DAEMON].into_iter().filter(|program| !program.is_named());
    unnamed.map(|program| (program.variable, folder.join(program.name))).collect()
}
