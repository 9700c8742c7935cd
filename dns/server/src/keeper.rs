//! Keeps what is made of a file at what the file says.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::forward::Follow;
use crate::server::Stop;

/// What a file was when it was last looked at.
type Contents = Result<Vec<u8>, io::ErrorKind>;

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
    apply: Box<dyn Fn(Contents) + Send + Sync>,
    last: Mutex<Option<Contents>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watched").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Watched {
    /// Applies the file, if it is not what it was.
    fn look(&self) {
        let contents = fs::read(&self.file).map_err(|error| error.kind());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&contents) {
            *last = Some(contents.clone());
            (self.apply)(contents);
        }
    }
}

impl Keeper {
    /// Applies the contents of `file` now, and once it is started whenever they change.
    pub(crate) fn new(file: PathBuf, apply: impl Fn(Contents) + Send + Sync + 'static) -> Self {
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
        let mut follow = Follow::new(vec![watched.file.clone()]);
        tokio::spawn(async move {
            // What changed before this began would be missed.
            watched.look();
            loop {
                tokio::select! {
                    () = stop.ordered() => return,
                    () = follow.perhaps_changed() => watched.look(),
                }
            }
        });
    }
}
