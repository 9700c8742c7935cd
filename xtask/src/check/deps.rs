//! Who may depend on whom, and what pure crates must never reach.
//!
//! Two rules. A crate may use only the crates of the workspace that its row of [`MAY_USE`] names,
//! so that data flows one way. A crate of [`PURE`] must not reach an I/O crate, even through
//! others: what it computes follows from its arguments. Tests are free: development dependencies
//! compose what they like.

use anyhow::Result;

use super::Finding;
use super::tree::{Crate, Tree};
use crate::process;

/// Crates that only compute.
pub(super) const PURE: &[&str] = &[
    "cluster/archive",
    "cluster/model",
    "dns/cache",
    "dns/corefile",
    "dns/plugin",
    "dns/sign",
    "dns/zone",
    "ebpf/abi",
    "ebpf/datapath",
    "proxy/plan",
];

/// Crates by which a program reaches files, sockets, the kernel or a runtime. A trailing `*`
/// stands for any rest of the name.
const IO_CRATES: &[&str] = &[
    "aya*",
    "hickory-server",
    "kube*",
    "mio",
    "netlink-*",
    "nftables",
    "notify*",
    "socket2",
    "tokio*",
];

/// Which crates of the workspace one crate may use.
#[derive(Debug, Clone, Copy)]
enum MayUse {
    /// Only these folders.
    Only(&'static [&'static str]),
    /// All: it composes the product or drives its tests.
    All,
}

/// One row for each crate, by folder. A crate without a row is a finding: adding one is a
/// decision about the architecture.
const MAY_USE: &[(&str, MayUse)] = &[
    ("cluster/archive", MayUse::Only(&["cluster/model"])),
    ("cluster/model", MayUse::Only(&[])),
    ("cluster/watch", MayUse::Only(&["cluster/archive", "cluster/model"])),
    ("dns/cache", MayUse::Only(&[])),
    ("dns/corefile", MayUse::Only(&["cluster/model"])),
    ("dns/plugin", MayUse::Only(&["dns/corefile"])),
    (
        "dns/server",
        MayUse::Only(&[
            "cluster/model",
            "dns/cache",
            "dns/corefile",
            "dns/plugin",
            "dns/sign",
            "dns/zone",
        ]),
    ),
    ("dns/sign", MayUse::Only(&[])),
    ("dns/zone", MayUse::Only(&["cluster/model"])),
    ("ebpf/abi", MayUse::Only(&[])),
    ("ebpf/backend", MayUse::Only(&["cluster/model", "ebpf/abi", "proxy/plan"])),
    ("ebpf/datapath", MayUse::Only(&["ebpf/abi"])),
    ("proxy/daemon", MayUse::All),
    ("proxy/nft", MayUse::Only(&["cluster/model", "proxy/plan"])),
    ("proxy/plan", MayUse::Only(&["cluster/model"])),
    // Snapshots reach the loop through the publisher of cluster/watch.
    ("proxy/sync", MayUse::Only(&["cluster/model", "cluster/watch", "proxy/nft", "proxy/plan"])),
    ("tests/bench", MayUse::All),
    ("tests/conformance", MayUse::All),
    // The lab plays the cluster and must not judge the product by the product's own code.
    ("tests/lab", MayUse::Only(&["tests/peers"])),
    ("tests/netns", MayUse::All),
    ("tests/peers", MayUse::Only(&[])),
    ("tests/synthetic", MayUse::Only(&["cluster/model"])),
    ("xtask", MayUse::All),
];

/// Finds every broken rule of this module.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for member in tree.crates() {
        findings.extend(forbidden_uses(member, tree.crates()));
        if PURE.contains(&member.folder.as_str()) {
            findings.extend(impurities(tree, member)?);
        }
    }
    Ok(findings)
}

/// Uses of crates of the workspace that the row of `member` does not name.
fn forbidden_uses(member: &Crate, crates: &[Crate]) -> Vec<Finding> {
    let row = MAY_USE.iter().find(|(folder, _)| member.folder == *folder);
    let allowed = match row {
        None => {
            let problem = "has no row in the table of who may use whom (xtask/src/check/deps.rs)";
            return vec![Finding::at(&member.folder, problem)];
        }
        Some((_, MayUse::All)) => return Vec::new(),
        Some((_, MayUse::Only(allowed))) => allowed,
    };
    crates
        .iter()
        .filter(|used| member.dependencies.contains(&used.name))
        .filter(|used| !allowed.contains(&used.folder.as_str()))
        .map(|used| Finding::at(&member.folder, format!("must not depend on {}", used.folder)))
        .collect()
}

