//! Keeps the manifests current with their folder: one thread, fed by inotify.
//!
//! Events only say which file to look at; what counts is the file as it then is. The thread also
//! notices when the folder goes or another comes in its place, which inotify cannot say.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use podway_cluster_model::builder::Builder;
use podway_cluster_model::chain::Chain;
use podway_cluster_model::import::Imports;
use podway_cluster_model::snapshot::Snapshot;
use thiserror::Error;
use tracing::{debug, info};

use crate::publish::Publisher;
use crate::report::{Problem, Reports, Update};
use crate::wanted::{Extras, Followed, Wanted};

use super::folder::{Folder, FolderError, Identity};
use super::settle::{Due, Happening, Settle};
use super::{Edit, FileName, Manifests};

/// How often the folder is looked for while it is missing.
const RETRY_TIME: Duration = Duration::from_millis(50);

/// How often the folder is checked to be the one that is followed.
///
/// 1 s: a changed symbolic link or mount, and what comes to be wanted, are the only things that
/// events do not tell at once.
const CHECK_TIME: Duration = Duration::from_secs(1);

/// Name that the kubelet renames when it replaces all files of a ConfigMap or Secret volume at once.
const ATOMIC_WRITER_LINK: &str = "..data";

/// Why a folder cannot be followed from the start.
#[derive(Debug, Error)]
pub enum FollowError {
    /// The folder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The system gives no events for it.
    #[error("manifest folder {} cannot be watched", folder.display())]
    Watch {
        /// The folder.
        folder: std::path::PathBuf,
        /// What the system says.
        #[source]
        source: notify::Error,
    },
    /// The thread could not be started.
    #[error("the thread that follows the manifest folder could not be started")]
    Thread {
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Follows a folder until it is dropped.
#[derive(Debug)]
pub struct ManifestWatch {
    inbox: Sender<Message>,
    thread: Option<JoinHandle<()>>,
    reports: Reports,
}

#[derive(Debug)]
enum Message {
    Event { result: notify::Result<Event>, at: Instant },
    Stop,
}

/// Reads the folder once; of objects that is kept besides what everybody needs.
///
/// # Errors
/// [`FolderError`]: the folder cannot be read. What is wrong with a file stands in the reports.
pub fn load(folder: &Path, kept: Extras) -> Result<(Arc<Snapshot>, Reports), FolderError> {
    let mut folder = Folder::new(folder);
    folder.identity()?;
    let mut manifests = Manifests::default();
    manifests.keep(kept.clone());
    let outcome = manifests.apply(scan(&mut folder, &manifests)?);
    let reports = Reports::default();
    reports.record(outcome.update, manifests.ignored());
    let mut builder = Builder::new();
    tell(&mut builder, &kept);
    Ok((builder.apply(outcome.changes).0, reports))
}

/// Reads the folder, publishes what it says, and goes on following it on a thread of its own.
///
/// The first snapshot is published when this returns.
///
/// # Errors
/// [`FollowError`]: the folder is not there or cannot be followed. What is wrong with a file is no
/// error; it stands in the reports.
pub fn spawn(
    folder: &Path,
    wanted: &Wanted,
    publisher: Publisher,
) -> Result<ManifestWatch, FollowError> {
    let (inbox, messages) = channel();
    let reports = Reports::default();
    let wanted = wanted.follow();
    let mut follower = Follower::new(folder, wanted, (publisher, reports.clone()), inbox.clone());
    follower.start()?;
    let thread = thread::Builder::new()
        .name("manifests".to_owned())
        .spawn(move || follower.run(&messages))
        .map_err(|source| FollowError::Thread { source })?;
    Ok(ManifestWatch { inbox, thread: Some(thread), reports })
}

impl ManifestWatch {
    /// What is wrong with the folder and its files.
    #[must_use]
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }
}

impl Drop for ManifestWatch {
    fn drop(&mut self) {
        // It fails only when the thread has ended.
        let stopped = self.inbox.send(Message::Stop).is_err();
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        debug!(stopped, panicked, "manifest folder no longer followed");
    }
}

/// The state of the thread.
struct Follower {
    folder: Folder,
    /// What is kept of objects.
    wanted: Followed,
    manifests: Manifests,
    builder: Builder,
    publisher: Publisher,
    reports: Reports,
    settle: Settle,
    /// Where a watcher sends what it sees.
    inbox: Sender<Message>,
    followed: Option<FollowedFolder>,
    /// What is wrong with the folder, while something is.
    problem: Option<Problem>,
    /// Since when all files wait to be looked at.
    rescan: Option<Instant>,
}

/// The folder that events come from.
struct FollowedFolder {
    identity: Identity,
    /// Ends when dropped.
    _watcher: RecommendedWatcher,
}

impl Follower {
    fn new(
        folder: &Path,
        wanted: Followed,
        (publisher, reports): (Publisher, Reports),
        inbox: Sender<Message>,
    ) -> Self {
        Self {
            folder: Folder::new(folder),
            wanted,
            manifests: Manifests::default(),
            builder: Builder::new(),
            publisher,
            reports,
            settle: Settle::default(),
            inbox,
            followed: None,
            problem: None,
            rescan: None,
        }
    }

