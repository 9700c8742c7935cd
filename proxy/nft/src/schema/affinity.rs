//! `sessionAffinity: ClientIP`: a client is sent where it was sent before.
//!
//! All frontends of a Service port that choose from the same endpoints share what was learned, so a
//! client is remembered under a number that stands for the port and the pool. nft 1.0.6 cannot list a rule that looks one map up in another (it
//! aborts), so the number goes through the connection's mark, from DNAT to just before SNAT of the
//! first packet, and is taken away again. A connection that somebody else has marked is left alone
//! and goes to any endpoint.

use std::collections::BTreeSet;

use crate::names::{Bank, ChainName, SetName};
use crate::ruleset::{
    Chain, Condition, Hook, HookKind, HookPoint, Key, Rule, Set, SetKind, Statement,
};
use crate::schema::{SNAT_PRIORITY, chain, rule};

/// Most clients that are remembered, each with some 150 bytes.
///
/// When it is full, the kernel remembers nobody new until somebody is forgotten.
const MAX_CLIENTS: u32 = 1 << 18;

/// Just before SNAT, so that the source is still the client.
const LEARN_PRIORITY: i32 = SNAT_PRIORITY - 10;

pub(super) fn sets(timeouts: &BTreeSet<u32>) -> Vec<Set> {
    let numbers = timeouts.iter().map(|timeout_s| Set {
        name: SetName::AffinityTimeout(*timeout_s),
        key: Key::ConnectionMark,
        kind: SetKind::Members,
    });
    let ids = Bank::ALL.map(|bank| Set {
        name: SetName::AffinityIds(bank),
        key: Key::Frontend,
        kind: SetKind::Marks,
    });
    let learned = Set {
        name: SetName::Affinity,
        key: Key::Client,
        kind: SetKind::Learned { size: MAX_CLIENTS },
    };
    numbers.chain(ids).chain([learned]).collect()
}

/// The chains that others call; none without timeouts.
pub(super) fn chains(timeouts: &BTreeSet<u32>) -> Vec<Chain> {
    if timeouts.is_empty() {
        return Vec::new();
    }
    let remembered = Bank::ALL.map(|bank| {
        let rules = vec![
            rule([Condition::ConnectionMarked], [Statement::Return]),
            rule([], [Statement::MarkConnection(SetName::AffinityIds(bank))]),
            // A mark of 0 is nobody's number.
            rule([], [Statement::Translate(Key::Client, SetName::Affinity)]),
        ];
        chain(ChainName::Affinity(bank), rules)
    });
    let learn: Vec<Rule> = timeouts
        .iter()
        .map(|timeout_s| {
            let number = SetName::AffinityTimeout(*timeout_s);
            rule(
                [Condition::In(Key::ConnectionMark, number)],
                [Statement::Learn { timeout_s: *timeout_s }, Statement::UnmarkConnection],
            )
        })
        .collect();
    remembered.into_iter().chain([chain(ChainName::Learn, learn)]).collect()
}

/// Where connections leave for their endpoints: by the wire, or into this node.
pub(super) fn base_chains() -> [Chain; 2] {
    let points = [
        (ChainName::FilterInput, HookPoint::Input),
        (ChainName::FilterPostrouting, HookPoint::Postrouting),
    ];
    points.map(|(name, point)| Chain {
        name,
        hook: Some(Hook { kind: HookKind::Filter, point, priority: LEARN_PRIORITY }),
        rules: vec![rule(
            [Condition::NewConnection, Condition::Translated, Condition::ConnectionMarked],
            [Statement::Jump(ChainName::Learn)],
        )],
    })
}
