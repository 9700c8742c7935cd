//! Which sources the committed object was made from: a record beside it, which every check compares.
//!
//! Compiling again is the proof, and CI does it; the record tells in a moment, on any machine, that
//! sources changed and nobody compiled.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{FOLDER, OBJECT};

/// The record, in the folder of the programs.
pub(super) const RECORD: &str = "podway-ebpf.sha256";

/// What the object is made from, in the root; folders with all that is in them.
const SOURCES: [&str; 9] = [
    "rust-toolchain.toml",
    "ebpf/prog/Cargo.toml",
    "ebpf/prog/Cargo.lock",
    "ebpf/prog/rust-toolchain.toml",
    "ebpf/prog/src",
    "ebpf/abi/Cargo.toml",
    "ebpf/abi/src",
    "ebpf/datapath/Cargo.toml",
    "ebpf/datapath/src",
];

/// Writes the record of the sources and of the object that they gave.
pub(super) fn write(root: &Path) -> Result<()> {
    let file = root.join(FOLDER).join(RECORD);
    fs::write(&file, text(root)?).with_context(|| file.display().to_string())
}

/// What of sources and object is not as it is recorded; nothing when all is.
///
/// # Errors
/// A source or the object cannot be read.
pub(crate) fn difference(root: &Path) -> Result<Option<String>> {
    let recorded = fs::read_to_string(root.join(FOLDER).join(RECORD)).unwrap_or_default();
    let now = text(root)?;
    let differs = now.lines().filter(|line| !recorded.lines().any(|one| one == *line));
    let names: Vec<_> = differs.filter_map(|line| line.split_whitespace().next_back()).collect();
    Ok((!names.is_empty()).then(|| names.join(" and ")))
}

/// A line for the sources and one for the object, as sha256sum(1) has them.
fn text(root: &Path) -> Result<String> {
    let mut files = BTreeSet::new();
    for source in SOURCES {
        gather(&root.join(source), &mut files)?;
    }
    let mut sources = Sha256::new();
    for file in files {
        let content = fs::read(&file).with_context(|| file.display().to_string())?;
        // Names and lengths, so that nothing can move from one file to another unseen.
        sources.update(file.strip_prefix(root)?.display().to_string());
        sources.update(u64::try_from(content.len())?.to_le_bytes());
        sources.update(content);
    }
    let object = root.join(FOLDER).join(OBJECT);
    let object = fs::read(&object).with_context(|| object.display().to_string())?;
    Ok(format!("{}  sources\n{}  object\n", hex(sources), hex(Sha256::new_with_prefix(object))))
}

/// `path`, or the files below it.
fn gather(path: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.insert(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        gather(&entry?.path(), files)?;
    }
    Ok(())
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, octet| {
        // Writing to a string cannot fail.
        write!(text, "{octet:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_source_and_changed_object_are_told_apart() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        for source in SOURCES {
            let path = root.join(source);
            let file = if source.ends_with("src") { path.join("lib.rs") } else { path };
            fs::create_dir_all(file.parent().expect("parent")).expect("folder");
            fs::write(file, source).expect("file");
        }
        let object = root.join(FOLDER).join(OBJECT);
        fs::write(&object, "object").expect("file");
        let found = || difference(root).expect("readable");
        assert_eq!(found().as_deref(), Some("sources and object"), "nothing is recorded");
        write(root).expect("record");
        assert_eq!(found(), None);
        fs::write(root.join("ebpf/abi/src/more.rs"), "").expect("file");
        assert_eq!(found().as_deref(), Some("sources"));
        write(root).expect("record");
        fs::write(&object, "another").expect("file");
        assert_eq!(found().as_deref(), Some("object"));
    }
}
