//! Every manifest with a package inherits the lints of the workspace.
//!
//! A crate without the two lines compiles, but under no rule of the house.

use anyhow::{Context, Result};

use super::Finding;
use super::tree::Tree;

/// Finds manifests without `[lints] workspace = true`, members of the workspace or not.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.files("".as_ref(), "toml").filter(|file| file.ends_with("Cargo.toml")) {
        let manifest: toml::Table =
            tree.text(file)?.parse().with_context(|| format!("{file}: no TOML"))?;
        if manifest.contains_key("package") && !inherits_lints(&manifest) {
            findings.push(Finding::at(file, "lacks `[lints] workspace = true`"));
        }
    }
    Ok(findings)
}

/// Whether the manifest takes its lints from the workspace.
fn inherits_lints(manifest: &toml::Table) -> bool {
    let lints = manifest.get("lints").and_then(toml::Value::as_table);
    lints.and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::planted;

    #[test]
    fn a_crate_without_the_house_lints_is_found() {
        let package = "[package]\nname = \"free\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        let (_folder, tree) = planted::tree(&[
            ("Cargo.toml", &planted::root(&["dns/zone", "free"])),
            ("dns/zone/Cargo.toml", &planted::manifest("zone", &[])),
            ("dns/zone/src/lib.rs", ""),
            ("free/Cargo.toml", &format!("{package}[lints.rust]\nunsafe_code = \"deny\"\n")),
            ("free/src/lib.rs", ""),
        ]);
        assert_eq!(
            check(&tree).expect("check runs"),
            [Finding::at("free/Cargo.toml", "lacks `[lints] workspace = true`")]
        );
    }
}
