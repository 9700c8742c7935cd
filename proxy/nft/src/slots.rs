//! Which endpoint has which slot of a frontend.
//!
//! Slots are stable: an endpoint keeps its slot as long as it can, so that a change of one endpoint
//! changes one slot. Removing one leaves a hole, which the draw in [`crate::schema`] passes over.
//!
//! Invariants, when there are endpoints: the number of slots is the smallest power of two that
//! holds them (so more than half are filled), and slot 0 is filled.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use podway_proxy_plan::plan::Backend;

use crate::names::SizeClass;

/// The slots of one pool of endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// The endpoints, shared with the plan.
    endpoints: Arc<[Backend]>,
    /// Who sits in each slot; as long as the size, or empty.
    seats: Box<[Option<Seat>]>,
}

/// A tenant as a slot keeps it: a cluster has many slots, so four octets with the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    /// Place among the endpoints.
    endpoint: u16,
    /// Number of the copy, from 1.
    copy: NonZeroU16,
}

/// What a slot holds: an endpoint, or one more copy of it where its weight asks for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tenant {
    endpoint: SocketAddr,
    copy: NonZeroU16,
}

/// The tenants of `endpoints` with their seats, each as often as its weight, divided by what all
/// weights share.
fn tenants(endpoints: &[Backend]) -> Vec<(Tenant, Seat)> {
    let shared = endpoints.iter().map(|backend| u16::from(backend.weight)).fold(0, divisor).max(1);
    let copies = |(place, backend): (u16, &Backend)| {
        let endpoint = backend.address;
        (1..=u16::from(backend.weight) / shared)
            .filter_map(NonZeroU16::new)
            .map(move |copy| (Tenant { endpoint, copy }, Seat { endpoint: place, copy }))
    };
    // Each endpoint has a copy at least, so places past the last slot's are not asked for.
    (0..=u16::MAX).zip(endpoints).flat_map(copies).take(SizeClass::MAX_SLOTS).collect()
}

/// The greatest common divisor.
const fn divisor(one: u16, other: u16) -> u16 {
    if other == 0 { one } else { divisor(other, one % other) }
}

impl Slots {
    /// Slots with `endpoints` in order, for a pool that had none.
    #[must_use]
    pub fn new(endpoints: &Arc<[Backend]>) -> Self {
        Self::default().updated(endpoints)
    }

    /// The size; `None` without endpoints.
    #[must_use]
    pub fn size(&self) -> Option<SizeClass> {
        SizeClass::for_endpoints(self.seats.len())
    }

    /// Filled slots in order, with their endpoints.
    pub fn filled(&self) -> impl Iterator<Item = (u16, SocketAddr)> + '_ {
        self.seats.iter().enumerate().filter_map(|(slot, seat)| {
            // At most 65,536 slots: every index fits.
            Some((u16::try_from(slot).ok()?, self.tenant((*seat)?)?.endpoint))
        })
    }

    /// Who has `seat`; everybody who has one is among the endpoints.
    fn tenant(&self, seat: Seat) -> Option<Tenant> {
        let backend = self.endpoints.get(usize::from(seat.endpoint))?;
        Some(Tenant { endpoint: backend.address, copy: seat.copy })
    }

    /// The slots for `endpoints` (distinct), changed as little as the invariants allow.
    ///
    /// Endpoints past [`SizeClass::MAX_SLOTS`], copies counted, get no slot.
    #[must_use]
    pub fn updated(&self, endpoints: &Arc<[Backend]>) -> Self {
        let tenants = tenants(endpoints);
        let Some(size) = SizeClass::for_endpoints(tenants.len()) else {
            return Self::default();
        };
        let wanted: HashMap<Tenant, Seat> = tenants.iter().copied().collect();
        let mut kept: HashSet<Tenant> = HashSet::with_capacity(wanted.len());
        let mut keep = |seat: Seat| {
            let tenant = self.tenant(seat)?;
            let seat = wanted.get(&tenant)?;
            kept.insert(tenant).then_some(*seat)
        };
        let mut seats: Vec<Option<Seat>> =
            self.seats.iter().take(size.slots()).map(|seat| seat.and_then(&mut keep)).collect();
        seats.resize(size.slots(), None);

        let mut homeless = tenants.iter().filter(|(tenant, _)| !kept.contains(tenant));
        for seat in seats.iter_mut().filter(|seat| seat.is_none()) {
            match homeless.next() {
                Some((_, own)) => *seat = Some(*own),
                None => break,
            }
        }
        if let [first @ None, rest @ ..] = seats.as_mut_slice() {
            *first = rest.iter_mut().rev().find_map(Option::take);
        }
        Self { endpoints: Arc::clone(endpoints), seats: seats.into() }
    }
}

