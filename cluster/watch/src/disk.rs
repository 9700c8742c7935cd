//! The last complete view on disk, so that a restart without an API server knows the cluster.
//!
//! The folder is meant to be on memory, such as `/run`, and to end with the node: what was true
//! before a boot helps nobody after it. The file is written beside its place and renamed into it, so
//! a reader finds the old view or the new one. Changes are gathered and writes are paced by what they
//! cost, so that a cluster in motion does not keep a core busy.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use podway_cluster_archive as archive;
use podway_cluster_archive::{Archive, ReadError, WriteError};
use podway_cluster_model::chain::Chain;
use podway_cluster_model::snapshot::Snapshot;
use thiserror::Error;
use tracing::{debug, info, warn};

use crate::publish::{NoView, Subscription};

mod pace;
mod status;

use pace::Pace;
pub use status::DiskStatus;

/// Name of the file in its folder.
const FILE_NAME: &str = "snapshot";

/// Which program writes, as it stands in the file.
const WRITTEN_BY: &str = concat!("podway ", env!("CARGO_PKG_VERSION"));

/// Rights of the folder: names and addresses of a cluster are nobody else's business.
const FOLDER_MODE: u32 = 0o700;

/// Rights of the file.
const FILE_MODE: u32 = 0o600;

/// Why a file cannot be read or written.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The system refuses.
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds no snapshot that can be used.
    #[error("{} {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
    /// The view cannot be encoded.
    #[error("the view cannot be written to {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: WriteError,
    },
}

/// Keeps the file at the newest view, until its subscription ends.
#[derive(Debug)]
pub struct Keeper {
    thread: Option<JoinHandle<()>>,
    status: DiskStatus,
}

/// Reads the view that an earlier run left in `folder`; `None` where there is none.
///
/// # Errors
/// [`DiskError`]: there is one, and it cannot be used.
pub fn read(folder: &Path) -> Result<Option<Archive>, DiskError> {
    let path = folder.join(FILE_NAME);
    match read_file(&path) {
        Err(DiskError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Reads the view in a file.
///
/// # Errors
/// [`DiskError`]: it cannot be read or used.
pub fn read_file(path: &Path) -> Result<Archive, DiskError> {
    let error = |source| DiskError::Io { path: path.to_owned(), action: "read", source };
    let file = File::open(path).map_err(error)?;
    let mut bytes = Vec::new();
    // One more than the most that is read tells a file that is too large.
    let most = archive::MAX_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(error)?;
    archive::read(&bytes).map_err(|source| DiskError::Unusable { path: path.to_owned(), source })
}

/// Whether the file begins as one that [`write_file`] wrote, of whatever version.
#[must_use]
pub fn is_snapshot(path: &Path) -> bool {
    let mut beginning = [0; archive::MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    read.is_ok() && archive::is_archive(&beginning)
}

/// Writes `snapshot` to a file, whole or not at all; returns its size in bytes.
///
/// # Errors
/// [`DiskError`]: the file is as it was before.
pub fn write_file(path: &Path, snapshot: &Snapshot) -> Result<usize, DiskError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let bytes = archive::write(snapshot, now, WRITTEN_BY)
        .map_err(|source| DiskError::Unwritable { path: path.to_owned(), source })?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(FILE_MODE);
        let mut file = options.open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    let error = |source| DiskError::Io { path: path.to_owned(), action: "written", source };
    write().map_err(error)?;
    Ok(bytes.len())
}

impl Keeper {
    /// Keeps the file in `folder` at the views of `subscription`, on a thread of its own. Views that
    /// come while `is_live` says no are not written.
    ///
    /// # Errors
    /// [`DiskError`]: the folder cannot be made or the thread not be started.
    pub fn spawn(
        folder: &Path,
        subscription: Subscription,
        is_live: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, DiskError> {
        let error = |action| {
            let path = folder.to_owned();
            move |source| DiskError::Io { path, action, source }
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(FOLDER_MODE);
        builder.create(folder).map_err(error("made"))?;
        let status = DiskStatus::default();
        let work = Work {
            path: folder.join(FILE_NAME),
            subscription,
            is_live: Box::new(is_live),
            status: status.clone(),
            failing: false,
        };
        let thread = thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || work.run())
            .map_err(error("followed"))?;
        Ok(Self { thread: Some(thread), status })
    }

    /// How keeping the file goes.
    #[must_use]
    pub fn status(&self) -> DiskStatus {
        self.status.clone()
    }
}

impl Drop for Keeper {
    /// Waits for the last write; the publisher must be gone.
    fn drop(&mut self) {
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        debug!(panicked, "snapshot no longer kept");
    }
}

/// What the thread works with.
struct Work {
    path: PathBuf,
    subscription: Subscription,
    is_live: Box<dyn Fn() -> bool + Send>,
    status: DiskStatus,
    /// Whether the last write failed.
    failing: bool,
}

impl Work {
    fn run(mut self) {
        let mut pace = Pace::default();
        let mut unwritten: Option<Arc<Snapshot>> = None;
        loop {
            let view = self.subscription.next_timeout(pace.wait(Instant::now()));
            match view {
                Ok(view) if (self.is_live)() => {
                    unwritten = Some(view.snapshot);
                    pace.changed(Instant::now());
                }
                Ok(_) | Err(NoView::TimedOut) => {}
                Err(NoView::PublisherGone) => {
                    if let Some(snapshot) = unwritten {
                        self.write(&snapshot);
                    }
                    return;
                }
            }
            if pace.is_due(Instant::now())
                && let Some(snapshot) = unwritten.take()
            {
                let begin = Instant::now();
                self.write(&snapshot);
                let end = Instant::now();
                pace.wrote(end, end.duration_since(begin));
            }
        }
    }

    fn write(&mut self, snapshot: &Snapshot) {
        match write_file(&self.path, snapshot) {
            Ok(bytes) => {
                self.status.wrote(bytes, SystemTime::now());
                debug!(bytes, generation = snapshot.generation, "snapshot written");
                if std::mem::take(&mut self.failing) {
                    info!(path = %self.path.display(), "snapshot can be written again");
                }
            }
            Err(error) => {
                self.status.failed();
                if !std::mem::replace(&mut self.failing, true) {
                    let error = Chain(&error).to_string();
                    warn!(error, "snapshot not written; a restart has to wait for the API server");
                }
            }
        }
    }
}

/// How long before `now` a view was taken.
#[must_use]
pub fn age(archive: &Archive, now: SystemTime) -> Duration {
    let taken = UNIX_EPOCH + Duration::from_secs(archive.header.taken_unix_seconds);
    now.duration_since(taken).unwrap_or_default()
}

#[cfg(test)]
mod tests;
