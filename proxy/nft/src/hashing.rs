//! Which endpoint a client's hash leads to: weighted rendezvous.
//!
//! Every slot goes to the endpoint that bids most for it, and a bid depends on the slot and the
//! endpoint alone. So an endpoint that goes leaves only its own slots to others, one that comes
//! takes only what it wins, and every node has the same slots, whatever it has seen before.
//! (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998.)

use std::net::{IpAddr, SocketAddr};

use podway_proxy_plan::plan::Backend;

/// Slots of a frontend whose endpoint is chosen by hash, always as many.
///
/// 4,096: shares are within some 6 % of what the weights say for 16 endpoints, and a change of the
/// number of slots, which would move half of all clients, is never needed.
pub const SLOTS: u16 = 4_096;

/// Mixed into the hash of the client's address by the kernel; any constant does.
pub const SEED: u32 = 0x706f_6477;

/// The endpoint of each slot; none without endpoints.
#[must_use]
pub fn slots(endpoints: &[Backend]) -> Vec<(u16, SocketAddr)> {
    let bidders: Vec<(SocketAddr, Vec<u64>)> = endpoints
        .iter()
        .map(|backend| {
            let copies = (0..u64::from(backend.weight)).map(|copy| hash(backend.address, copy));
            (backend.address, copies.collect())
        })
        .collect();
    let winner = |slot: u16| {
        let bid = |hashes: &[u64]| hashes.iter().map(|hash| mixed(hash ^ spread(slot))).max();
        // Bids that are alike are decided by address, so that the order does not count.
        bidders.iter().max_by_key(|(address, hashes)| (bid(hashes), *address))
    };
    (0..SLOTS).filter_map(|slot| winner(slot).map(|(address, _)| (slot, *address))).collect()
}

/// A slot's number, spread over all bits (the golden ratio's fraction, as in Fibonacci hashing).
const fn spread(slot: u16) -> u64 {
    (slot as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A hash of one copy of an endpoint.
fn hash(endpoint: SocketAddr, copy: u64) -> u64 {
    let address = match endpoint.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let halves = [address >> 64, address & u128::from(u64::MAX)];
    let words = halves.map(|half| u64::try_from(half).unwrap_or_default());
    words
        .into_iter()
        .chain([u64::from(endpoint.port()), copy])
        .fold(0, |state, word| mixed(state ^ word))
}

/// Mixes all bits with one another (the finalizer of SplitMix64, after its increment).
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use podway_proxy_plan::plan::Place;

    use super::*;

    fn endpoint(number: u16, weight: u8) -> Backend {
        let address = SocketAddr::from(([10, 244, 0, 1], number));
        Backend { address, place: Place::Elsewhere, weight }
    }

    fn shares(endpoints: &[Backend]) -> HashMap<u16, usize> {
        let mut shares = HashMap::new();
        for (_, address) in slots(endpoints) {
            *shares.entry(address.port()).or_default() += 1;
        }
        shares
    }

    #[test]
    fn endpoint_that_goes_moves_only_its_own_slots() {
        let all: Vec<_> = (1..=10).map(|number| endpoint(number, 1)).collect();
        let (before, after) = (slots(&all), slots(&all[1..]));
        for ((slot, old), (_, new)) in before.into_iter().zip(after) {
            assert!(old == new || old == all[0].address, "slot {slot} moved from {old} to {new}");
        }
    }

    #[test]
    fn order_of_endpoints_does_not_count() {
        let mut all: Vec<_> = (1..=10).map(|number| endpoint(number, 3)).collect();
        let before = slots(&all);
        all.reverse();
        assert_eq!(before, slots(&all));
    }

    /// Chi-square of the shares against the weights; 27.9 is passed by one table of a thousand
    /// (9 degrees of freedom), and there is only this one.
    #[test]
    fn shares_follow_weights() {
        for weights in [[1_u8; 10], [1, 1, 1, 1, 1, 5, 5, 5, 5, 10]] {
            let all: Vec<_> =
                (1..).zip(weights).map(|(number, weight)| endpoint(number, weight)).collect();
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let shares = shares(&all);
            let chi_square: f64 = all
                .iter()
                .map(|backend| {
                    let expected = f64::from(SLOTS) * f64::from(backend.weight) / total;
                    let found = shares.get(&backend.address.port()).copied().unwrap_or_default();
                    let found = f64::from(u32::try_from(found).unwrap());
                    (found - expected).powi(2) / expected
                })
                .sum();
            assert!(chi_square < 27.9, "{weights:?}: {chi_square}, {shares:?}");
        }
    }

    #[test]
    fn no_endpoint_has_no_slots() {
        assert_eq!(slots(&[]), []);
    }
}