#[cfg(test)]
mod tests {
    use podway_proxy_plan::plan::Place;
    use proptest::prelude::*;

    use super::*;

    fn weighted(number: u16, weight: u8) -> Backend {
        let address = SocketAddr::from(([10, 244, 0, 1], number));
        Backend { address, place: Place::Elsewhere, weight }
    }

    fn endpoints(numbers: &[u16]) -> Arc<[Backend]> {
        numbers.iter().map(|number| weighted(*number, 1)).collect()
    }

    fn layout(slots: &Slots) -> Vec<(u16, u16)> {
        slots.filled().map(|(slot, endpoint)| (slot, endpoint.port())).collect()
    }

    #[test]
    fn slot_takes_four_octets() {
        assert_eq!(size_of::<Option<Seat>>(), 4);
    }

    #[test]
    fn removed_endpoint_leaves_a_hole() {
        let slots = Slots::new(&endpoints(&[1, 2, 3, 4])).updated(&endpoints(&[1, 3, 4]));
        assert_eq!(layout(&slots), [(0, 1), (2, 3), (3, 4)]);
    }

    #[test]
    fn added_endpoint_takes_the_hole() {
        let slots = Slots::new(&endpoints(&[1, 2, 3, 4]))
            .updated(&endpoints(&[1, 3, 4]))
            .updated(&endpoints(&[1, 3, 4, 9]));
        assert_eq!(layout(&slots), [(0, 1), (1, 9), (2, 3), (3, 4)]);
    }

    #[test]
    fn slot_0_is_filled_by_the_last_when_its_endpoint_goes() {
        let slots = Slots::new(&endpoints(&[1, 2, 3, 4])).updated(&endpoints(&[2, 3, 4]));
        assert_eq!(layout(&slots), [(0, 4), (1, 2), (2, 3)]);
    }

    #[test]
    fn half_empty_slots_are_halved() {
        let slots = Slots::new(&endpoints(&[1, 2, 3, 4, 5])).updated(&endpoints(&[1, 4, 5]));
        assert_eq!(slots.size().map(SizeClass::slots), Some(4));
        assert_eq!(layout(&slots), [(0, 1), (1, 5), (3, 4)]);
    }

    #[test]
    fn weights_are_copies_and_no_more_than_needed() {
        let slots = Slots::new(&[weighted(1, 30), weighted(2, 10)].into());
        assert_eq!(layout(&slots), [(0, 1), (1, 1), (2, 1), (3, 2)]);
        let slots = slots.updated(&[weighted(1, 10), weighted(2, 10)].into());
        assert_eq!(layout(&slots), [(0, 1), (1, 2)]);
    }

    proptest! {
        #[test]
        fn invariants_hold_after_any_changes(
            steps in prop::collection::vec(prop::collection::hash_set(1_u16..80, 0..70), 1..12),
        ) {
            let mut slots = Slots::default();
            for step in steps {
                let wanted = endpoints(&step.iter().copied().collect::<Vec<_>>());
                let before = slots.clone();
                slots = slots.updated(&wanted);

                let filled: Vec<_> = slots.filled().collect();
                let found: HashSet<_> = filled.iter().map(|(_, endpoint)| *endpoint).collect();
                prop_assert_eq!(found.len(), filled.len(), "an endpoint has two slots");
                prop_assert_eq!(found, wanted.iter().map(|one| one.address).collect::<HashSet<_>>());
                prop_assert_eq!(slots.size(), SizeClass::for_endpoints(wanted.len()));
                prop_assert!(wanted.is_empty() || filled[0].0 == 0, "slot 0 is empty");

                // Nothing moves that did not have to: same size, slot 0 kept.
                if before.size() == slots.size() && before.filled().next() == slots.filled().next() {
                    for (slot, endpoint) in before.filled() {
                        if wanted.iter().any(|one| one.address == endpoint) {
                            prop_assert!(filled.contains(&(slot, endpoint)), "{} moved", endpoint);
                        }
                    }
                }
            }
        }
    }
}
