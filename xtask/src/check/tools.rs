//! The checks that are cargo's own: format, clippy, rustdoc. Warnings are errors in all of them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Outcome;
use crate::process;

/// `cargo fmt` in the mode that only lists the files it would change.
pub(super) fn fmt(root: &Path) -> Result<Outcome> {
    let mut cargo = process::cargo(root);
    cargo.args(["fmt", "--all", "--check", "--", "--files-with-diff", "--color", "never"]);
    Ok(match run(&mut cargo)? {
        Outcome::Failed(report) => Outcome::Failed(format!("{report}to be run: cargo fmt --all")),
        outcome @ (Outcome::Passed | Outcome::NotRun(_)) => outcome,
    })
}

/// Clippy with the lints of the workspace over every target, tests included.
pub(super) fn clippy(root: &Path) -> Result<Outcome> {
    let mut cargo = process::cargo(root);
    cargo.args(["clippy", "--quiet", "--keep-going", "--workspace", "--all-targets"]);
    run(cargo.args(["--", "-D", "warnings"]))
}

/// Rustdoc: broken links and bad markup in doc comments, private items included.
pub(super) fn rustdoc(root: &Path) -> Result<Outcome> {
    let mut cargo = process::cargo(root);
    cargo.args(["doc", "--quiet", "--keep-going", "--workspace", "--no-deps"]);
    run(cargo.arg("--document-private-items").env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs a command whose exit code is the verdict and whose output is the report.
fn run(command: &mut Command) -> Result<Outcome> {
    let output = command.output().context("cargo cannot be started")?;
    if output.status.success() {
        return Ok(Outcome::Passed);
    }
    let mut report = String::from_utf8_lossy(&output.stdout).into_owned();
    report.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Outcome::Failed(report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::planted;

    #[test]
    fn badly_formatted_code_fails_and_its_file_is_named() {
        let (_folder, tree) = planted::tree(&[
            ("Cargo.toml", &planted::root(&["dns/zone"])),
            ("dns/zone/Cargo.toml", &planted::manifest("zone", &[])),
            ("dns/zone/src/lib.rs", "fn   f( ) {}\n"),
        ]);
        let outcome = fmt(tree.root()).expect("cargo fmt runs");
        assert!(matches!(outcome, Outcome::Failed(report) if report.contains("lib.rs")));
    }
}
