//! Upstreams from files that change.
//!
//! A file counts as it is whenever something happens in its folder or in that of the file it links
//! to. One that cannot be read, or names nobody, changes nothing: the last good one stays.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::config::{Target, Upstream as Place};
use super::transport::TlsError;
use super::upstream::{Maker, Upstream};
use crate::resolv_conf;

/// How often files are read without being told to.
///
/// 5 s: a file that is mounted over, as in containers, gives no events; reading it costs nothing.
const POLL: Duration = Duration::from_secs(5);

/// Where upstreams come from.
#[derive(Debug)]
pub(crate) struct Sources {
    sources: Vec<Source>,
    /// Addresses that must not be asked.
    own: Vec<SocketAddr>,
    maker: Maker,
}

/// Where some of them come from.
#[derive(Debug)]
enum Source {
    /// From the configuration.
    Fixed(Place),
    /// From a file.
    File(File),
}

/// A file that names upstreams.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Whom it named when it was last good.
    named: Vec<SocketAddr>,
    /// What is wrong with it now, as told in the log.
    problem: Option<String>,
}

impl Sources {
    /// Reads all files for the first time.
    pub(crate) fn new(to: &[Target], own: Vec<SocketAddr>, maker: Maker) -> Self {
        let source = |target: &Target| match target {
            Target::Upstream(place) => Source::Fixed(place.clone()),
            Target::ResolvConf(path) => {
                Source::File(File { path: path.clone(), named: Vec::new(), problem: None })
            }
        };
        let mut sources = Self { sources: to.iter().map(source).collect(), own, maker };
        sources.read();
        sources
    }

    /// Whether no upstream can ever come from here.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let path = |source: &Source| match source {
            Source::Fixed(_) => None,
            Source::File(file) => Some(file.path.clone()),
        };
        self.sources.iter().filter_map(path).collect()
    }

    /// Reads all files; whether one of them names others than before.
    pub(crate) fn read(&mut self) -> bool {
        let mut changed = false;
        for source in &mut self.sources {
            if let Source::File(file) = source {
                changed |= file.read(&self.own);
            }
        }
        changed
    }

    /// The upstreams; those among `present` stay, with what is known of them.
    ///
    /// # Errors
    /// [`TlsError`]: one of them cannot be asked as it should be.
    pub(crate) fn upstreams(
        &self,
        present: &[Arc<Upstream>],
    ) -> Result<Vec<Arc<Upstream>>, TlsError> {
        let mut places: Vec<Place> = Vec::new();
        for source in &self.sources {
            let named = match source {
                Source::Fixed(place) => vec![place.clone()],
                Source::File(file) => file.named.iter().copied().map(Place::udp).collect(),
            };
            for place in named {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        let find = |place: Place| {
            let known = present.iter().find(|upstream| upstream.place == place);
            known.map_or_else(|| self.maker.make(place), |known| Ok(Arc::clone(known)))
        };
        places.into_iter().map(find).collect()
    }
}

impl File {
    /// Reads the file; whether it names others than before.
    fn read(&mut self, own: &[SocketAddr]) -> bool {
        let outcome = std::fs::read_to_string(&self.path).map_err(|error| error.to_string());
        let outcome = outcome.map(|text| resolv_conf::upstreams(&text, own)).and_then(|found| {
            if found.usable.is_empty() {
                return Err("it names no server that can be asked".to_owned());
            }
            Ok(found)
        });
        let found = match outcome {
            Ok(found) => found,
            Err(problem) => {
                if self.problem.as_ref() != Some(&problem) {
                    tracing::warn!(file = %self.path.display(), problem, upstreams = ?self.named,
                        "name servers stay as they were");
                    self.problem = Some(problem);
                }
                return false;
            }
        };
        self.problem = None;
        if found.usable == self.named {
            return false;
        }
        for skipped in found.skipped {
            tracing::info!(file = %self.path.display(), line = skipped.line, server = skipped.text,
                reason = %skipped.reason, "name server is not used");
        }
        self.named = found.usable;
        true
    }
}

/// Says when files may have changed.
#[derive(Debug)]
pub struct Follow {
    files: Vec<PathBuf>,
    events: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    /// Folders that are watched.
    pub(super) folders: BTreeSet<PathBuf>,
}

impl Follow {
    /// Follows `files`; without inotify it only reads them now and then.
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        let (happened, events) = mpsc::channel(1);
        let handler = move |event: notify::Result<notify::Event>| {
            let is_reading = event.is_ok_and(|event| event.kind.is_access());
            if !is_reading && happened.try_send(()).is_err() {
                tracing::trace!("one event is waiting already, and will do for this one");
            }
        };
        let watcher = if files.is_empty() { None } else { watcher(handler) };
        let mut follow = Self { files, events, watcher, folders: BTreeSet::new() };
        follow.watch_folders();
        follow
    }

    /// Waits until some file may have changed.
    pub async fn perhaps_changed(&mut self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        tokio::select! {
            Some(()) = self.events.recv() => {}
            () = sleep(POLL) => {}
        }
        self.watch_folders();
    }

    /// Watches the folders that the files are in now.
    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders = self.files.iter().flat_map(|file| folders_of(file)).collect();
        if folders == self.folders {
            return;
        }
        for gone in self.folders.difference(&folders) {
            // A folder that is gone is not watched any more anyway.
            drop(watcher.unwatch(gone));
        }
        for new in folders.difference(&self.folders) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %new.display(), %error, "cannot be watched");
            }
        }
        self.folders = folders;
    }
}

/// Starts inotify.
fn watcher(handler: impl notify::EventHandler) -> Option<RecommendedWatcher> {
    notify::recommended_watcher(handler)
        .inspect_err(|error| tracing::warn!(%error, "files are only read every few seconds"))
        .ok()
}

/// The folder of `file`, and that of the file it links to.
fn folders_of(file: &Path) -> Vec<PathBuf> {
    let folder = |path: &Path| path.parent().map(Path::to_path_buf);
    let linked = file.canonicalize().ok().as_deref().and_then(folder);
    folder(file).into_iter().chain(linked).collect()
}
