//! Lets pods speak with each other untracked, once those are known whose replies need translation.
//!
//! Rules remember a pod when a packet of it leaves that is translated (`proxy/nft`'s schema). What was
//! translated before a table was written is in the table of tracked flows, and is looked up there.

use podway_proxy_nft::element::Element;
use podway_proxy_nft::names::SetName;
use podway_proxy_nft::program::{Affinities, REMEMBERED};
use podway_proxy_nft::ruleset::Table;
use podway_proxy_nft::transaction::{Change, Transaction};
use tracing::warn;

use crate::conntrack::Conntrack;
use crate::per_family::label;

/// What is put into `table`, which was just written with `elements`; nothing where pods are tracked,
/// or where it cannot be found out who has to be.
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
    let ranges: Vec<_> = elements
        .iter()
        .filter_map(|element| {
            let Element::Range { set: SetName::PodCidrs, cidr } = element else { return None };
            Some(*cidr)
        })
        .collect();
    let pods = clients.into_iter().filter(|client| ranges.iter().any(|one| one.contains(client)));
    let timeout_ms = u64::from(REMEMBERED) * 1_000;
    let remembered = pods.map(|address| Element::TranslatedClient { address, timeout_ms });
    let untracked =
        ranges.iter().map(|cidr| Element::Range { set: SetName::UntrackedPods, cidr: *cidr });
    // In one transaction: no pod of the first is untracked for a moment.
    let added = remembered.chain(untracked).collect();
    let change = Change::Elements { deleted: Vec::new(), added, narrowed: Affinities::default() };
    Some(Transaction { family, change })
}
