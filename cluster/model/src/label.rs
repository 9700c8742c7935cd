//! Labels of objects, as far as somebody selects by them.
//!
//! A cluster has many labels, and most of its readers want none. Which ones are kept is said by their
//! keys: [`LabelKeys`] of a snapshot tells what its objects would have if they had it, so that a
//! label that is absent is known to be absent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod selector;

pub use self::selector::{Requirement, Selector, SelectorError};

/// Labels by key.
pub(crate) type LabelMap = BTreeMap<Arc<str>, Arc<str>>;

/// Labels of one object: nothing where it has none, and one copy for all that have the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "LabelMap", into = "LabelMap")]
pub struct Labels(Option<Arc<LabelMap>>);

impl Labels {
    /// The value of the label `key`, if it is there.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.as_ref()?.get(key).map(AsRef::as_ref)
    }

    /// All of them, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|map| map.iter()).map(|(key, value)| (&**key, &**value))
    }

    /// Drops those that are not among `keys`.
    pub fn retain(&mut self, keys: &LabelKeys) {
        let Some(map) = &self.0 else { return };
        if map.keys().all(|key| keys.contains(key)) {
            return;
        }
        let kept = map.iter().filter(|(key, _)| keys.contains(key));
        *self = kept.map(|(key, value)| (Arc::clone(key), Arc::clone(value))).collect();
    }

    /// The shared map, to be replaced by an equal one.
    pub(crate) const fn shared_mut(&mut self) -> Option<&mut Arc<LabelMap>> {
        self.0.as_mut()
    }
}

impl FromIterator<(Arc<str>, Arc<str>)> for Labels {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<str>)>>(labels: I) -> Self {
        labels.into_iter().collect::<LabelMap>().into()
    }
}

impl From<LabelMap> for Labels {
    fn from(map: LabelMap) -> Self {
        Self((!map.is_empty()).then(|| Arc::new(map)))
    }
}

impl From<Labels> for LabelMap {
    fn from(Labels(map): Labels) -> Self {
        map.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

/// Which labels are kept of every Service, Namespace and Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelKeys {
    /// Those with one of these keys.
    Only(BTreeSet<Arc<str>>),
    /// All.
    All,
}

impl Default for LabelKeys {
    /// None.
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl LabelKeys {
    /// Whether labels with this key are kept.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::Only(keys) => keys.contains(key),
            Self::All => true,
        }
    }

    /// Whether everything that `other` keeps is kept.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(own), Self::Only(others)) => others.is_subset(own),
        }
    }

    /// What either of both keeps.
    #[must_use]
    pub fn union(self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Only(own), Self::Only(others)) => Self::Only(&own | others),
        }
    }

    /// What both keep.
    #[must_use]
    pub fn intersection(self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, other) => other.clone(),
            (own, Self::All) => own,
            (Self::Only(own), Self::Only(others)) => Self::Only(&own & others),
        }
    }
}

impl FromIterator<Arc<str>> for LabelKeys {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(keys: I) -> Self {
        Self::Only(keys.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&str]) -> LabelKeys {
        texts.iter().map(|text| Arc::from(*text)).collect()
    }

    #[test]
    fn only_labels_with_wanted_keys_are_kept() {
        let all: Labels = [("app", "web"), ("tier", "front")]
            .map(|(key, value)| (Arc::from(key), Arc::from(value)))
            .into_iter()
            .collect();
        for (wanted, left) in [
            (LabelKeys::All, vec![("app", "web"), ("tier", "front")]),
            (keys(&["tier", "other"]), vec![("tier", "front")]),
            (keys(&[]), vec![]),
        ] {
            let mut labels = all.clone();
            labels.retain(&wanted);
            assert_eq!(labels.iter().collect::<Vec<_>>(), left, "{wanted:?}");
            assert_eq!(labels == Labels::default(), left.is_empty(), "none is none");
        }
    }

    #[test]
    fn keys_are_put_together_and_compared() {
        assert!(LabelKeys::All.covers(&keys(&["a"])) && !keys(&["a"]).covers(&LabelKeys::All));
        assert!(keys(&["a", "b"]).covers(&keys(&["b"])) && !keys(&["a"]).covers(&keys(&["b"])));
        assert_eq!(keys(&["a"]).union(&keys(&["b"])), keys(&["a", "b"]));
        assert_eq!(keys(&["a"]).union(&LabelKeys::All), LabelKeys::All);
        assert_eq!(keys(&["a", "b"]).intersection(&keys(&["b"])), keys(&["b"]));
        assert_eq!(LabelKeys::All.intersection(&keys(&["b"])), keys(&["b"]));
        assert_eq!(keys(&["b"]).intersection(&LabelKeys::All), keys(&["b"]));
    }
}
