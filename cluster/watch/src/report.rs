//! What is wrong with the source now: logged once when it appears and once when it is healed, and
//! counted for metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::rejection::{ObjectKind, Rejection};

/// Most lines that one change of the source logs.
///
/// 50: a person sees the pattern; a dump with ten thousand bad objects does not drown the log. The
/// rest is one line with its number, and all of it stands in [`Reports::problems`].
const MAX_LINES: usize = 50;

/// Something wrong with the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The folder cannot be followed; what was read from it last stays in force.
    Folder {
        /// Why.
        reason: String,
    },
    /// A file cannot be read as a whole; its last good content stays in force.
    File {
        /// Name of the file in the folder.
        file: String,
        /// Line and column, from 1, where they are known.
        position: Option<(u64, u64)>,
        /// What is wrong there.
        reason: String,
    },
    /// An object, or a part of one, is not used.
    Object {
        /// Name of the file in the folder.
        file: String,
        /// What is wrong.
        rejection: Rejection,
    },
    /// An object that the API server sent, or a part of one, is not used.
    Served {
        /// What is wrong.
        rejection: Rejection,
    },
    /// The API server shows no objects of a kind, and the view does without.
    Unavailable {
        /// The kind.
        kind: ObjectKind,
        /// Why.
        reason: String,
    },
    /// An object is not used because it stands elsewhere too.
    Shadowed {
        /// Name of the file in the folder.
        file: String,
        /// Kind and name of the object.
        object: String,
        /// The file whose object is used; the same file if it stands there twice.
        by: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { reason } => formatter.write_str(reason),
            Self::File { file, position: Some((line, column)), reason } => {
                write!(formatter, "{file}: line {line}, column {column}: {reason}")
            }
            Self::File { file, position: None, reason } => write!(formatter, "{file}: {reason}"),
            Self::Object { file, rejection } => write!(formatter, "{file}: {rejection}"),
            Self::Served { rejection } => rejection.fmt(formatter),
            Self::Unavailable { kind, reason } => {
                write!(formatter, "no object of kind {kind} is shown: {reason}")
            }
            Self::Shadowed { file, object, by } if file == by => {
                write!(formatter, "{file}: {object}: stands twice; the first is used")
            }
            Self::Shadowed { file, object, by } => {
                write!(formatter, "{file}: {object}: stands in {by} too, which is used")
            }
        }
    }
}

/// What a change of the source did to its problems.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// Problems that were not there before.
    pub appeared: BTreeSet<Problem>,
    /// Problems that are no more.
    pub healed: BTreeSet<Problem>,
}

/// How much is wrong with the source now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Whether the folder cannot be followed.
    pub folder_lost: bool,
    /// Files that cannot be read as a whole.
    pub files: usize,
    /// Objects that are not used as a whole or in part, by kind; a kind without any is absent.
    pub rejected: BTreeMap<ObjectKind, usize>,
    /// Objects that are not used because they stand elsewhere too.
    pub shadowed: usize,
    /// Objects of kinds that are not read, by API version and kind.
    pub ignored: BTreeMap<String, usize>,
    /// Kinds of which the API server shows no objects.
    pub unavailable: BTreeSet<ObjectKind>,
}

impl Counts {
    /// Counts the object of `rejection` unless it is the one that was counted last.
    fn reject<'a>(
        &mut self,
        last: &mut Option<(Option<&'a String>, &'a Rejection)>,
        file: Option<&'a String>,
        rejection: &'a Rejection,
    ) {
        // Ordered by file, kind and object, so all of one object stand together.
        let same = last.is_some_and(|(last_file, last)| {
            last_file == file && last.kind == rejection.kind && last.object == rejection.object
        });
        if !same {
            *self.rejected.entry(rejection.kind).or_default() += 1;
            *last = Some((file, rejection));
        }
    }
}

/// What is wrong with the source now, for whoever asks. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    problems: BTreeSet<Problem>,
    ignored: BTreeMap<String, usize>,
}

impl Reports {
    /// Every problem there is now.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.lock().problems.iter().cloned().collect()
    }

    /// The problems and ignored objects, counted. Costs a walk over the problems.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        let mut counts = Counts { ignored: state.ignored.clone(), ..Counts::default() };
        let mut last_rejected = None;
        for problem in &state.problems {
            match problem {
                Problem::Folder { .. } => counts.folder_lost = true,
                Problem::File { .. } => counts.files += 1,
                Problem::Shadowed { .. } => counts.shadowed += 1,
                Problem::Unavailable { kind, .. } => drop(counts.unavailable.insert(*kind)),
                Problem::Object { file, rejection } => {
                    counts.reject(&mut last_rejected, Some(file), rejection);
                }
                Problem::Served { rejection } => {
                    counts.reject(&mut last_rejected, None, rejection);
                }
            }
        }
        counts
    }

    /// Takes in what changed and logs it.
    pub(crate) fn record(&self, update: Update, ignored: &BTreeMap<String, usize>) {
        log(&update);
        let mut state = self.lock();
        for problem in &update.healed {
            state.problems.remove(problem);
        }
        state.problems.extend(update.appeared);
        if state.ignored != *ignored {
            state.ignored.clone_from(ignored);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(update: &Update) {
    for problem in update.appeared.iter().take(MAX_LINES) {
        match problem {
            Problem::Folder { reason } => {
                warn!(reason, "manifest folder lost; its last content stays in force");
            }
            Problem::File { file, position: Some((line, column)), reason } => {
                warn!(file, line, column, reason, "manifest not read; its last content stays");
            }
            Problem::File { file, position: None, reason } => {
                warn!(file, reason, "manifest not read; its last content stays");
            }
            Problem::Object { file, rejection } => {
                warn!(file, %rejection, "object not used, or not all of it");
            }
            Problem::Served { rejection } => {
                warn!(%rejection, "object not used, or not all of it");
            }
            Problem::Unavailable { kind, reason } => {
                warn!(%kind, reason, "API server shows no objects of a kind; done without");
            }
            Problem::Shadowed { file, object, by } => {
                warn!(file, object, by, "object stands twice; this one is not used");
            }
        }
    }
    for problem in update.healed.iter().take(MAX_LINES) {
        info!(%problem, "problem of the source healed");
    }
    let unlogged = |problems: &BTreeSet<Problem>| problems.len().saturating_sub(MAX_LINES);
    if unlogged(&update.appeared) > 0 {
        warn!(problems = unlogged(&update.appeared), "more problems appeared");
    }
    if unlogged(&update.healed) > 0 {
        info!(problems = unlogged(&update.healed), "more problems healed");
    }
}