    /// Reads the folder for the first time, with events already on their way.
    fn start(&mut self) -> Result<(), FollowError> {
        let now = Instant::now();
        self.followed = Some(self.follow()?);
        self.keep_wanted();
        tell(&mut self.builder, self.wanted.extras());
        let edits = scan(&mut self.folder, &self.manifests)?;
        self.apply(edits, now);
        Ok(())
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let now = Instant::now();
            match messages.recv_timeout(self.wait(now)) {
                Ok(Message::Event { result, at }) => self.note(result, at),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            // What came together is taken together.
            for message in messages.try_iter() {
                match message {
                    Message::Event { result, at } => self.note(result, at),
                    Message::Stop => return,
                }
            }
            self.check_folder();
            if self.wanted.look(|before, after| before != after) {
                self.keep_wanted();
                self.folder.forget();
                self.rescan.get_or_insert_with(Instant::now);
            }
            self.read_due();
        }
    }

    /// Has what is read from now on keep what is wanted. Objects of a file that cannot be read again
    /// are without what is new, as if they did not have it, until it can.
    fn keep_wanted(&mut self) {
        self.manifests.keep(self.wanted.extras().clone());
    }

    /// How long nothing is to do unless a message comes.
    fn wait(&self, now: Instant) -> Duration {
        let check = if self.followed.is_some() { CHECK_TIME } else { RETRY_TIME };
        self.settle.next_due().map_or(check, |due| check.min(due.saturating_duration_since(now)))
    }

    /// Notes what an event is about.
    fn note(&mut self, result: notify::Result<Event>, at: Instant) {
        let event = match result {
            Ok(event) if event.need_rescan() => {
                info!("manifest folder had more events than the system keeps; all files are read");
                self.rescan.get_or_insert(at);
                return;
            }
            Ok(event) => event,
            Err(error) => {
                info!(%error, "manifest folder events failed; all files are read");
                self.rescan.get_or_insert(at);
                return;
            }
        };
        let Some(happening) = happening(event.kind) else { return };
        for path in &event.paths {
            if path == self.folder.path() {
                // Removed or renamed. Another may have come in its place with the same identity.
                if happening != Happening::Written {
                    self.followed = None;
                }
            } else if let Some(name) = Folder::manifest_name(path) {
                self.settle.note(name, happening, at);
            } else if path.file_name().is_some_and(|name| name == ATOMIC_WRITER_LINK) {
                self.rescan.get_or_insert(at);
            }
        }
    }

    /// Makes sure that the folder at the path is the one that is followed.
    fn check_folder(&mut self) {
        let same = match (&self.followed, self.folder.identity()) {
            (Some(followed), Ok(identity)) => followed.identity == identity,
            (None, _) | (_, Err(_)) => false,
        };
        if same {
            return;
        }
        self.followed = None;
        // Files that went with their folder keep their content until there is a folder again.
        self.settle.clear();
        match self.follow() {
            Ok(followed) => {
                self.followed = Some(followed);
                self.rescan.get_or_insert_with(Instant::now);
            }
            Err(error) => self.report_folder(&error),
        }
    }