/// Ways from a pure crate to an I/O crate, and a libc of its own.
fn impurities(tree: &Tree, member: &Crate) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if member.dependencies.contains("libc") {
        findings.push(Finding::at(&member.folder, "is pure and must not declare libc"));
    }
    // Not the resolved graph of `cargo metadata`: that has the features of all members together,
    // and would charge this crate with what another one switched on.
    let mut cargo = process::cargo(tree.root());
    cargo.args(["tree", "--edges", "normal", "--prefix", "depth", "--format", " {p}"]);
    let listing = process::stdout(cargo.args(["--package", &member.name]))?;
    findings.extend(
        ways_to_io(&listing)
            .into_iter()
            .map(|way| Finding::at(&member.folder, format!("is pure and must not reach {way}"))),
    );
    Ok(findings)
}

/// Ways to I/O crates in what `cargo tree` prints with depths: `0 a v1`, `1 b v2`.
fn ways_to_io(listing: &str) -> Vec<String> {
    let mut way: Vec<&str> = Vec::new();
    let mut ways = Vec::new();
    for line in listing.lines() {
        let mut words = line.split_whitespace();
        let depth = words.next().and_then(|depth| depth.parse::<usize>().ok());
        let (Some(depth), Some(name)) = (depth, words.next()) else { continue };
        way.truncate(depth);
        way.push(name);
        // A crate below another I/O crate is not one more fault.
        let above = way.len() - 1;
        if is_io(name) && !way.iter().take(above).any(|name| is_io(name)) {
            ways.push(format!("{name} ({})", way.join(" -> ")));
        }
    }
    ways
}

/// Whether a crate of this name does I/O.
fn is_io(name: &str) -> bool {
    IO_CRATES.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::planted;

    /// Folder, name, and dependencies as (name, path).
    type Planted<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// Problems found in a workspace of these crates.
    fn problems(crates: &[Planted<'_>]) -> Vec<String> {
        let folders: Vec<_> = crates.iter().map(|(folder, ..)| *folder).collect();
        let mut files = vec![("Cargo.toml".to_owned(), planted::root(&folders))];
        for (folder, name, dependencies) in crates {
            files.push((format!("{folder}/Cargo.toml"), planted::manifest(name, dependencies)));
            files.push((format!("{folder}/src/lib.rs"), String::new()));
        }
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let (_folder, tree) = planted::tree(&files);
        check(&tree).expect("check runs").iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_pure_crate_that_reaches_tokio_through_another_is_found_with_the_way() {
        let found = problems(&[
            ("dns/zone", "zone", &[("middle", "../../vendor/middle")]),
            ("vendor/middle", "middle", &[("tokio", "../tokio")]),
            ("vendor/tokio", "tokio", &[("socket2", "../socket2")]),
            ("vendor/socket2", "socket2", &[]),
        ]);
        let way = "dns/zone: is pure and must not reach tokio (zone -> middle -> tokio)";
        assert!(found.iter().any(|problem| problem == way), "{found:?}");
        assert!(!found.iter().any(|problem| problem.contains("reach socket2")), "{found:?}");
    }

    #[test]
    fn a_pure_crate_that_declares_libc_is_found() {
        let found = problems(&[
            ("dns/zone", "zone", &[("libc", "../../vendor/libc")]),
            ("vendor/libc", "libc", &[]),
        ]);
        assert!(found.contains(&"dns/zone: is pure and must not declare libc".to_owned()));
    }

    #[test]
    fn a_dependency_against_the_flow_is_found() {
        let found = problems(&[
            ("cluster/model", "model", &[("plan", "../../proxy/plan")]),
            ("proxy/plan", "plan", &[]),
            ("proxy/nft", "nft", &[("plan", "../plan")]),
        ]);
        assert_eq!(found, ["cluster/model: must not depend on proxy/plan"]);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = problems(&[("proxy/helpers", "helpers", &[])]);
        assert_eq!(
            found,
            ["proxy/helpers: has no row in the table of who may use whom \
              (xtask/src/check/deps.rs)"]
        );
    }

    #[test]
    fn a_crate_listed_again_after_an_io_crate_is_not_below_it() {
        let listing =
            "0 zone v0.1.0 (/x)\n1 a v1\n2 mio v1\n3 log v1\n1 log v1 (*)\n1 netlink-sys v1\n";
        assert_eq!(
            ways_to_io(listing),
            ["mio (zone -> a -> mio)", "netlink-sys (zone -> netlink-sys)"]
        );
    }

    #[test]
    fn every_pure_crate_has_a_row_that_names_only_pure_crates() {
        for folder in PURE {
            let row = MAY_USE.iter().find(|(listed, _)| listed == folder);
            let Some((_, MayUse::Only(allowed))) = row else { panic!("{folder} has no row") };
            assert!(
                allowed.iter().all(|used| PURE.contains(used)),
                "{folder} uses an impure crate"
            );
        }
    }
}
