//! What the server said, as one view: whole, or not there yet.
//!
//! A pure state machine. Each kind is listed and then followed; the view is complete once every kind
//! has been listed, and stays so. A list that comes later replaces what is known of its kind in
//! place: what it no longer has is gone when the list ends, not before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::import::Imports;
use podway_cluster_model::intern::Interner;
use podway_cluster_model::label::LabelKeys;
use podway_cluster_model::name::ServiceName;
use podway_cluster_model::snapshot::{Delta, Snapshot};

use crate::key::ObjectKey;
use crate::publish::Trigger;
use crate::rejection::ObjectKind;
use crate::report::{Problem, Update};
use crate::wanted::Extras;

use super::event::Entry;
use super::kind::{LABELED, Need, need};

#[cfg(test)]
mod tests;

/// One thing that was heard about a kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// All objects of the kind follow.
    ListBegins {
        /// What is kept of them.
        kept: Extras,
    },
    /// An object is this now, or gone.
    Object(Box<Entry>),
    /// All objects of the kind were sent.
    ListEnds,
    /// The server shows none, and the view does without.
    Unavailable {
        /// Why.
        reason: String,
        /// Whether that is because it knows no such kind.
        absent: bool,
    },
}

/// What some inputs changed.
#[derive(Debug)]
pub(crate) struct Step {
    /// The newest view, if it is complete.
    pub(crate) complete: Option<Arc<Snapshot>>,
    /// What differs from the view that was complete before.
    pub(crate) delta: Delta,
    /// Problems that came and went.
    pub(crate) update: Update,
    /// What the changed slices were written for.
    pub(crate) triggers: Vec<Trigger>,
}

/// What is known.
#[derive(Debug)]
pub(crate) struct Store {
    builder: Builder,
    interner: Interner,
    kinds: BTreeMap<ObjectKind, Standing>,
    /// What is wrong with objects, by kind and name.
    problems: HashMap<(ObjectKind, String), BTreeSet<Problem>>,
    /// Why kinds are not shown.
    unavailable: BTreeMap<ObjectKind, Problem>,
    /// What differs from the last view that was complete.
    pending: Delta,
    /// Whether there has been a complete view.
    complete: bool,
}

/// How far a kind is.
#[derive(Debug, Default)]
struct Standing {
    /// Whether it was listed once.
    listed: bool,
    /// What was kept of the objects of that list.
    kept: Extras,
    /// The objects of a list that has not ended.
    seen: Option<Seen>,
}

/// What a list has had so far.
#[derive(Debug, Default)]
struct Seen {
    kept: Extras,
    objects: HashSet<ObjectKey>,
    /// Names of those that have problems.
    faulty: HashSet<String>,
}

impl Default for Store {
    fn default() -> Self {
        let always = ObjectKind::ALL.into_iter().filter(|kind| need(*kind) != Need::Extra);
        let kinds = always.map(|kind| (kind, Standing::default())).collect();
        Self {
            builder: Builder::new(),
            interner: Interner::default(),
            kinds,
            problems: HashMap::new(),
            unavailable: BTreeMap::new(),
            pending: Delta::default(),
            complete: false,
        }
    }
}

impl Store {
    /// A store that begins with what an earlier run knew; the view is not complete by that.
    pub(crate) fn restored(
        (labels, imports): (LabelKeys, Imports),
        changes: impl IntoIterator<Item = Change>,
    ) -> (Self, Arc<Snapshot>) {
        let mut store = Self::default();
        store.builder.keep_labels(labels);
        store.builder.know_imports(imports);
        let interner = &mut store.interner;
        let changes = changes.into_iter().map(|mut change| {
            interner.change(&mut change);
            change
        });
        let (snapshot, _) = store.builder.apply(changes);
        (store, snapshot)
    }

