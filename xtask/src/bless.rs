//! Rewrites golden files: the golden tests run with `PODWAY_BLESS=1` and store what they see.
//!
//! A golden test is a test target whose name begins with `golden`. It compares, and only when
//! the variable is set does it write. Nothing else in the tree may change a golden file.
#![expect(clippy::print_stdout, reason = "the command reports to a person")]

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::process;

/// Name pattern of the test targets that compare with golden files.
pub(crate) const GOLDEN_TARGETS: &str = "golden*";

/// Runs the golden tests with the order to write, then shows which files changed.
pub(crate) fn run() -> Result<ExitCode> {
    let root = process::root();
    let status = process::cargo(&root)
        .args(["test", "--workspace", "--test", GOLDEN_TARGETS])
        .env("PODWAY_BLESS", "1")
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        println!("bless: failed; a golden test reported more than a difference");
        return Ok(ExitCode::FAILURE);
    }
    let mut git = Command::new("git");
    git.current_dir(&root).args(["status", "--short", "--", "*golden*"]);
    let changed = process::stdout(&mut git)?;
    if changed.is_empty() {
        println!("bless: every golden file already says what the code does");
    } else {
        print!("bless: changed, to be read with `git diff` before they are committed:\n{changed}");
    }
    Ok(ExitCode::SUCCESS)
}