    /// Starts to get events of the folder that stands at the path.
    fn follow(&self) -> Result<FollowedFolder, FollowError> {
        let identity = self.folder.identity()?;
        let inbox = self.inbox.clone();
        let handler = move |result: notify::Result<Event>| {
            let relevant = match &result {
                Ok(event) => event.need_rescan() || happening(event.kind).is_some(),
                Err(_) => true,
            };
            if relevant {
                // It fails only when the thread has ended, and the watcher is about to.
                drop(inbox.send(Message::Event { result, at: Instant::now() }));
            }
        };
        let path = self.folder.path();
        let watch = |source| FollowError::Watch { folder: path.to_owned(), source };
        let mut watcher = notify::recommended_watcher(handler).map_err(watch)?;
        watcher.watch(path, RecursiveMode::NonRecursive).map_err(watch)?;
        Ok(FollowedFolder { identity, _watcher: watcher })
    }

    /// Reads what is due and publishes what it changed.
    fn read_due(&mut self) {
        if self.followed.is_none() {
            return;
        }
        if let Some(first_seen) = self.rescan {
            match scan(&mut self.folder, &self.manifests) {
                Ok(edits) => {
                    self.rescan = None;
                    self.report_folder_found();
                    tell(&mut self.builder, self.wanted.extras());
                    self.apply(edits, first_seen);
                }
                Err(error) => {
                    self.followed = None;
                    self.report_folder(&error.into());
                    return;
                }
            }
        }
        let due = self.settle.take_due(Instant::now());
        let Some(first_seen) = due.values().map(|due| due.first_seen).min() else { return };
        let edits = due.into_iter().filter_map(|(name, due)| self.read(name, due)).collect();
        self.apply(edits, first_seen);
    }

    /// Reads one file, unless its writer has only emptied it so far.
    fn read(&mut self, name: FileName, due: Due) -> Option<(FileName, Edit)> {
        let edit = self.folder.read(&name);
        let emptied = matches!(&edit, Edit::Content(content) if content.is_empty());
        if emptied && !due.complete && self.manifests.has_objects(&name) {
            debug!(file = &*name, "manifest is empty while it is being written; kept as it was");
            return None;
        }
        Some((name, edit))
    }

    fn apply(&mut self, edits: Vec<(FileName, Edit)>, first_seen: Instant) {
        let files = edits.len();
        let outcome = self.manifests.apply(edits);
        let objects = outcome.changes.len();
        self.reports.record(outcome.update, self.manifests.ignored());
        let (snapshot, delta) = self.builder.apply(outcome.changes);
        debug!(files, objects, generation = snapshot.generation, "manifests read");
        self.publisher.publish(&snapshot, &delta, first_seen);
    }

    fn report_folder(&mut self, error: &FollowError) {
        let problem = Problem::Folder { reason: Chain(error).to_string() };
        if self.problem.as_ref() == Some(&problem) {
            return;
        }
        let update = Update {
            healed: BTreeSet::from_iter(self.problem.replace(problem.clone())),
            appeared: BTreeSet::from([problem]),
        };
        self.reports.record(update, self.manifests.ignored());
    }

    fn report_folder_found(&mut self) {
        if let Some(problem) = self.problem.take() {
            let update = Update { healed: BTreeSet::from([problem]), ..Update::default() };
            self.reports.record(update, self.manifests.ignored());
        }
    }
}

/// Has `builder` tell what is known of every object.
fn tell(builder: &mut Builder, kept: &Extras) {
    builder.keep_labels(kept.labels.clone());
    builder.know_imports(if kept.imports { Imports::Known } else { Imports::Unknown });
}

/// What to do with every file that is there, or was.
fn scan(folder: &mut Folder, manifests: &Manifests) -> Result<Vec<(FileName, Edit)>, FolderError> {
    let present: BTreeSet<FileName> = folder.manifests()?.into_iter().collect();
    let gone = manifests.file_names().filter(|name| !present.contains(*name));
    let mut edits: Vec<_> = gone.map(|name| (Arc::clone(name), Edit::Gone)).collect();
    for name in present {
        edits.extend(folder.read_if_changed(&name).map(|edit| (name, edit)));
    }
    Ok(edits)
}

/// What an event means for the file it is about; `None` for events that leave its content alone.
fn happening(kind: EventKind) -> Option<Happening> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_)) => Some(Happening::Complete),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any => Some(Happening::Written),
        EventKind::Remove(_) => Some(Happening::Deleted),
        EventKind::Access(_) | EventKind::Other => None,
    }
}
