//! The world around a Corefile: other files and the environment, as far as the caller shows them.

use std::collections::BTreeMap;

use thiserror::Error;

/// Why a file or folder could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceError {
    /// There is none of that name.
    #[error("no such file or directory")]
    Missing,
    /// It exists and cannot be read.
    #[error("{reason}")]
    Unreadable {
        /// What the system said.
        reason: String,
    },
}

/// Shows the files that a Corefile imports and the variables that it names.
///
/// A caller that watches a Corefile learns here what else to watch: every file read and every
/// folder listed.
pub trait Sources {
    /// Value of an environment variable; `None` when it is not set.
    fn variable(&self, name: &str) -> Option<String>;

    /// Contents of the file at `path`, which is absolute or relative to the working directory.
    ///
    /// # Errors
    /// [`SourceError`] says why there are none.
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError>;

    /// Names of the files in `folder`, subfolders left out; the empty text is the working directory.
    ///
    /// # Errors
    /// [`SourceError`] says why there are none.
    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError>;
}

/// Files and variables held in memory, none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemorySources {
    /// Contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Values by name.
    pub variables: BTreeMap<String, String>,
}

impl Sources for MemorySources {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.files.get(path).cloned().ok_or(SourceError::Missing)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let names = self.files.keys().filter_map(|path| {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            (parent == folder).then(|| name.to_owned())
        });
        Ok(names.collect())
    }
}
