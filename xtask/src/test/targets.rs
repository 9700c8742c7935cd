//! Which test targets the workspace has, and to which tier each belongs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use cargo_metadata::{MetadataCommand, Target};

use super::{Netns, Tier};
use crate::bless;

/// The crate of the netns tier.
const NETNS_PACKAGE: &str = "podway-tests-netns";

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

    /// What to tell `cargo test` for a tier, or for all of them; one entry for each run of cargo.
    ///
    /// Always the whole workspace with its targets narrowed, not a package: so features stay the
    /// same and nothing is compiled twice.
    ///
    /// # Errors
    /// The tier asked for has no target.
    pub(super) fn arguments(&self, tier: Option<Tier>, netns: Netns) -> Result<Vec<Vec<String>>> {
        let with = |more: &[&str]| -> Vec<String> {
            std::iter::once("--workspace").chain(more.iter().copied()).map(str::to_owned).collect()
        };
        let tier = match (tier, netns) {
            (None, Netns::On) => return Ok(vec![with(&[])]),
            (None, Netns::Off) => return Ok(vec![with(&["--exclude", NETNS_PACKAGE])]),
            // Cargo takes `--doc` only alone.
            (Some(Tier::Unit), _) => return Ok(vec![with(&["--lib", "--bins"]), with(&["--doc"])]),
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
        Targets { netns: set(&["cluster_ip"]), others: set(&["golden_zone", "loopback"]) }
    }

    #[test]
    fn only_the_order_off_leaves_the_netns_crate_out_of_a_whole_run() {
        let whole =
            |netns| targets().arguments(None, netns).expect("a whole run is always possible");
        assert_eq!(whole(Netns::On), [["--workspace"]]);
        assert_eq!(whole(Netns::Off), [["--workspace", "--exclude", NETNS_PACKAGE]]);
    }

    #[test]
    fn one_tier_runs_its_own_targets_and_no_others() {
        let rows = [
            (Tier::Golden, "golden_zone"),
            (Tier::Integration, "loopback"),
            (Tier::Netns, "cluster_ip"),
        ];
        for (tier, name) in rows {
            let arguments = targets().arguments(Some(tier), Netns::On).expect("tier has a target");
            assert_eq!(arguments, [["--workspace", "--test", name]]);
        }
    }

    #[test]
    fn a_tier_without_targets_is_an_error_and_not_an_empty_success() {
        assert!(Targets::default().arguments(Some(Tier::Netns), Netns::On).is_err());
    }
}
