//! Which test targets the workspace has, and to which tier each belongs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use cargo_metadata::{MetadataCommand, Target};

use super::{LeftOut, Tier};
use crate::bless;

/// The crate of the netns tier.
const NETNS_PACKAGE: &str = "podway-tests-netns";

/// Targets of that crate whose clients use Services, which run a second time with sockets carried by
/// eBPF.
///
/// Some are about eBPF alone and have it in the first run already; `tests/README.md` says of the others
/// why they are left out.
const ON_EBPF: [&str; 16] = [
    "addresses",
    "affinity",
    "cluster_ip",
    "endpoints",
    "flows",
    "manifests",
    "masquerade",
    "names",
    "node_local",
    "node_port",
    "node_servers",
    "policies",
    "resilience",
    "resolvers",
    "service_changes",
    "service_ranges",
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

/// The crate of the conformance tier.
const CONFORMANCE_PACKAGE: &str = "podway-tests-conformance";

/// Names of the targets in the `tests/` folders of crates.
#[derive(Debug, Default, Clone)]
pub(super) struct Targets {
    netns: BTreeSet<String>,
    conformance: BTreeSet<String>,
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
            let tier = match package.name.as_str() {
                NETNS_PACKAGE => &mut targets.netns,
                CONFORMANCE_PACKAGE => &mut targets.conformance,
                _ => &mut targets.others,
            };
            tier.extend(names);
        }
        Ok(targets)
    }

    /// Tier of the target in a `tests/` folder that became `program`.
    pub(super) fn tier(&self, program: &str) -> Tier {
        let prefix = bless::GOLDEN_TARGETS.trim_end_matches('*');
        if self.netns.contains(program) {
            Tier::Netns
        } else if self.conformance.contains(program) {
            Tier::Conformance
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
    pub(super) fn runs(&self, tier: Option<Tier>, left_out: LeftOut) -> Result<Vec<Run>> {
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
        let tier = match tier {
            None => {
                let out =
                    [(NETNS_PACKAGE, left_out.netns), (CONFORMANCE_PACKAGE, left_out.conformance)];
                let out = out.into_iter().filter(|(_, is_out)| *is_out);
                let more: Vec<_> = out.flat_map(|(package, _)| ["--exclude", package]).collect();
                let mut runs = vec![with(&more)];
                if !left_out.netns {
                    runs.push(on_ebpf()?);
                }
                return Ok(runs);
            }
            // Cargo takes `--doc` only alone.
            Some(Tier::Unit) => return Ok(vec![with(&["--lib", "--bins"]), with(&["--doc"])]),
            Some(Tier::Ebpf) => return Ok(vec![on_ebpf()?]),
            Some(tier @ (Tier::Golden | Tier::Integration | Tier::Netns | Tier::Conformance)) => {
                tier
            }
        };
        let all = self.netns.iter().chain(&self.conformance).chain(&self.others);
        let names = all.filter(|name| self.tier(name) == tier);
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
        Targets {
            netns: set(&ON_EBPF),
            conformance: set(&["api_server"]),
            others: set(&["golden_zone", "loopback"]),
        }
    }

    fn words(tier: Option<Tier>, left_out: LeftOut) -> Vec<(String, Mode)> {
        let runs = targets().runs(tier, left_out).expect("there are such targets");
        runs.into_iter().map(|run| (run.arguments.join(" "), run.mode)).collect()
    }

    fn on_ebpf() -> String {
        let chosen = ON_EBPF.map(|name| format!(" --test {name}"));
        format!("--workspace{}", chosen.concat())
    }

    #[test]
    fn only_the_order_off_leaves_a_crate_out_of_a_whole_run() {
        let whole = |netns, conformance| words(None, LeftOut { netns, conformance });
        assert_eq!(
            whole(false, false),
            [("--workspace".to_owned(), Mode::Default), (on_ebpf(), Mode::Ebpf)],
            "suites about traffic run twice"
        );
        let no_api_server = format!("--workspace --exclude {CONFORMANCE_PACKAGE}");
        assert_eq!(whole(false, true), [(no_api_server, Mode::Default), (on_ebpf(), Mode::Ebpf)]);
        let no_netns =
            format!("--workspace --exclude {NETNS_PACKAGE} --exclude {CONFORMANCE_PACKAGE}");
        assert_eq!(whole(true, true), [(no_netns, Mode::Default)]);
    }

    #[test]
    fn one_tier_runs_its_own_targets_and_no_others() {
        let rows = [
            (Tier::Golden, "golden_zone"),
            (Tier::Integration, "loopback"),
            (Tier::Conformance, "api_server"),
        ];
        for (tier, name) in rows {
            let expected = format!("--workspace --test {name}");
            assert_eq!(words(Some(tier), LeftOut::default()), [(expected, Mode::Default)]);
        }
        assert_eq!(words(Some(Tier::Netns), LeftOut::default()), [(on_ebpf(), Mode::Default)]);
        assert_eq!(words(Some(Tier::Ebpf), LeftOut::default()), [(on_ebpf(), Mode::Ebpf)]);
    }

    #[test]
    fn a_tier_without_targets_is_an_error_and_not_an_empty_success() {
        for tier in [Tier::Netns, Tier::Ebpf, Tier::Conformance] {
            assert!(Targets::default().runs(Some(tier), LeftOut::default()).is_err());
        }
    }
}
