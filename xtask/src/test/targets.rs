//! Which test targets the workspace has, and to which tier each belongs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use cargo_metadata::{MetadataCommand, Target};

use super::{Netns, Tier};
use crate::bless;

/// The crate of the netns tier.
const NETNS_PACKAGE: &str = "podway-tests-netns";

/// Targets of that crate about traffic, which run a second time with sockets carried by eBPF.
///
/// `sockets` is about eBPF alone and has it in the first run already; what the others test is the
/// same in both modes, or not touched by either.
const ON_EBPF: [&str; 11] = [
    "addresses",
    "affinity",
    "cluster_ip",
    "endpoints",
    "flows",
    "masquerade",
    "node_local",
    "node_port",
    "policies",
    "resilience",
    "service_changes",
];

/// One run of cargo.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// What `cargo test` is told.
    pub(super) arguments: Vec<String>,
    /// How labs that do not choose send packets to endpoints.
    pub(super) mode: Mode,
}

/// How labs that do not choose send packets to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As the environment has it.
    Default,
    /// By eBPF at the socket.
    Ebpf,
}

/// Names of the targets in the `tests/` folders of crates.
#[derive(Debug, Default, Clone)]
pub(super) struct Targets {
    netns: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Targets {
    /// Asks cargo which targets there are.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
        let mut targets = Self::default();
        for package in &metadata.packages {
            let tests = package.targets.iter().filter(|target| Target::is_test(target));
            let names = tests.map(|target| target.name.clone());
            if *package.name == NETNS_PACKAGE {
                targets.netns.extend(names);
            } else {
                targets.others.extend(names);
            }
        }
        Ok(targets)
    }

    /// Tier of the target in a `tests/` folder that became `program`.
    pub(super) fn tier(&self, program: &str) -> Tier {
        let prefix = bless::GOLDEN_TARGETS.trim_end_matches('*');
        if self.netns.contains(program) {
            Tier::Netns
        } else if program.starts_with(prefix) {
            Tier::Golden
        } else {
            Tier::Integration
        }
    }

    /// The runs of cargo for a tier, or for all of them.
    ///
    /// Always the whole workspace with its targets narrowed, not a package: so features stay the
    /// same and nothing is compiled twice.
    ///
    /// # Errors
    /// The tier asked for has no target.
    pub(super) fn runs(&self, tier: Option<Tier>, netns: Netns) -> Result<Vec<Run>> {
        let run = |mode: Mode, more: &[&str]| {
            let words = std::iter::once("--workspace").chain(more.iter().copied());
            Run { arguments: words.map(str::to_owned).collect(), mode }
        };
        let with = |more: &[&str]| run(Mode::Default, more);
        let on_ebpf = || -> Result<Run> {
            if let Some(unknown) = ON_EBPF.iter().find(|name| !self.netns.contains(**name)) {
                bail!("{NETNS_PACKAGE} has no test target {unknown}, which is to run on eBPF");
            }
            let chosen: Vec<_> = ON_EBPF.iter().flat_map(|name| ["--test", name]).collect();
            Ok(run(Mode::Ebpf, &chosen))
        };
        let tier = match (tier, netns) {
            (None, Netns::On) => return Ok(vec![with(&[]), on_ebpf()?]),
            (None, Netns::Off) => return Ok(vec![with(&["--exclude", NETNS_PACKAGE])]),
            // Cargo takes `--doc` only alone.
            (Some(Tier::Unit), _) => return Ok(vec![with(&["--lib", "--bins"]), with(&["--doc"])]),
            (Some(Tier::Ebpf), _) => return Ok(vec![on_ebpf()?]),
            (Some(tier @ (Tier::Golden | Tier::Integration | Tier::Netns)), _) => tier,
        };
        let names = self.netns.iter().chain(&self.others).filter(|name| self.tier(name) == tier);
        let chosen: Vec<&str> = names.flat_map(|name| ["--test", name]).collect();
        if chosen.is_empty() {
            bail!("the workspace has no test target of the tier {tier:?}");
        }
        Ok(vec![with(&chosen)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Targets {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Targets { netns: set(&ON_EBPF), others: set(&["golden_zone", "loopback"]) }
    }

    fn words(tier: Option<Tier>, netns: Netns) -> Vec<(Vec<String>, Mode)> {
        let runs = targets().runs(tier, netns).expect("there are such targets");
        runs.into_iter().map(|run| (run.arguments, run.mode)).collect()
    }

    fn on_ebpf() -> Vec<String> {
        let chosen = ON_EBPF.iter().flat_map(|name| ["--test", name]);
        std::iter::once("--workspace").chain(chosen).map(str::to_owned).collect()
    }

    #[test]
    fn only_the_order_off_leaves_the_netns_crate_out_of_a_whole_run() {
        let whole = vec!["--workspace".to_owned()];
        assert_eq!(
            words(None, Netns::On),
            [(whole, Mode::Default), (on_ebpf(), Mode::Ebpf)],
            "suites about traffic run twice"
        );
        let without = ["--workspace", "--exclude", NETNS_PACKAGE].map(str::to_owned).to_vec();
        assert_eq!(words(None, Netns::Off), [(without, Mode::Default)]);
    }

    #[test]
    fn one_tier_runs_its_own_targets_and_no_others() {
        for (tier, name) in [(Tier::Golden, "golden_zone"), (Tier::Integration, "loopback")] {
            let expected = ["--workspace", "--test", name].map(str::to_owned).to_vec();
            assert_eq!(words(Some(tier), Netns::On), [(expected, Mode::Default)]);
        }
        assert_eq!(words(Some(Tier::Netns), Netns::On), [(on_ebpf(), Mode::Default)]);
        assert_eq!(words(Some(Tier::Ebpf), Netns::On), [(on_ebpf(), Mode::Ebpf)]);
    }

    #[test]
    fn a_tier_without_targets_is_an_error_and_not_an_empty_success() {
        for tier in [Tier::Netns, Tier::Ebpf] {
            assert!(Targets::default().runs(Some(tier), Netns::On).is_err());
        }
    }
}
