//! The work tree as the checks see it: its files and its crates, read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::process;

/// Files and crates of one work tree. Paths are relative to its root.
#[derive(Debug)]
pub(super) struct Tree {
    root: Utf8PathBuf,
    files: BTreeSet<Utf8PathBuf>,
    crates: Vec<Crate>,
}

/// One crate of the workspace, as its manifest declares it.
#[derive(Debug)]
pub(super) struct Crate {
    /// Package name.
    pub(super) name: String,
    /// Folder, for example `cluster/model`.
    pub(super) folder: Utf8PathBuf,
    /// Packages that the built crate needs: normal and build dependencies, not those of tests.
    pub(super) dependencies: BTreeSet<String>,
}

impl Tree {
    /// Reads what git would commit under `root`, and what cargo says of the workspace there.
    ///
    /// # Errors
    /// `root` is no git work tree, or its manifests do not parse.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let root = Utf8PathBuf::try_from(root.canonicalize()?)?;
        let mut git = Command::new("git");
        git.current_dir(&root);
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listing = process::stdout(&mut git).context("list the files of the work tree")?;
        let files = listing
            .split_terminator('\0')
            .map(Utf8PathBuf::from)
            // Deleted, but not yet committed as such.
            .filter(|file| root.join(file).exists())
            .collect();
        let crates = read_crates(&root)?;
        Ok(Self { root, files, crates })
    }

    /// Absolute path of the tree.
    pub(super) fn root(&self) -> &Path {
        self.root.as_std_path()
    }

    /// The crates of the workspace, by folder.
    pub(super) fn crates(&self) -> &[Crate] {
        &self.crates
    }

    /// Whether `path` is a file of the tree or a folder that holds one; the root is a folder.
    pub(super) fn has(&self, path: &Utf8Path) -> bool {
        let below = self.files.range(path.to_owned()..).next();
        below.is_some_and(|file| file.starts_with(path))
    }

    /// Files with this extension, below `folder` (empty: the whole tree).
    pub(super) fn files<'a>(
        &'a self,
        folder: &'a Utf8Path,
        extension: &'a str,
    ) -> impl Iterator<Item = &'a Utf8Path> {
        self.files
            .iter()
            .map(Utf8PathBuf::as_path)
            .filter(move |file| file.starts_with(folder) && file.extension() == Some(extension))
    }

    /// Text of one file of the tree.
    pub(super) fn text(&self, file: &Utf8Path) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("read {file}"))
    }
}

/// Asks cargo for the members of the workspace and what each declares.
fn read_crates(root: &Utf8Path) -> Result<Vec<Crate>> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let mut crates = Vec::new();
    for package in metadata.packages {
        let manifest = package.manifest_path.strip_prefix(root)?;
        let folder = manifest.parent().unwrap_or(Utf8Path::new("")).to_owned();
        let dependencies = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.clone())
            .collect();
        crates.push(Crate { name: package.name.to_string(), folder, dependencies });
    }
    crates.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(crates)
}

/// A work tree made for one test.
#[cfg(test)]
pub(super) mod planted {
    use super::{Path, Tree, fs};

    /// Writes `files` to a fresh folder under git and reads it back as a tree.
    pub(crate) fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (path, text) in files {
            write(folder.path(), path, text);
        }
        let status = std::process::Command::new("git")
            .args(["init", "--quiet"])
            .current_dir(folder.path())
            .status()
            .expect("git runs");
        assert!(status.success());
        let tree = Tree::read(folder.path()).expect("planted tree is read");
        (folder, tree)
    }

    /// Writes one file and the folders above it.
    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folder is made");
        fs::write(path, text).expect("file is written");
    }

    /// A manifest of a workspace with these folders of crates.
    pub(crate) fn root(members: &[&str]) -> String {
        format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\
             [workspace.lints.rust]\nunsafe_code = \"deny\"\n"
        )
    }

    /// A manifest of crate `name` that depends on the crates at `paths`.
    pub(crate) fn manifest(name: &str, paths: &[(&str, &str)]) -> String {
        let mut text = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [lints]\nworkspace = true\n[dependencies]\n"
        );
        for (dependency, path) in paths {
            text.push_str(&format!("{dependency} = {{ path = \"{path}\" }}\n"));
        }
        text
    }

    #[test]
    fn folders_and_files_are_found_and_prefixes_of_names_are_not() {
        let (_folder, tree) = tree(&[
            ("Cargo.toml", &root(&["dns/zone"])),
            ("dns/zone/Cargo.toml", &manifest("zone", &[])),
            ("dns/zone/src/lib.rs", ""),
        ]);
        for present in ["", "dns", "dns/zone", "dns/zone/src/lib.rs"] {
            assert!(tree.has(present.into()), "{present} is there");
        }
        for absent in ["dn", "dns/zon", "dns/zone/src/lib", "proxy"] {
            assert!(!tree.has(absent.into()), "{absent} is not there");
        }
        assert_eq!(tree.crates()[0].folder, "dns/zone");
    }
}
