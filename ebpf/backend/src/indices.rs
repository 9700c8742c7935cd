//! Gives out indices of pools, the least free one first.

use std::collections::BTreeSet;

/// The indices that are free.
#[derive(Debug)]
pub(crate) struct Indices {
    /// Free indices below `next`.
    free: BTreeSet<u32>,
    /// All from here on are free.
    next: u32,
    /// No index reaches this.
    limit: u32,
}

impl Indices {
    /// Indices 0 to `limit`, exclusive, all free.
    pub(crate) const fn new(limit: u32) -> Self {
        Self { free: BTreeSet::new(), next: 0, limit }
    }

    /// Takes the least free index; `None` when there is none.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop_first() {
            return Some(index);
        }
        let index = self.next;
        (index < self.limit).then(|| {
            self.next += 1;
            index
        })
    }

    /// Takes exactly `index`; says whether it was free.
    pub(crate) fn reserve(&mut self, index: u32) -> bool {
        if index >= self.limit {
            return false;
        }
        if index >= self.next {
            self.free.extend(self.next..index);
            self.next = index + 1;
            return true;
        }
        self.free.remove(&index)
    }

    /// Gives `index` back.
    pub(crate) fn give_back(&mut self, index: u32) {
        self.free.insert(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_index_is_not_given_out() {
        let mut indices = Indices::new(4);
        assert!(indices.reserve(2));
        assert!(!indices.reserve(2));
        assert!(!indices.reserve(4), "out of bounds");
        let taken: Vec<_> = std::iter::from_fn(|| indices.take()).collect();
        assert_eq!(taken, [0, 1, 3]);
        indices.give_back(1);
        assert_eq!(indices.take(), Some(1));
    }
}
