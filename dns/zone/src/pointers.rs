//! Which Services an address belongs to.
//!
//! Nearly every address of a cluster has an entry, so entries are small: those of 256 neighbors stand
//! in one list, without a node of a tree for each. A change copies one list.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use crate::service::ServiceKey;

/// Which Services an address belongs to, as their own address or as an endpoint's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pointers {
    /// By the first address of the page; ordered, so that the addresses under a prefix are one
    /// range. No page is empty.
    pages: RedBlackTreeMapSync<IpAddr, Page>,
}

/// The addresses that differ in the last octet only, ordered by it. Shared with older views; the
/// newest changes it in place while it is not.
type Page = Arc<Vec<Entry>>;

/// One address of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    last_octet: u8,
    holders: Holders,
}

/// The Services of one address, ordered; nearly always one, which then costs no list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holders {
    /// A single one.
    One(ServiceKey),
    /// Two or more, ordered.
    Many(Arc<Vec<ServiceKey>>),
}

impl Holders {
    /// None for an empty list.
    fn new(mut keys: Vec<ServiceKey>) -> Option<Self> {
        match keys.len() {
            0 | 1 => keys.pop().map(Self::One),
            _ => Some(Self::Many(Arc::new(keys))),
        }
    }

    /// All of them.
    fn keys(&self) -> &[ServiceKey] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

impl Pointers {
    /// The Services of an address, in order.
    pub(crate) fn services(&self, address: IpAddr) -> &[ServiceKey] {
        let (first, last_octet) = place(address);
        let Some(page) = self.pages.get(&first) else { return &[] };
        match page.binary_search_by_key(&last_octet, |entry| entry.last_octet) {
            Ok(index) => page[index].holders.keys(),
            Err(_) => &[],
        }
    }

    /// The addresses in a range, in order, with their Services.
    pub(crate) fn range(
        &self,
        range: RangeInclusive<IpAddr>,
    ) -> impl Iterator<Item = (IpAddr, &[ServiceKey])> {
        let pages = place(*range.start()).0..=place(*range.end()).0;
        let pages = self.pages.range(pages);
        let entries = pages.flat_map(|(first, page)| page.iter().map(|entry| (*first, entry)));
        entries
            .map(|(first, entry)| (with_last(first, entry.last_octet), entry.holders.keys()))
            .filter(move |(address, _)| range.contains(address))
    }

    /// All addresses in order.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.pages
            .iter()
            .flat_map(|(first, page)| page.iter().map(|entry| with_last(*first, entry.last_octet)))
    }

    /// Moves the Service `key` from the addresses `before` to those of `after`; visits only those
    /// that differ, and their neighbors.
    pub(crate) fn replace(
        &mut self,
        key: &ServiceKey,
        before: &BTreeSet<IpAddr>,
        after: &BTreeSet<IpAddr>,
    ) {
        for address in before.difference(after) {
            let others = self.services(*address).iter().filter(|other| *other != key).cloned();
            let others = others.collect();
            self.set(*address, others);
        }
        for address in after.difference(before) {
            let mut keys = self.services(*address).to_vec();
            if let Err(index) = keys.binary_search(key) {
                keys.insert(index, key.clone());
                self.set(*address, keys);
            }
        }
    }

    /// Gives an address these Services, in order.
    fn set(&mut self, address: IpAddr, keys: Vec<ServiceKey>) {
        let (first, last_octet) = place(address);
        let holders = Holders::new(keys);
        let Some(page) = self.pages.get_mut(&first) else {
            if let Some(holders) = holders {
                self.pages.insert_mut(first, Arc::new(vec![Entry { last_octet, holders }]));
            }
            return;
        };
        let page = Arc::make_mut(page);
        let found = page.binary_search_by_key(&last_octet, |entry| entry.last_octet);
        match (found, holders) {
            (Ok(index), Some(holders)) => page[index].holders = holders,
            (Ok(index), None) => drop(page.remove(index)),
            (Err(index), Some(holders)) => page.insert(index, Entry { last_octet, holders }),
            (Err(_), None) => {}
        }
        if page.is_empty() {
            self.pages.remove_mut(&first);
        }
    }
}

/// The first address of the page that an address stands in, and its place there.
fn place(address: IpAddr) -> (IpAddr, u8) {
    let last_octet = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    (with_last(address, 0), last_octet)
}

/// The address with another last octet.
fn with_last(address: IpAddr, last_octet: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::from([a, b, c, last_octet]).into()
        }
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[15] = last_octet;
            Ipv6Addr::from(octets).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Addresses of both families, of which many share a page.
    fn address() -> impl Strategy<Value = IpAddr> {
        let v4 = (0..3_u8, 0..6_u8).prop_map(|(page, last)| Ipv4Addr::new(10, 0, page, last * 51));
        let v6 = (0..3_u16, 0..6_u16).prop_map(|(page, last)| {
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, (page << 8) | (last * 51))
        });
        prop_oneof![v4.prop_map(IpAddr::V4), v6.prop_map(IpAddr::V6)]
    }

    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    proptest! {
        #[test]
        fn pointers_hold_what_a_map_of_sets_holds(
            steps in prop::collection::vec(
                (0..4_u8, prop::collection::btree_set(address(), 0..8)), 0..40),
            (one, other) in (address(), address()),
        ) {
            let mut pointers = Pointers::default();
            let mut services: BTreeMap<u8, BTreeSet<IpAddr>> = BTreeMap::new();
            for (service, after) in steps {
                let before = services.insert(service, after.clone()).unwrap_or_default();
                pointers.replace(&ServiceKey::from([service]), &before, &after);
            }
            let mut expected: BTreeMap<IpAddr, Vec<ServiceKey>> = BTreeMap::new();
            for (service, addresses) in &services {
                for address in addresses {
                    expected.entry(*address).or_default().push(ServiceKey::from([*service]));
                }
            }
            prop_assert!(pointers.addresses().eq(expected.keys().copied()));
            let all = pointers.addresses().map(|address| (address, pointers.services(address)));
            prop_assert!(all.eq(expected.iter().map(|(address, keys)| (*address, &keys[..]))));
            prop_assert!(expected.contains_key(&one) || pointers.services(one).is_empty());
            let range = one.min(other)..=one.max(other);
            let within = expected.range(range.clone()).map(|(address, keys)| (*address, &keys[..]));
            prop_assert!(pointers.range(range).eq(within));
            // Nothing stays of what is gone.
            for (service, before) in &services {
                pointers.replace(&ServiceKey::from([*service]), before, &BTreeSet::new());
            }
            prop_assert_eq!(pointers, Pointers::default());
        }
    }
}