    /// Takes in what was heard, in order.
    pub(crate) fn apply(&mut self, inputs: impl IntoIterator<Item = (ObjectKind, Input)>) -> Step {
        let mut gathered = Gathered::default();
        for (kind, input) in inputs {
            self.take(kind, input, &mut gathered);
        }
        let Gathered { changes, update, triggers } = gathered;
        let (snapshot, delta) = self.builder.apply(changes);
        self.pending.merge(delta);
        self.complete |= self.awaited().is_empty();
        if self.complete {
            let delta = std::mem::take(&mut self.pending);
            // A list tells again what is known; only what differs was written for something.
            let differing = |(service, _): &(ServiceName, _)| delta.services.contains(service);
            let triggers = triggers.into_iter().filter(differing).map(|(_, trigger)| trigger);
            let triggers = triggers.collect();
            Step { complete: Some(snapshot), delta, update, triggers }
        } else {
            Step { complete: None, delta: Delta::default(), update, triggers: Vec::new() }
        }
    }

    /// The kinds that the first complete view waits for.
    pub(crate) fn awaited(&self) -> Vec<ObjectKind> {
        let unlisted = self
            .kinds
            .iter()
            .filter(|(kind, standing)| !standing.listed && need(**kind) != Need::Extra);
        unlisted.map(|(kind, _)| *kind).collect()
    }

    fn take(&mut self, kind: ObjectKind, input: Input, gathered: &mut Gathered) {
        match input {
            Input::ListBegins { kept } => {
                self.standing(kind).seen = Some(Seen { kept, ..Seen::default() });
            }
            Input::Object(entry) => self.take_object(kind, *entry, gathered),
            Input::ListEnds => {
                self.standing(kind).listed = true;
                if let Some(problem) = self.unavailable.remove(&kind) {
                    gathered.update.healed.insert(problem);
                }
                if let Some(seen) = self.standing(kind).seen.take() {
                    self.forget_unseen(kind, &seen, gathered);
                    self.standing(kind).kept = seen.kept;
                    self.note_extras();
                }
            }
            Input::Unavailable { reason, absent } => {
                let standing = self.standing(kind);
                standing.seen = None;
                standing.listed = true;
                // Of no object everything is known, but for what may be there and is not shown.
                let imports = kind != ObjectKind::Import || absent;
                standing.kept = Extras { labels: LabelKeys::All, imports };
                self.note_extras();
                let problem = Problem::Unavailable { kind, reason };
                if self.unavailable.get(&kind) != Some(&problem) {
                    gathered.update.appeared.insert(problem.clone());
                    gathered.update.healed.extend(self.unavailable.insert(kind, problem));
                }
            }
        }
    }

    fn standing(&mut self, kind: ObjectKind) -> &mut Standing {
        self.kinds.entry(kind).or_default()
    }

    /// Says what is known of every object, once every kind that it is about was listed.
    fn note_extras(&mut self) {
        let standings = LABELED.iter().filter_map(|kind| self.kinds.get(kind));
        if !standings.clone().all(|standing| standing.listed) {
            return;
        }
        let labels = standings
            .fold(LabelKeys::All, |known, standing| known.intersection(&standing.kept.labels));
        let has_imports = |kind| {
            let standing: Option<&Standing> = self.kinds.get(&kind);
            standing.filter(|standing| standing.listed && standing.kept.imports)
        };
        let imports = has_imports(ObjectKind::Import);
        // An import without a label that Services would have could be taken for one that lacks it.
        let known = has_imports(ObjectKind::EndpointSlice).is_some()
            && imports.is_some_and(|standing| standing.kept.labels.covers(&labels));
        self.builder.keep_labels(labels);
        self.builder.know_imports(if known { Imports::Known } else { Imports::Unknown });
    }

