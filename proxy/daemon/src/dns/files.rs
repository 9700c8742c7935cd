//! The files and the environment of this process, as a Corefile sees them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use podway_dns_corefile::{SourceError, Sources};

/// Reads files, and remembers what was looked at.
#[derive(Debug, Default)]
pub(crate) struct Files {
    seen: RefCell<BTreeSet<PathBuf>>,
}

impl Files {
    /// What was looked at: files, and for folders that were listed any name in them.
    pub(crate) fn into_seen(self) -> BTreeSet<PathBuf> {
        self.seen.into_inner()
    }

    fn saw(&self, path: impl AsRef<Path>) {
        self.seen.borrow_mut().insert(path.as_ref().to_path_buf());
    }
}

impl Sources for Files {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.saw(path);
        fs::read(path).map_err(source_error)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let folder = if folder.is_empty() { "." } else { folder };
        self.saw(Path::new(folder).join("*"));
        let entries = fs::read_dir(folder).map_err(source_error)?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(source_error)?;
            if entry.path().is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }
}

fn source_error(error: io::Error) -> SourceError {
    if error.kind() == io::ErrorKind::NotFound {
        SourceError::Missing
    } else {
        SourceError::Unreadable { reason: error.to_string() }
    }
}
