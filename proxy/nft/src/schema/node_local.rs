//! DNS answered on the node: neither translation nor, for datagrams, connection tracking.
//!
//! The addresses that clients ask are local addresses with a server behind them. A frontend is left
//! to that server while it stands in a set out of which the kernel takes it a second after it was
//! last put in; a server that is dead or stuck does not put it in, and then packets are translated
//! like all others, before they could be delivered to the local address.
//!
//! Datagrams go untracked, so that no two of one socket race for an entry. TCP connections are
//! tracked and only not translated: each then stays where it began, when the server comes back
//! while clients still speak with another node's, and when it is about to leave.
//!
//! Replies are untracked whether or not the server is known to live: an entry that a reply makes
//! would keep the client's next query, from the same port, from being translated.

use podway_cluster_model::port::Protocol;
use podway_proxy_plan::policy::DNS_PORT;

use crate::names::{ChainName, SetName};
use crate::ruleset::{
    Chain, Condition, Hook, HookKind, HookPoint, Key, Rule, Set, SetKind, Statement,
};
use crate::schema::{FILTER_PRIORITY, RAW_PRIORITY, rule};

/// Whether a node answers DNS queries itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeLocal {
    /// It does not, and there is no rule for it.
    #[default]
    Off,
    /// It does while its server lives.
    On,
}

impl NodeLocal {
    /// `rules` where they are needed.
    fn only<const N: usize>(self, rules: [Rule; N]) -> Vec<Rule> {
        match self {
            Self::Off => Vec::new(),
            Self::On => rules.into(),
        }
    }

    /// The set of what is answered now.
    pub(super) fn sets(self) -> Option<Set> {
        let set = Set { name: SetName::NodeLocalDns, key: Key::Frontend, kind: SetKind::Expiring };
        match self {
            Self::Off => None,
            Self::On => Some(set),
        }
    }

    /// Sends connections that the server answers back to the chain that called.
    pub(super) fn answered_here(self) -> Vec<Rule> {
        let proof = [Condition::To(Protocol::Tcp, DNS_PORT), Condition::FromLoopback];
        self.only([
            rule([Condition::In(Key::Frontend, SetName::NodeLocalDns)], [Statement::Return]),
            // The daemon asks its own server from there, before it says that it answers.
            rule(proof, [Statement::Return]),
        ])
    }

    /// Chains before connection tracking, and one for what a local address would let in.
    pub(super) fn base_chains(self) -> Vec<Chain> {
        let chain = |name, point, priority, rules| Chain {
            name,
            hook: Some(Hook { kind: HookKind::Filter, point, priority }),
            rules,
        };
        let unknown = rule([Condition::NewConnection], [Statement::Jump(ChainName::Unknown)]);
        match self {
            Self::Off => Vec::new(),
            Self::On => vec![
                chain(
                    ChainName::RawPrerouting,
                    HookPoint::Prerouting,
                    RAW_PRIORITY,
                    untracked().into(),
                ),
                chain(ChainName::RawOutput, HookPoint::Output, RAW_PRIORITY, {
                    let [query, reply, late_reply] = untracked();
                    vec![query, proof(), reply, late_reply]
                }),
                chain(
                    ChainName::FilterInputAfterNat,
                    HookPoint::Input,
                    FILTER_PRIORITY,
                    vec![unknown],
                ),
            ],
        }
    }
}

/// Datagrams to the server and from it.
fn untracked() -> [Rule; 3] {
    let to = Condition::To(Protocol::Udp, DNS_PORT);
    let from = Condition::From(Protocol::Udp, DNS_PORT);
    [
        [to, Condition::In(Key::Frontend, SetName::NodeLocalDns)],
        [from, Condition::In(Key::Reply, SetName::NodeLocalDns)],
        // Only the server has such an address.
        [from, Condition::In(Key::Source, SetName::ClusterIps)],
    ]
    .map(|conditions| rule(conditions, [Statement::NoTrack]))
}

/// The daemon's own queries, which would else be answered by another node while it is not known
/// whether this one can.
fn proof() -> Rule {
    let to = Condition::To(Protocol::Udp, DNS_PORT);
    rule([to, Condition::FromLoopback], [Statement::NoTrack])
}
