//! Cluster state from a folder of manifests.
//!
//! Every `*.json`, `*.yaml` and `*.yml` file of the folder counts, but no hidden file and nothing in
//! sub-folders. `Manifests` holds what the files say and is pure: contents in, changes out. The
//! module `follow` keeps it current with the folder.
//!
//! - The state follows from the files as they are, not from their history. The one exception: a file
//!   that cannot be read as a whole keeps its last good content in force.
//! - An object that stands in several files is taken from the first in name order; when that goes,
//!   the next takes over. Of an object that stands twice in one file, the first is used.
//! - A namespace exists as long as its own object or any object in it does.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use podway_cluster_model::builder::Change;
use podway_cluster_model::intern::Interner;
use podway_cluster_model::name::Namespace;

use crate::convert::Conversion;
use crate::document::{Format, ParseFault, parse};
use crate::key::ObjectKey;
use crate::rejection::Rejection;
use crate::report::{Problem, Update};
use crate::wanted::Extras;

mod folder;
mod follow;
mod namespaces;
mod settle;
#[cfg(test)]
mod tests;

pub use folder::FolderError;
pub use follow::{FollowError, ManifestWatch, load, spawn};
use namespaces::Namespaces;

/// Name of a file in the folder.
pub(crate) type FileName = Arc<str>;

/// What happened to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// It has this content.
    Content(Vec<u8>),
    /// It is there and could not be read.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// It is gone.
    Gone,
}

/// What edits changed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Objects that are different now, each once.
    pub(crate) changes: Vec<Change>,
    /// Problems that came and went.
    pub(crate) update: Update,
}

/// What the files of a folder say.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    /// What is kept of objects that are read from now on.
    kept: Extras,
    /// Whether that is other than what was kept of those read before.
    renewed: bool,
    files: BTreeMap<FileName, File>,
    /// Which files hold an object, ordered; the first is the one that counts.
    holders: HashMap<ObjectKey, Vec<FileName>>,
    /// Objects of kinds that are not read, over all files.
    ignored: BTreeMap<String, usize>,
    /// Which namespaces exist by what is in force.
    namespaces: Namespaces,
    /// Texts that many objects share.
    interner: Interner,
}

/// What one file says.
#[derive(Debug, Default)]
struct File {
    /// Boxed, since a table keeps room for more than it holds.
    objects: HashMap<ObjectKey, Box<Change>>,
    /// Objects that stand again in the file.
    repeated: BTreeSet<ObjectKey>,
    rejections: Vec<Rejection>,
    ignored: BTreeMap<String, usize>,
    /// Why the newest content could not be read; all else is of the last that could.
    fault: Option<ParseFault>,
}

/// How things were before the edits, for what the edits touched.
#[derive(Debug, Default)]
struct Before {
    objects: BTreeMap<ObjectKey, Standing>,
    files: BTreeMap<FileName, BTreeSet<Problem>>,
}

/// How one object stands: the value in force, and the files that hold it in vain.
#[derive(Debug)]
struct Standing {
    value: Option<Change>,
    shadowed: BTreeSet<Problem>,
}

impl Manifests {
    /// Takes in what happened to some files. Costs their size, and no other file's.
    pub(crate) fn apply(&mut self, edits: impl IntoIterator<Item = (FileName, Edit)>) -> Outcome {
        let mut before = Before::default();
        for (name, edit) in edits {
            if !before.files.contains_key(&name) {
                before.files.insert(Arc::clone(&name), self.file_problems(&name));
            }
            match edit {
                Edit::Content(content) => self.put(name, &content, &mut before),
                Edit::Unreadable { reason } => {
                    let fault = ParseFault { position: None, reason };
                    self.files.entry(name).or_default().fault = Some(fault);
                }
                Edit::Gone => {
                    self.replace(&name, File::default(), &mut before);
                    self.files.remove(&name);
                }
            }
        }
        self.outcome(before)
    }

    /// Says what is wanted of objects that are read from now on.
    pub(crate) fn keep(&mut self, extras: Extras) {
        self.kept = extras;
        self.renewed = true;
    }

