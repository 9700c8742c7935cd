//! Reads the folder: which manifests it has, whether they changed, what stands in them.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::document::Format;

use super::{Edit, FileName};

/// Largest manifest that is read, in octets.
///
/// 1 GiB: some times what `kubectl` prints for the largest cluster that Kubernetes is tested with.
const MAX_MANIFEST_OCTETS: u64 = 1 << 30;

/// Why the folder cannot be read.
#[derive(Debug, Error)]
pub enum FolderError {
    /// It cannot be listed.
    #[error("manifest folder {} cannot be read", folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a folder", folder.display())]
    NotAFolder {
        /// What should be the folder.
        folder: PathBuf,
    },
}

/// Tells a folder from another that came in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// Tells the state of a file from an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    octets: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A folder of manifests.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The state of each file when it was last read.
    stamps: HashMap<FileName, Stamp>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), stamps: HashMap::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Which folder stands at the path now.
    ///
    /// # Errors
    /// [`FolderError`]: there is none.
    pub(super) fn identity(&self) -> Result<Identity, FolderError> {
        let metadata = fs::metadata(&self.path).map_err(|source| self.unreadable(source))?;
        if !metadata.is_dir() {
            return Err(FolderError::NotAFolder { folder: self.path.clone() });
        }
        Ok(Identity { device: metadata.dev(), inode: metadata.ino() })
    }

    /// The manifest that a path in the folder stands for, by its name alone.
    pub(super) fn manifest_name(path: &Path) -> Option<FileName> {
        let name = path.file_name()?.to_str()?;
        Format::of(name).map(|_| Arc::from(name))
    }

    /// The names of all manifests in the folder.
    ///
    /// # Errors
    /// [`FolderError`]: it cannot be listed.
    pub(super) fn manifests(&self) -> Result<Vec<FileName>, FolderError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|source| self.unreadable(source))? {
            let entry = entry.map_err(|source| self.unreadable(source))?;
            names.extend(Self::manifest_name(&entry.path()));
        }
        Ok(names)
    }

    /// Forgets how files were, so that every one is read again.
    pub(super) fn forget(&mut self) {
        self.stamps.clear();
    }

    /// Reads a file, if it is not as it was when last read; symbolic links are followed.
    pub(super) fn read_if_changed(&mut self, name: &FileName) -> Option<Edit> {
        let metadata = fs::metadata(self.path.join(&**name));
        let same = metadata.is_ok_and(|metadata| self.stamps.get(name) == Some(&stamp(&metadata)));
        if same { None } else { Some(self.read(name)) }
    }

    /// Reads a file.
    pub(super) fn read(&mut self, name: &FileName) -> Edit {
        self.stamps.remove(name);
        let path = self.path.join(&**name);
        let content = fs::metadata(&path).and_then(|metadata| {
            if !metadata.is_file() {
                // A folder or a pipe that has a manifest's name is none.
                return Ok(None);
            }
            if metadata.len() > MAX_MANIFEST_OCTETS {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            // A change after this look gives an event of its own.
            Ok(Some((stamp(&metadata), fs::read(&path)?)))
        });
        match content {
            Ok(Some((stamp, content))) => {
                self.stamps.insert(Arc::clone(name), stamp);
                Edit::Content(content)
            }
            Ok(None) => Edit::Gone,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Edit::Gone,
            Err(error) => Edit::Unreadable { reason: error.to_string() },
        }
    }

    fn unreadable(&self, source: io::Error) -> FolderError {
        FolderError::Unreadable { folder: self.path.clone(), source }
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        octets: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}
