//! Keeps what is made of a file at what the file says, and those that it includes.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::forward::Follow;
use crate::server::Stop;

/// What a file was when it was last looked at.
pub(crate) type Contents = Result<Vec<u8>, io::ErrorKind>;

/// Further files that were read, as they were then.
pub(crate) type Included = Vec<(PathBuf, Contents)>;

/// Looks at a file when it may have changed, as long as somebody holds this.
#[derive(Debug)]
pub(crate) struct Keeper {
    watched: Arc<Watched>,
    stop: watch::Sender<bool>,
    started: AtomicBool,
}

/// A file, and what is done with it.
struct Watched {
    file: PathBuf,
    apply: Box<dyn Fn(Contents) -> Included + Send + Sync>,
    last: Mutex<Seen>,
}

/// What was seen when it was last applied.
#[derive(Default)]
struct Seen {
    /// `None`: it was not.
    contents: Option<Contents>,
    included: Included,
}

/// Reads a file.
pub(crate) fn contents(file: &Path) -> Contents {
    fs::read(file).map_err(|error| error.kind())
}

impl fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watched").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Watched {
    /// Applies the file, if it or one that it includes is not what it was.
    fn look(&self) {
        let own = contents(&self.file);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |(file, before): &(PathBuf, Contents)| contents(file) == *before;
        if last.contents.as_ref() != Some(&own) || !last.included.iter().all(is_same) {
            let included = (self.apply)(own.clone());
            *last = Seen { contents: Some(own), included };
        }
    }

    /// The file and those that it includes now.
    fn files(&self) -> BTreeSet<PathBuf> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let included = last.included.iter().map(|(file, _)| file.clone());
        included.chain([self.file.clone()]).collect()
    }
}

impl Keeper {
    /// Applies the contents of `file` now, and once it is started whenever they change, or those of the
    /// files that `apply` says it read too.
    pub(crate) fn new(
        file: PathBuf,
        apply: impl Fn(Contents) -> Included + Send + Sync + 'static,
    ) -> Self {
        let watched = Arc::new(Watched { file, apply: Box::new(apply), last: Mutex::default() });
        watched.look();
        Self { watched, stop: watch::Sender::new(false), started: AtomicBool::new(false) }
    }

    /// Begins to follow the file, if nobody has.
    pub(crate) fn start(&self) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let (watched, mut stop) = (Arc::clone(&self.watched), Stop::of(&self.stop));
        tokio::spawn(async move {
            loop {
                let files = watched.files();
                let mut follow = Follow::new(files.iter().cloned().collect());
                // What changed before this began would be missed.
                watched.look();
                while watched.files() == files {
                    tokio::select! {
                        () = stop.ordered() => return,
                        () = follow.perhaps_changed() => watched.look(),
                    }
                }
            }
        });
    }
}