    fn take_object(&mut self, kind: ObjectKind, entry: Entry, gathered: &mut Gathered) {
        let Entry { key, described, change, rejections, trigger } = entry;
        if let Some(seen) = &mut self.standing(kind).seen {
            seen.objects.extend(key.clone());
            if !rejections.is_empty() {
                seen.faulty.insert(described.clone());
            }
        }
        let problems = rejections.into_iter().map(|rejection| Problem::Served { rejection });
        self.replace_problems(kind, described, problems.collect(), &mut gathered.update);
        match (change, key) {
            (Some(mut change), _) => {
                if let (Change::Slice(slice), Some(trigger)) = (&change, trigger)
                    && let Some(service) = &slice.service
                {
                    gathered.triggers.push((service.clone(), trigger));
                }
                self.interner.change(&mut change);
                gathered.changes.push(change);
            }
            // An object that cannot be used is one that is not there.
            (None, Some(key)) => gathered.changes.push(key.gone()),
            (None, None) => {}
        }
    }

    fn replace_problems(
        &mut self,
        kind: ObjectKind,
        described: String,
        problems: BTreeSet<Problem>,
        update: &mut Update,
    ) {
        if problems.is_empty() && self.problems.is_empty() {
            return;
        }
        let key = (kind, described);
        let before = self.problems.remove(&key).unwrap_or_default();
        update.healed.extend(before.difference(&problems).cloned());
        update.appeared.extend(problems.difference(&before).cloned());
        if !problems.is_empty() {
            self.problems.insert(key, problems);
        }
    }

    /// Takes away what is known of `kind` and was not in the list that ended.
    fn forget_unseen(&mut self, kind: ObjectKind, seen: &Seen, gathered: &mut Gathered) {
        // What the inputs before said of the kind counts for the comparison.
        let (snapshot, delta) = self.builder.apply(gathered.changes.drain(..));
        self.pending.merge(delta);
        let unseen = known(kind, &snapshot).filter(|key| !seen.objects.contains(key));
        gathered.changes.extend(unseen.map(ObjectKey::gone));
        let healed: Vec<_> = self
            .problems
            .keys()
            .filter(|(of, name)| *of == kind && !seen.faulty.contains(name))
            .cloned()
            .collect();
        for (kind, described) in healed {
            self.replace_problems(kind, described, BTreeSet::new(), &mut gathered.update);
        }
    }
}

/// What inputs came to.
#[derive(Debug, Default)]
struct Gathered {
    changes: Vec<Change>,
    update: Update,
    triggers: Vec<(ServiceName, Trigger)>,
}

/// The objects of `kind` that are in `snapshot`.
fn known(kind: ObjectKind, snapshot: &Snapshot) -> Box<dyn Iterator<Item = ObjectKey> + '_> {
    match kind {
        ObjectKind::Service => {
            let with_object = snapshot.services.iter().filter(|(_, entry)| entry.service.is_some());
            Box::new(with_object.map(|(name, _)| ObjectKey::Service(name.clone())))
        }
        ObjectKind::EndpointSlice => {
            let slices = snapshot.services.values().flat_map(|entry| {
                let imported = entry.imported.iter().flat_map(|imported| imported.slices.values());
                entry.slices.values().chain(imported)
            });
            Box::new(slices.map(|slice| ObjectKey::Slice(slice.name.clone())))
        }
        ObjectKind::Import => {
            let imports = snapshot.services.values().filter_map(|entry| {
                entry.imported.as_ref().and_then(|imported| imported.import.as_ref())
            });
            Box::new(imports.map(|import| ObjectKey::Import(import.name.clone())))
        }
        ObjectKind::Namespace => {
            Box::new(snapshot.namespaces.keys().cloned().map(ObjectKey::Namespace))
        }
        ObjectKind::Node => Box::new(snapshot.nodes.keys().cloned().map(ObjectKey::Node)),
        ObjectKind::Pod => Box::new(snapshot.pods.keys().cloned().map(ObjectKey::Pod)),
        ObjectKind::ServiceCidr => {
            Box::new(snapshot.service_cidrs.keys().cloned().map(ObjectKey::ServiceCidr))
        }
    }
}
