//! `cargo xtask check`: every check that needs neither privileges nor a kernel.
//!
//! All steps run, each prints one line with its time, and all findings stand together at the
//! end. A step that cannot run says `NOT RUN` and why; it never looks like a pass.
#![expect(clippy::print_stdout, reason = "the command reports to a person")]

mod boundaries;
mod deny;
mod deps;
mod docs;
mod lints;
mod object;
mod size;
mod tokens;
mod tools;
mod tree;

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use crate::process;
use tree::Tree;

/// Arguments of `cargo xtask check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Steps to run; all when none is named.
    #[arg(value_enum)]
    steps: Vec<Step>,
}

/// One check, in the order in which they run: the fast ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// `cargo fmt --check`.
    Fmt,
    /// Which crate depends on which, and what pure crates reach.
    Deps,
    /// Pure modules name no crate that does I/O.
    Boundaries,
    /// Every crate inherits the lints of the workspace.
    Lints,
    /// Links, READMEs and the crate map.
    Docs,
    /// Length of source files.
    Size,
    /// The eBPF object was made from the sources that are there.
    Object,
    /// Licences, banned crates and sources, by cargo-deny.
    Deny,
    /// Known vulnerabilities, by cargo-deny.
    Advisories,
    /// `cargo clippy` with warnings denied.
    Clippy,
    /// `cargo doc` with warnings denied.
    Rustdoc,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It ran and found nothing.
    Passed,
    /// It could not run here, for this reason.
    NotRun(String),
    /// It found this.
    Failed(String),
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// A file, a file and line, or a crate folder.
    place: String,
    /// What is wrong and what would be right.
    problem: String,
}

impl Finding {
    /// A finding about a whole file or folder.
    fn at(place: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { place: place.to_string(), problem: problem.into() }
    }

    /// A finding about one line.
    fn at_line(file: impl fmt::Display, line: usize, problem: impl Into<String>) -> Self {
        Self { place: format!("{file}:{line}"), problem: problem.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)
    }
}

impl From<Vec<Finding>> for Outcome {
    fn from(mut findings: Vec<Finding>) -> Self {
        if findings.is_empty() {
            return Self::Passed;
        }
        findings.sort();
        Self::Failed(findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n"))
    }
}

impl Step {
    /// The name by which a person asks for the step.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Runs the step on `tree`.
    ///
    /// # Errors
    /// The step cannot look at the tree at all (an unreadable file, cargo missing).
    fn run(self, tree: &Tree) -> Result<Outcome> {
        match self {
            Self::Fmt => tools::fmt(tree.root()),
            Self::Clippy => tools::clippy(tree.root()),
            Self::Rustdoc => tools::rustdoc(tree.root()),
            Self::Deny => deny::policy(tree.root()),
            Self::Advisories => deny::advisories(tree.root()),
            Self::Deps => deps::check(tree).map(Outcome::from),
            Self::Boundaries => boundaries::check(tree).map(Outcome::from),
            Self::Lints => lints::check(tree).map(Outcome::from),
            Self::Docs => docs::check(tree).map(Outcome::from),
            Self::Size => size::check(tree).map(Outcome::from),
            Self::Object => object::check(tree.root()),
        }
    }
}

/// Runs the steps asked for and reports them.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let tree = Tree::read(&process::root())?;
    let steps = if args.steps.is_empty() { Step::value_variants() } else { &args.steps };
    let mut not_run = Vec::new();
    let mut failures = Vec::new();
    for &step in steps {
        let started = Instant::now();
        let outcome = step.run(&tree).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let verdict = match outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::NotRun(reason) => {
                not_run.push(step.name());
                format!("NOT RUN: {reason}")
            }
            Outcome::Failed(report) => {
                failures.push((step, report));
                "FAILED".to_owned()
            }
        };
        println!("{:<11}{:>7.1} s  {verdict}", step.name(), started.elapsed().as_secs_f64());
    }
    for (step, report) in &failures {
        println!("\n--- {}\n{}", step.name(), report.trim_end());
    }
    println!("\n{}", closing_line(steps.len(), &failures, &not_run));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The last line: what was found, and what was not looked at.
fn closing_line(steps: usize, failures: &[(Step, String)], not_run: &[String]) -> String {
    let passed = steps - failures.len() - not_run.len();
    let mut line = format!("check: {passed} of {steps} steps passed");
    if !failures.is_empty() {
        let names: Vec<_> = failures.iter().map(|(step, _)| step.name()).collect();
        line.push_str(&format!("; FAILED: {}", names.join(", ")));
    }
    if !not_run.is_empty() {
        line.push_str(&format!("; NOT RUN: {}", not_run.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_listed_in_order_of_place() {
        let outcome =
            Outcome::from(vec![Finding::at_line("b.rs", 2, "two"), Finding::at("a.rs", "one")]);
        assert_eq!(outcome, Outcome::Failed("a.rs: one\nb.rs:2: two".to_owned()));
        assert_eq!(Outcome::from(Vec::new()), Outcome::Passed);
    }

    #[test]
    fn closing_line_names_what_failed_and_what_did_not_run() {
        let failures = [(Step::Clippy, "warning".to_owned())];
        let line = closing_line(3, &failures, &["advisories".to_owned()]);
        assert_eq!(line, "check: 1 of 3 steps passed; FAILED: clippy; NOT RUN: advisories");
        assert_eq!(closing_line(2, &[], &[]), "check: 2 of 2 steps passed");
    }
}
