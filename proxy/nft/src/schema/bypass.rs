//! What pods send each other, kept out of connection tracking where no reply can need translation.
//!
//! A socket that eBPF has translated sends to its endpoint from the first packet on, and nothing on
//! the way has to know the connection. But a pod may also be translated here by rules: by ours, when
//! eBPF left its socket alone, or by those of others. Replies to it then have to be tracked, and look
//! like any packet between pods. So a pod is remembered when a packet of it that is translated
//! leaves, before any reply comes, and is tracked from then on. That tells the pods that opted out,
//! virtual machines, kernels' own sockets, and Services that eBPF does not carry, all the same way.
//!
//! The set of pods that go untracked is empty in a fresh table. It is filled when pods with flows that
//! were translated before are remembered; until then everything is tracked, which harms nobody.

use crate::names::{ChainName, SetName};
use crate::ruleset::{
    Chain, Condition, Hook, HookKind, HookPoint, Key, Rule, Set, SetKind, Statement,
};
use crate::schema::{RAW_PRIORITY, SNAT_PRIORITY, chain, frontend_in, rule};

/// How long a pod is tracked after it was last seen to be translated, in seconds.
///
/// 6 days: a flow is forgotten by the kernel when no packet came for 5 (the default for TCP), so no
/// flow outlives it.
pub const REMEMBERED: u32 = 6 * 24 * 60 * 60;

/// Most pods that are remembered: of this node, and of others that use its node ports.
///
/// Replies to one that finds no room go untracked and so arrive untranslated: what rules translate for
/// it fails, everything else goes on, and those that were there before it stay. So there is more room
/// than a cluster has pods in use with one node; a pod that is seen no more leaves after
/// [`REMEMBERED`], and `/metrics` tells how many there are where the kernel does.
pub const MAX_TRANSLATED_CLIENTS: u32 = 1 << 17;

/// Just before SNAT, so that the source is the client.
const CLIENT_PRIORITY: i32 = SNAT_PRIORITY - 10;

/// Just after SNAT, so that the source is the one that replies are sent to.
const REPLIES_PRIORITY: i32 = SNAT_PRIORITY + 10;

pub(super) fn sets() -> [Set; 2] {
    [
        Set { name: SetName::UntrackedPods, key: Key::Source, kind: SetKind::Ranges },
        Set {
            name: SetName::TranslatedClients,
            key: Key::Source,
            kind: SetKind::Seen { size: MAX_TRANSLATED_CLIENTS },
        },
    ]
}

/// Adds the chains, or rules to those that are there already.
pub(super) fn add_chains(chains: &mut Vec<Chain>) {
    let between_pods = rule(
        [
            Condition::In(Key::Source, SetName::UntrackedPods),
            Condition::In(Key::Destination, SetName::UntrackedPods),
        ],
        [Statement::Jump(ChainName::Bypass)],
    );
    let hook = |point, priority| Some(Hook { kind: HookKind::Filter, point, priority });
    chains.insert(0, chain(ChainName::Bypass, bypass()));
    match chains.iter_mut().find(|chain| chain.name == ChainName::RawPrerouting) {
        Some(raw) => raw.rules.push(between_pods),
        None => chains.push(Chain {
            name: ChainName::RawPrerouting,
            hook: hook(HookPoint::Prerouting, RAW_PRIORITY),
            rules: vec![between_pods],
        }),
    }
    let translated = [
        (ChainName::BypassInput, HookPoint::Input, CLIENT_PRIORITY, Condition::Translated),
        (
            ChainName::BypassPostrouting,
            HookPoint::Postrouting,
            CLIENT_PRIORITY,
            Condition::Translated,
        ),
        (
            ChainName::BypassPostroutingAfterNat,
            HookPoint::Postrouting,
            REPLIES_PRIORITY,
            Condition::SourceTranslated,
        ),
    ];
    chains.extend(translated.map(|(name, point, priority, condition)| Chain {
        name,
        hook: hook(point, priority),
        rules: vec![remember(condition)],
    }));
}

/// Everything that may be translated goes back to the caller.
///
/// Most packets are decided by the first three rules. What translation comes to is asked of the first
/// packet of a connection, and then its client is remembered; datagrams are all asked.
fn bypass() -> Vec<Rule> {
    let known =
        [Key::Source, Key::Destination].map(|key| Condition::In(key, SetName::TranslatedClients));
    let maybe = [
        // Node addresses in a range that is wider than it should be: node ports, and ports of pods
        // at the node.
        Condition::ToThisNode,
        frontend_in(SetName::Frontends),
        frontend_in(SetName::Rejected),
        frontend_in(SetName::Dropped),
        Condition::In(Key::Destination, SetName::ClusterIps),
        Condition::In(Key::Destination, SetName::ServiceCidrs),
    ];
    let tracked = |condition| rule([condition], [Statement::Return]);
    let untracked = |condition| rule([condition], [Statement::NoTrack]);
    let mut rules: Vec<Rule> = known.map(tracked).into();
    rules.push(rule([Condition::Acknowledging], [Statement::NoTrack, Statement::Return]));
    rules.extend(maybe.map(tracked));
    rules.extend([Condition::Tcp, Condition::Udp].map(untracked));
    rules
}

/// Remembers the source of what is translated as `condition` says.
fn remember(condition: Condition) -> Rule {
    rule(
        [condition, Condition::Original, Condition::In(Key::Source, SetName::PodCidrs)],
        [Statement::Remember { set: SetName::TranslatedClients, timeout_s: REMEMBERED }],
    )
}
