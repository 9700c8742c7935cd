//! Licences, banned crates, sources and advisories, judged by cargo-deny with `deny.toml`.
//!
//! No part of it is written again here: cargo-deny compiles in about two minutes on two cores,
//! once per machine, and reading licence expressions and advisories is its trade. Advisories are
//! a step of their own because they alone need a database from the network; where that cannot
//! be fetched the step says `NOT RUN`, while licences, bans and sources are still enforced.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Outcome;
use crate::process;

/// How cargo-deny is installed; `.ci/run` uses the same command.
const INSTALL: &str = "cargo install --locked cargo-deny@0.20.2";

/// What cargo-deny prints when it has no advisories to judge by.
const NO_DATABASE: &str = "failed to fetch advisory database";

/// Licences, bans and sources: needs no network.
pub(super) fn policy(root: &Path) -> Result<Outcome> {
    let (passed, report) = deny(root, &["licenses", "bans", "sources"])?;
    Ok(if passed { Outcome::Passed } else { Outcome::Failed(report) })
}

/// Vulnerabilities, and crates that were yanked or are no longer maintained.
pub(super) fn advisories(root: &Path) -> Result<Outcome> {
    let (passed, report) = deny(root, &["advisories"])?;
    Ok(advisories_outcome(passed, report))
}

/// Tells findings from a database that could not be fetched.
fn advisories_outcome(passed: bool, report: String) -> Outcome {
    if passed {
        Outcome::Passed
    } else if report.contains(NO_DATABASE) {
        Outcome::NotRun("the advisory database cannot be fetched from here".to_owned())
    } else {
        Outcome::Failed(report)
    }
}

/// Runs cargo-deny: whether it passed, and what it wrote.
///
/// # Errors
/// cargo-deny is not installed.
fn deny(root: &Path, checks: &[&str]) -> Result<(bool, String)> {
    let mut cargo = process::cargo(root);
    cargo.args(["deny", "--workspace", "--log-level", "error", "check"]).args(checks);
    let output = cargo.output().context("cargo cannot be started")?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    if report.contains("no such command: `deny`") {
        bail!("cargo-deny is not installed: run `{INSTALL}` (about two minutes, once)");
    }
    Ok((output.status.success(), report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_database_is_not_run_and_an_advisory_is_a_failure() {
        let missing = format!("[ERROR] {NO_DATABASE} https://example.invalid: no route\n");
        assert!(matches!(advisories_outcome(false, missing), Outcome::NotRun(_)));
        let found = "error[vulnerability]: use after free\n".to_owned();
        assert_eq!(advisories_outcome(false, found.clone()), Outcome::Failed(found));
        assert_eq!(advisories_outcome(true, String::new()), Outcome::Passed);
    }
}
