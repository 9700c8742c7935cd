//! Which labels somebody selects by: what sources keep, and nothing else.
//!
//! Readers may come to want more at any time. A source then learns the new labels by reading again
//! what it has read, and a snapshot says by its [`LabelKeys`] when it knows them of every object.

use podway_cluster_model::label::LabelKeys;
use tokio::sync::watch;

/// Which labels are wanted; clones show the same.
#[derive(Debug, Clone, Default)]
pub struct WantedLabels(watch::Sender<LabelKeys>);

impl WantedLabels {
    /// Those with these keys, from the start.
    #[must_use]
    pub fn new(keys: LabelKeys) -> Self {
        Self(watch::Sender::new(keys))
    }

    /// Adds `keys` to what is wanted.
    ///
    /// Nothing is ever taken back: a reader that goes may be replaced by one that wants the same.
    pub fn add(&self, keys: &LabelKeys) {
        self.0.send_if_modified(|wanted| {
            let more = !wanted.covers(keys);
            if more {
                *wanted = std::mem::take(wanted).union(keys);
            }
            more
        });
    }

    /// What is wanted now.
    #[must_use]
    pub fn keys(&self) -> LabelKeys {
        self.0.borrow().clone()
    }

    /// What is wanted now, and what will be.
    pub(crate) fn follow(&self) -> Followed {
        let mut receiver = self.0.subscribe();
        let keys = receiver.borrow_and_update().clone();
        Followed { receiver, keys }
    }
}

/// What a source keeps.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    receiver: watch::Receiver<LabelKeys>,
    keys: LabelKeys,
}

impl Followed {
    /// The keys that were wanted when somebody last looked.
    pub(crate) const fn keys(&self) -> &LabelKeys {
        &self.keys
    }

    /// Looks whether more is wanted.
    pub(crate) fn look(&mut self) -> bool {
        let wanted = self.receiver.borrow_and_update();
        let more = *wanted != self.keys;
        if more {
            self.keys = wanted.clone();
        }
        more
    }

    /// Ends when more may be wanted.
    pub(crate) async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            // Nobody is left who could want more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&str]) -> LabelKeys {
        texts.iter().map(|text| (*text).into()).collect()
    }

    #[test]
    fn what_is_wanted_grows() {
        let wanted = WantedLabels::new(keys(&["a"]));
        let mut followed = wanted.clone().follow();
        wanted.add(&keys(&["a"]));
        assert!(!followed.look());
        wanted.add(&keys(&["b"]));
        assert!(followed.look() && !followed.look());
        assert_eq!(*followed.keys(), keys(&["a", "b"]));
    }
}