    /// The names of all files that were there last.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = &FileName> {
        self.files.keys()
    }

    /// Whether the file gave any object.
    pub(crate) fn has_objects(&self, name: &str) -> bool {
        self.files.get(name).is_some_and(|file| !file.objects.is_empty())
    }

    /// Objects of kinds that are not read, by API version and kind.
    pub(crate) const fn ignored(&self) -> &BTreeMap<String, usize> {
        &self.ignored
    }

    fn put(&mut self, name: FileName, content: &[u8], before: &mut Before) {
        // Only files of a known format get here; another would be read as YAML.
        let format = Format::of(&name).unwrap_or(Format::Yaml);
        match parse(format, content) {
            Ok(conversions) => {
                let mut file = File::of(conversions, &self.kept);
                file.objects.values_mut().for_each(|object| self.interner.change(object));
                self.replace(&name, file, before);
            }
            Err(fault) => self.files.entry(name).or_default().fault = Some(fault),
        }
    }

    /// Puts `file` in the place of the one of that name, noting how what differs was before.
    fn replace(&mut self, name: &FileName, file: File, before: &mut Before) {
        // The old file stays until it has said how its objects stood.
        let differing = self.files.get(name).map_or_else(
            || file.objects.keys().cloned().collect(),
            |old| old.differing_from(&file),
        );
        for key in &differing {
            if !before.objects.contains_key(key) {
                before.objects.insert(key.clone(), self.standing(key));
            }
        }
        for key in differing {
            if file.objects.contains_key(&key) {
                // Nearly every object stands in one file.
                let holders = self.holders.entry(key).or_insert_with(|| Vec::with_capacity(1));
                if let Err(place) = holders.binary_search(name) {
                    holders.insert(place, Arc::clone(name));
                }
            } else if let Some(holders) = self.holders.get_mut(&key) {
                holders.retain(|holder| holder != name);
                if holders.is_empty() {
                    self.holders.remove(&key);
                }
            }
        }
        for (kind, count) in &file.ignored {
            *self.ignored.entry(kind.clone()).or_default() += count;
        }
        let old = self.files.insert(Arc::clone(name), file).unwrap_or_default();
        for (kind, count) in old.ignored {
            if let Some(total) = self.ignored.get_mut(&kind) {
                *total -= count;
            }
        }
        self.ignored.retain(|_, total| *total > 0);
    }

    /// How the object stands now.
    fn standing(&self, key: &ObjectKey) -> Standing {
        let mut holders = self.holders.get(key).into_iter().flatten();
        let Some(first) = holders.next() else {
            return Standing { value: None, shadowed: BTreeSet::new() };
        };
        let object = self.files.get(first).and_then(|file| file.objects.get(key));
        let value = object.map(|object| Change::clone(object));
        let shadowed = holders.map(|name| shadowed(name, key, first)).collect();
        Standing { value, shadowed }
    }

    /// The problems of a file that do not depend on other files.
    fn file_problems(&self, name: &FileName) -> BTreeSet<Problem> {
        let Some(file) = self.files.get(name) else { return BTreeSet::new() };
        let fault = file.fault.iter().map(|fault| Problem::File {
            file: name.to_string(),
            position: fault.position,
            reason: fault.reason.clone(),
        });
        let rejections = file.rejections.iter().map(|rejection| Problem::Object {
            file: name.to_string(),
            rejection: rejection.clone(),
        });
        let repeated = file.repeated.iter().map(|key| shadowed(name, key, name));
        fault.chain(rejections).chain(repeated).collect()
    }

    /// What is different from `before`.
    fn outcome(&mut self, before: Before) -> Outcome {
        let mut outcome = Outcome::default();
        for (key, was) in before.objects {
            let is = self.standing(&key);
            outcome.compare(&was.shadowed, &is.shadowed);
            let proof = match (&was.value, &is.value) {
                (None, Some(_)) => self.namespaces.came(&key),
                (Some(_), None) => self.namespaces.went(&key),
                (None, None) | (Some(_), Some(_)) => None,
            };
            outcome.changes.extend(proof);
            if was.value == is.value {
                continue;
            }
            outcome.changes.extend(match (is.value, &key) {
                (Some(value), _) => Some(value),
                // What objects inside prove outlives the Namespace's own object and its labels.
                (None, ObjectKey::Namespace(name)) => self.namespaces.bare(name),
                (None, _) => Some(key.gone()),
            });
        }
        if std::mem::take(&mut self.renewed) {
            // Those without an object of their own have a label all the same.
            let bare = self.namespaces.iter().filter(|name| {
                let key = ObjectKey::Namespace(Namespace::clone(name));
                !self.holders.contains_key(&key)
            });
            outcome.changes.extend(bare.filter_map(|name| self.namespaces.bare(name)));
        }
        for change in &mut outcome.changes {
            change.retain_labels(&self.kept.labels);
        }
        for (name, was) in before.files {
            outcome.compare(&was, &self.file_problems(&name));
        }
        outcome
    }
}

impl Outcome {
    fn compare(&mut self, was: &BTreeSet<Problem>, is: &BTreeSet<Problem>) {
        self.update.healed.extend(was.difference(is).cloned());
        self.update.appeared.extend(is.difference(was).cloned());
    }
}

impl File {
    /// The objects that only one of the files has, or that they have differently.
    fn differing_from(&self, new: &Self) -> Vec<ObjectKey> {
        let gone = self.objects.keys().filter(|key| !new.objects.contains_key(key));
        let changed =
            new.objects.iter().filter(|(key, value)| self.objects.get(key) != Some(value));
        gone.chain(changed.map(|(key, _)| key)).cloned().collect()
    }

    fn of(conversions: Vec<Conversion>, kept: &Extras) -> Self {
        let mut file = Self::default();
        for conversion in conversions {
            match conversion {
                Conversion::Ignored { kind } => *file.ignored.entry(kind).or_default() += 1,
                Conversion::Read { change, rejections } => {
                    file.rejections.extend(rejections);
                    if let Some(change) = change.and_then(|change| kept.kept_of(change)) {
                        file.add(change);
                    }
                }
            }
        }
        file
    }

    fn add(&mut self, change: Change) {
        match self.objects.entry(ObjectKey::of(&change)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Box::new(change));
            }
            Entry::Occupied(occupied) => {
                self.repeated.insert(occupied.key().clone());
            }
        }
    }
}

fn shadowed(file: &FileName, key: &ObjectKey, by: &FileName) -> Problem {
    Problem::Shadowed { file: file.to_string(), object: key.to_string(), by: by.to_string() }
}
