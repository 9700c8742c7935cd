//! A persistent map by octets: a clone shares everything, a change copies three short arrays.
//!
//! A question costs a look at two arrays, of which the first tends to stay in the processor's cache,
//! and one at the value itself; at a list of entries only where several share a bucket. Every further
//! step is one into memory that the kernel's work has pushed out of the cache: with 10,000 Services
//! the hash tries of rpds, which are used where less hangs on it, took a sixth of all the time that
//! the server worked, the kernel's part included, and lists for all buckets a tenth.

use std::array;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Bits of the hash that choose in one array.
const BITS: u32 = 7;

/// Places of one array: two levels of 128 make 16,384 buckets, most of which have one entry at most in
/// clusters of up to some ten thousands of Services. A change copies one array of each level.
const PLACES: usize = 1 << BITS;

/// What knows its key.
pub(crate) trait Keyed {
    /// The octets that it is found by.
    fn key(&self) -> &[u8];
}

/// One entry, with the hash of its key so that others are told apart without looking at them.
struct Entry<V> {
    hash: u64,
    value: Arc<V>,
}

/// The entries of one bucket, in no order.
enum Bucket<V> {
    /// None.
    Empty,
    /// One, without a further step.
    One(Entry<V>),
    /// Several.
    Many(Arc<[Entry<V>]>),
}

/// The buckets under one place of the root.
type Branch<V> = [Bucket<V>; PLACES];

/// The map.
pub(crate) struct Table<V> {
    root: Arc<[Arc<Branch<V>>; PLACES]>,
    /// Keyed by chance: names are chosen by users, who must not choose the buckets.
    hasher: RandomState,
    len: usize,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { hash: self.hash, value: Arc::clone(&self.value) }
    }
}

impl<V> Clone for Bucket<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::One(entry) => Self::One(entry.clone()),
            Self::Many(entries) => Self::Many(Arc::clone(entries)),
        }
    }
}

impl<V> Bucket<V> {
    /// All of them.
    fn entries(&self) -> &[Entry<V>] {
        match self {
            Self::Empty => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }
}

impl<V> FromIterator<Entry<V>> for Bucket<V> {
    fn from_iter<I: IntoIterator<Item = Entry<V>>>(entries: I) -> Self {
        let mut entries = entries.into_iter();
        let Some(first) = entries.next() else { return Self::Empty };
        match entries.next() {
            None => Self::One(first),
            Some(second) => Self::Many([first, second].into_iter().chain(entries).collect()),
        }
    }
}

impl<V> Clone for Table<V> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), hasher: self.hasher.clone(), len: self.len }
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        let branch: Arc<Branch<V>> = Arc::new(array::from_fn(|_| Bucket::Empty));
        let root = Arc::new(array::from_fn(|_| Arc::clone(&branch)));
        Self { root, hasher: RandomState::new(), len: 0 }
    }
}

impl<V: Keyed> Table<V> {
    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Arc<V>> {
        let hash = self.hasher.hash_one(key);
        let (branch, bucket) = places(hash);
        let entries = self.root[branch][bucket].entries();
        let found = entries.iter().find(|entry| entry.hash == hash && entry.value.key() == key)?;
        Some(&found.value)
    }

    /// All values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<V>> {
        let buckets = self.root.iter().flat_map(|branch| branch.iter());
        buckets.flat_map(Bucket::entries).map(|entry| &entry.value)
    }

    /// Replaces the value of `key` by one with the same key, or removes it.
    pub(crate) fn set(&mut self, key: &[u8], value: Option<Arc<V>>) {
        let hash = self.hasher.hash_one(key);
        let (branch, bucket) = places(hash);
        let branch = &mut Arc::make_mut(&mut self.root)[branch];
        let bucket = &mut Arc::make_mut(branch)[bucket];
        let is_other = |entry: &&Entry<V>| entry.hash != hash || entry.value.key() != key;
        let others = bucket.entries().iter().filter(is_other).cloned();
        let own = value.map(|value| Entry { hash, value });
        let before = bucket.entries().len();
        let after: Bucket<V> = others.chain(own).collect();
        self.len = self.len + after.entries().len() - before;
        *bucket = after;
    }
}

/// Places in the root and in the branch.
fn places(hash: u64) -> (usize, usize) {
    // The upper bits choose; what is cut off is not looked at.
    let place = |shift: u32| usize::try_from(hash >> shift).unwrap_or(0) % PLACES;
    (place(u64::BITS - BITS), place(u64::BITS - 2 * BITS))
}

impl<V: Keyed + PartialEq> PartialEq for Table<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|value| other.get(value.key()) == Some(value))
    }
}

impl<V: Keyed + Eq> Eq for Table<V> {}

impl<V: Keyed + fmt::Debug> fmt::Debug for Table<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A key of two octets and a value.
    #[derive(Debug, PartialEq, Eq)]
    struct Pair([u8; 2], u16);

    impl Keyed for Pair {
        fn key(&self) -> &[u8] {
            &self.0
        }
    }

    fn contents(table: &Table<Pair>) -> BTreeMap<[u8; 2], u16> {
        table.iter().map(|pair| (pair.0, pair.1)).collect()
    }

    #[test]
    fn bucket_holds_what_it_is_made_of() {
        for count in 0..5_u16 {
            let entry = |number| Entry { hash: 7, value: Arc::new(Pair([0; 2], number)) };
            let bucket: Bucket<Pair> = (0..count).map(entry).collect();
            let held: Vec<_> = bucket.entries().iter().map(|entry| entry.value.1).collect();
            assert_eq!(held, Vec::from_iter(0..count));
            let is_list = matches!(bucket.clone(), Bucket::Many(_));
            assert_eq!(is_list, count > 1);
        }
    }

    proptest! {
        #[test]
        fn table_holds_what_a_map_holds_and_clones_keep_what_they_held(
            steps in prop::collection::vec((0..1000_u16, prop::option::of(any::<u16>())), 0..1000),
        ) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (step, (key, value)) in steps.into_iter().enumerate() {
                let key = key.to_be_bytes();
                table.set(&key, value.map(|value| Arc::new(Pair(key, value))));
                match value {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
                prop_assert_eq!(table.get(&key).map(|pair| pair.1), value);
                prop_assert_eq!(table.len, map.len());
                if step % 100 == 0 {
                    clones.push((table.clone(), map.clone()));
                }
            }
            clones.push((table, map));
            for (table, map) in &clones {
                prop_assert_eq!(&contents(table), map);
            }
        }

        #[test]
        fn tables_are_equal_by_what_they_hold(
            entries in prop::collection::btree_map(any::<u16>(), any::<u16>(), 1..50),
        ) {
            let table = |entries: &mut dyn Iterator<Item = (&u16, &u16)>| {
                let mut table = Table::default();
                for (key, value) in entries {
                    let key = key.to_be_bytes();
                    table.set(&key, Some(Arc::new(Pair(key, *value))));
                }
                table
            };
            let forward = table(&mut entries.iter());
            prop_assert_eq!(&forward, &table(&mut entries.iter().rev()));
            prop_assert_ne!(&forward, &table(&mut entries.iter().skip(1)));
        }
    }
}
