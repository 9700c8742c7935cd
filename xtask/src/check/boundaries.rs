//! Purity inside a crate: modules that only compute do not name the crate that does I/O.
//!
//! Cargo sees crates, not modules, so this reads the sources. Where a crate mixes both kinds,
//! the table says which modules are its edge.

use anyhow::Result;
use cargo_metadata::camino::Utf8Path;

use super::tokens;
use super::tree::Tree;
use super::{Finding, deps};

/// What the modules of one crate must not name, and which modules are excused.
#[derive(Debug)]
struct Boundary {
    /// Folder of the crate.
    folder: &'static str,
    /// Crates that only the edge may name.
    names: &'static [&'static str],
    /// The modules that do the I/O; their submodules with them.
    edge: &'static [&'static str],
}

/// Crates of mixed purity. Pure crates need no row: [`deps::PURE`] has them.
const BOUNDARIES: &[Boundary] = &[
    // Encoding a transaction is pure; the socket and the two modules that talk over it are not.
    Boundary {
        folder: "proxy/nft",
        names: &["NetfilterSocket", "netlink_sys", "nix", "socket2", "tokio"],
        edge: &["kernel", "monitor", "socket"],
    },
    // What is written is decided without a kernel; loading, trying out and writing are not.
    Boundary {
        folder: "ebpf/backend",
        names: &["aya", "libc", "netlink_sys", "nix", "rustix"],
        edge: &[
            "destroy", "detect", "events", "load", "maps", "netns", "opt_out", "sampler", "shared",
            "syscall", "trial",
        ],
    },
];

/// A pure crate may reach libc through a library, but itself has no business with system calls.
const LIBC: &[&str] = &["libc"];

/// Finds code of pure modules that names an I/O crate.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for boundary in BOUNDARIES {
        findings.extend(cross(tree, boundary)?);
    }
    for folder in deps::PURE {
        findings.extend(cross(tree, &Boundary { folder, names: LIBC, edge: &[] })?);
    }
    Ok(findings)
}

/// Finds where one crate crosses its boundary.
fn cross(tree: &Tree, boundary: &Boundary) -> Result<Vec<Finding>> {
    let sources = Utf8Path::new(boundary.folder).join("src");
    let mut findings = Vec::new();
    for file in tree.files(&sources, "rs") {
        if is_edge(file.strip_prefix(&sources)?, boundary.edge) {
            continue;
        }
        let source = tokens::parse(file, &tree.text(file)?)?;
        for (line, name) in tokens::lines_naming(source, boundary.names) {
            findings.push(Finding::at_line(file, line, rule(name, boundary.edge)));
        }
    }
    Ok(findings)
}

/// Whether a file, relative to `src`, belongs to one of the edge modules.
fn is_edge(file: &Utf8Path, edge: &[&str]) -> bool {
    let module = file.components().next().map(|part| part.as_str()).unwrap_or_default();
    edge.contains(&module.strip_suffix(".rs").unwrap_or(module))
}

/// The rule that naming `name` broke.
fn rule(name: &str, edge: &[&str]) -> String {
    if edge.is_empty() {
        format!("names {name}; nothing in this crate may")
    } else {
        format!("names {name}; only these modules may: {}", edge.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::planted;

    #[test]
    fn a_pure_module_that_opens_a_socket_is_found_with_its_line() {
        let opens = "//! Renders.\n\nuse netlink_sys::Socket;\n";
        let (_folder, tree) = planted::tree(&[
            ("Cargo.toml", &planted::root(&["proxy/nft"])),
            ("proxy/nft/Cargo.toml", &planted::manifest("nft", &[])),
            ("proxy/nft/src/lib.rs", "mod kernel;\nmod monitor;\nmod render;\n"),
            ("proxy/nft/src/kernel.rs", opens),
            ("proxy/nft/src/monitor/socket.rs", opens),
            ("proxy/nft/src/render.rs", opens),
            ("proxy/nft/src/render/kernel.rs", opens),
        ]);
        let problem = "names netlink_sys; only these modules may: kernel, monitor, socket";
        assert_eq!(
            check(&tree).expect("check runs"),
            [
                Finding::at_line("proxy/nft/src/render/kernel.rs", 3, problem),
                Finding::at_line("proxy/nft/src/render.rs", 3, problem),
            ]
        );
    }

    #[test]
    fn a_pure_crate_that_names_libc_through_a_library_is_found() {
        let (_folder, tree) = planted::tree(&[
            ("Cargo.toml", &planted::root(&["dns/zone"])),
            ("dns/zone/Cargo.toml", &planted::manifest("zone", &[])),
            ("dns/zone/src/lib.rs", "fn pid() -> i32 { nix::libc::getpid() }\n"),
        ]);
        assert_eq!(
            check(&tree).expect("check runs"),
            [Finding::at_line("dns/zone/src/lib.rs", 1, "names libc; nothing in this crate may")]
        );
    }
}
