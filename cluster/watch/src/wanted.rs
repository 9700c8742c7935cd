//! What somebody wants to know besides what everybody does: sources keep that, and nothing else.
//!
//! Readers may come to want more at any time. A source then learns it by reading again what it has
//! read, and a snapshot says when it knows it of every object.

use podway_cluster_model::builder::Change;
use podway_cluster_model::label::LabelKeys;
use tokio::sync::watch;

/// What is kept besides what everybody needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extras {
    /// Labels of Services, imports, Namespaces and Pods.
    pub labels: LabelKeys,
    /// Services of other clusters.
    pub imports: bool,
}

impl Extras {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self { labels: LabelKeys::All, imports: true }
    }

    /// What is kept of an object; `None` where nothing is.
    pub(crate) fn kept_of(&self, mut change: Change) -> Option<Change> {
        change.retain_labels(&self.labels);
        if self.imports {
            return Some(change);
        }
        if let Change::Slice(slice) = &mut change {
            slice.origin = None;
            slice.service.as_ref()?;
        }
        (!matches!(change, Change::Import(_))).then_some(change)
    }

    /// Whether everything of `other` is kept.
    fn covers(&self, other: &Self) -> bool {
        self.labels.covers(&other.labels) && self.imports >= other.imports
    }
}

/// What is wanted; clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Wanted(watch::Sender<Extras>);

impl Wanted {
    /// This, from the start.
    #[must_use]
    pub fn new(extras: Extras) -> Self {
        Self(watch::Sender::new(extras))
    }

    /// Adds `extras` to what is wanted.
    ///
    /// Nothing is ever taken back: a reader that goes may be replaced by one that wants the same.
    pub fn add(&self, extras: &Extras) {
        self.0.send_if_modified(|wanted| {
            let more = !wanted.covers(extras);
            if more {
                wanted.labels = std::mem::take(&mut wanted.labels).union(&extras.labels);
                wanted.imports |= extras.imports;
            }
            more
        });
    }

    /// What is wanted now.
    #[must_use]
    pub fn extras(&self) -> Extras {
        self.0.borrow().clone()
    }

    /// What is wanted now, and what will be.
    pub(crate) fn follow(&self) -> Followed {
        let mut receiver = self.0.subscribe();
        let extras = receiver.borrow_and_update().clone();
        Followed { receiver, extras }
    }
}

/// What a source keeps.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    receiver: watch::Receiver<Extras>,
    extras: Extras,
}

impl Followed {
    /// What was wanted when somebody last looked.
    pub(crate) const fn extras(&self) -> &Extras {
        &self.extras
    }

    /// Looks what is wanted now; says whether `concerns` something in what differs from before.
    pub(crate) fn look(&mut self, concerns: impl Fn(&Extras, &Extras) -> bool) -> bool {
        let before = std::mem::replace(&mut self.extras, self.receiver.borrow_and_update().clone());
        concerns(&before, &self.extras)
    }

    /// Ends when something is wanted that `concerns` somebody.
    pub(crate) async fn changed(&mut self, concerns: impl Fn(&Extras, &Extras) -> bool) {
        while self.receiver.changed().await.is_ok() {
            if self.look(&concerns) {
                return;
            }
        }
        // Nobody is left who could want more.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Extras {
        Extras { labels: texts.iter().map(|text| (*text).into()).collect(), imports: false }
    }

    #[test]
    fn what_is_wanted_grows() {
        let wanted = Wanted::new(labels(&["a"]));
        let mut followed = wanted.clone().follow();
        let differs = |before: &Extras, after: &Extras| before != after;
        wanted.add(&labels(&["a"]));
        assert!(!followed.look(differs));
        wanted.add(&labels(&["b"]));
        assert!(followed.look(differs) && !followed.look(differs));
        assert_eq!(*followed.extras(), labels(&["a", "b"]));
        wanted.add(&Extras { imports: true, ..Extras::default() });
        wanted.add(&labels(&["b"]));
        assert!(!followed.look(|before, after| before.labels != after.labels));
        assert_eq!(*followed.extras(), Extras { imports: true, ..labels(&["a", "b"]) });
    }
}
