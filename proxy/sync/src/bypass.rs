//! Lets pods speak with each other untracked, once those are known whose replies need translation.
//!
//! Rules remember a pod when a packet of it leaves that is translated (`proxy/nft`'s schema). What was
//! translated before a table was written is in the table of tracked flows, and is looked up there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podway_proxy_nft::element::Element;
use podway_proxy_nft::names::SetName;
use podway_proxy_nft::program::{Affinities, MAX_TRANSLATED_CLIENTS, REMEMBERED};
use podway_proxy_nft::ruleset::Table;
use podway_proxy_nft::transaction::{Change, Transaction};
use tracing::warn;

use crate::conntrack::Conntrack;
use crate::per_family::label;

/// What is put into `table`, which was just written with `elements`; nothing where pods are tracked,
/// or where it cannot be found out who has to be, or where there is no room for them.
pub(crate) fn filled(
    flows: &Conntrack,
    table: &Table,
    elements: &[Element],
) -> Option<Transaction> {
    let family = table.family;
    table.sets.iter().find(|set| set.name == SetName::UntrackedPods)?;
    let clients = flows
        .translated_clients(family)
        .inspect_err(|error| {
            let family = label(family);
            warn!(family, %error, "tracked flows cannot be looked at; --conntrack-bypass does nothing");
        })
        .ok()?;
    let Some(added) = added(clients, elements) else {
        warn!(
            family = label(family),
            limit = MAX_TRANSLATED_CLIENTS,
            "more pods have translated flows than find room; --conntrack-bypass does nothing"
        );
        return None;
    };
    let change = Change::Elements { deleted: Vec::new(), added, narrowed: Affinities::default() };
    Some(Transaction { family, change })
}

/// The pods among `clients`, and the ranges of pods, which go untracked, in one transaction: no pod of
/// the first is untracked for a moment. `None` where there are more pods than find room.
fn added(clients: BTreeSet<IpAddr>, elements: &[Element]) -> Option<Vec<Element>> {
    let ranges: Vec<_> = elements
        .iter()
        .filter_map(|element| {
            let Element::Range { set: SetName::PodCidrs, cidr } = element else { return None };
            Some(*cidr)
        })
        .collect();
    let pods = clients.into_iter().filter(|client| ranges.iter().any(|one| one.contains(client)));
    let timeout_ms = u64::from(REMEMBERED) * 1_000;
    let mut added: Vec<_> =
        pods.map(|address| Element::TranslatedClient { address, timeout_ms }).collect();
    if added.len() > usize::try_from(MAX_TRANSLATED_CLIENTS).unwrap_or(usize::MAX) {
        return None;
    }
    let ranges = ranges.into_iter();
    added.extend(ranges.map(|cidr| Element::Range { set: SetName::UntrackedPods, cidr }));
    Some(added)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// So many addresses from 10.0.0.0 on.
    fn clients(count: u32) -> BTreeSet<IpAddr> {
        (0..count).map(|number| Ipv4Addr::from((10 << 24) + number).into()).collect()
    }

    fn pods(cidr: &str) -> Vec<Element> {
        vec![Element::Range { set: SetName::PodCidrs, cidr: cidr.parse().unwrap() }]
    }

    #[test]
    fn pods_are_remembered_before_ranges_go_untracked() {
        let added: Vec<_> = added(clients(4), &pods("10.0.0.0/31"))
            .unwrap()
            .iter()
            .map(|element| (element.set(), element.to_string()))
            .collect();
        let remembered = |address: &str| {
            (SetName::TranslatedClients, format!("{address} timeout {}ms", REMEMBERED * 1_000))
        };
        let untracked = (SetName::UntrackedPods, "10.0.0.0/31".to_owned());
        assert_eq!(added, [remembered("10.0.0.0"), remembered("10.0.0.1"), untracked]);
    }

    #[test]
    fn more_pods_than_find_room_leave_everybody_tracked() {
        let added = |count| added(clients(count), &pods("10.0.0.0/8"));
        assert!(added(MAX_TRANSLATED_CLIENTS).is_some());
        assert!(added(MAX_TRANSLATED_CLIENTS + 1).is_none());
    }
}
