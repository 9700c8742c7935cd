//! The constant part of the table: the same sets, chains and rules whatever the cluster holds.
//!
//! Services and endpoints are elements only. There is no map of verdicts: adding a `goto` element
//! makes the kernel validate the whole table, which walks every element of every verdict map
//! (`nft_map_validate` in `net/netfilter/nf_tables_api.c`), so one change among 100,000 Services
//! cost 28 ms where a plain element costs 0.1 ms. A frontend is sent to the chain for its number of
//! endpoints by membership in one of seventeen sets instead.
//!
//! An endpoint is drawn by rejection: a random slot below the size (a power of two), again while
//! the slot is empty. More than half of the slots are filled, so the draw is uniform but for a
//! remainder that goes to slot 0, which is always filled (see [`tries`]).

use ipnet::IpNet;
use podway_proxy_plan::plan::Family;

use crate::names::{Bank, ChainName, SetName, SizeClass};
use crate::ruleset::{
    Chain, Condition, Hook, HookKind, HookPoint, Key, Rule, Set, SetKind, Statement, Table,
};

/// Priority of DNAT (`NF_IP_PRI_NAT_DST`), where other tools expect it.
const DNAT_PRIORITY: i32 = -100;

/// Priority of the filter that refuses before DNAT.
///
/// 10 before DNAT: after conntrack (-200), so that `ct state` is known. Prerouting, not forward and
/// input: a refusal then needs no route to the Service's address. Kernels before 5.9 cannot reject
/// there.
const REFUSE_PRIORITY: i32 = DNAT_PRIORITY - 10;

/// Priority of SNAT (`NF_IP_PRI_NAT_SRC`).
const SNAT_PRIORITY: i32 = 100;

/// What the constant rules depend on: settings, never the cluster's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Addresses of all pods; a family without one gets no rule that asks for pods.
    pub cluster_cidrs: Vec<IpNet>,
    /// Which bit of the packet mark asks for masquerade, 0..=31.
    pub masquerade_bit: u8,
}

impl Default for Options {
    /// No pod addresses; bit 14, as kube-proxy has it.
    fn default() -> Self {
        Self { cluster_cidrs: Vec::new(), masquerade_bit: 14 }
    }
}

impl Options {
    /// The mark with only the masquerade bit set.
    #[must_use]
    pub fn masquerade_mark(&self) -> u32 {
        1_u32.checked_shl(u32::from(self.masquerade_bit)).unwrap_or(0)
    }

    /// The pod CIDRs of `family`.
    pub fn pod_cidrs(&self, family: Family) -> impl Iterator<Item = IpNet> + '_ {
        self.cluster_cidrs.iter().copied().filter(move |cidr| Family::of(cidr.addr()) == family)
    }
}

/// How often an empty slot is drawn again before slot 0 is taken.
///
/// A size above 2 has more than half of its slots filled, so sixteen draws all miss with a
/// probability below 2^-16: slot 0 then gets 15 connections of a million more than its share. Sizes
/// 1 and 2 are always full.
#[must_use]
pub const fn tries(size: SizeClass) -> usize {
    if size.slots() <= 2 { 1 } else { 16 }
}

/// The table of `family` without elements.
#[must_use]
pub fn table(family: Family, options: &Options) -> Table {
    Table { family, sets: sets(), chains: chains(family, options) }
}

fn sets() -> Vec<Set> {
    let of_frontends = [
        SetName::Frontends,
        SetName::Rejected,
        SetName::Dropped,
        SetName::Masqueraded,
        SetName::PreserveSource,
    ];
    let sized = Bank::ALL
        .into_iter()
        .flat_map(|bank| SizeClass::ALL.into_iter().map(move |size| SetName::Sized(bank, size)));
    let members = of_frontends.into_iter().chain(sized).map(|name| Set {
        name,
        key: Key::Frontend,
        kind: SetKind::Members,
    });
    let backends = Bank::ALL.into_iter().map(|bank| Set {
        name: SetName::Backends(bank),
        key: Key::Slot { modulus: 1 << 16 },
        kind: SetKind::Endpoints,
    });
    let others = [
        Set { name: SetName::Hairpin, key: Key::SourceAndDestination, kind: SetKind::Members },
        Set { name: SetName::PodCidrs, key: Key::Source, kind: SetKind::Ranges },
    ];
    members.chain(backends).chain(others).collect()
}

/// Chains, each before those that call it.
fn chains(family: Family, options: &Options) -> Vec<Chain> {
    let has_pod_cidrs = options.pod_cidrs(family).next().is_some();
    let mark = options.masquerade_mark();
    let mut chains = vec![
        chain(ChainName::MarkForMasquerade, vec![rule([], [Statement::Mark(mark)])]),
        chain(ChainName::Refuse, refuse()),
    ];
    for bank in Bank::ALL {
        chains.extend(
            SizeClass::ALL
                .into_iter()
                .map(|size| chain(ChainName::Slots(bank, size), slots(bank, size))),
        );
        chains.push(chain(ChainName::Balance(bank), balance(bank)));
    }
    chains.push(chain(ChainName::PreserveSource, preserve_source(has_pod_cidrs)));
    chains.push(chain(ChainName::Services, services(has_pod_cidrs)));
    chains.extend(base_chains(mark));
    chains
}

fn base_chains(mark: u32) -> [Chain; 5] {
    let refuse = || vec![rule([Condition::NewConnection], [Statement::Jump(ChainName::Refuse)])];
    let services = || vec![rule([], [Statement::Jump(ChainName::Services)])];
    let hook = |kind, point, priority| Some(Hook { kind, point, priority });
    [
        Chain {
            name: ChainName::FilterPrerouting,
            hook: hook(HookKind::Filter, HookPoint::Prerouting, REFUSE_PRIORITY),
            rules: refuse(),
        },
        Chain {
            name: ChainName::FilterOutput,
            hook: hook(HookKind::Filter, HookPoint::Output, REFUSE_PRIORITY),
            rules: refuse(),
        },
        Chain {
            name: ChainName::NatPrerouting,
            hook: hook(HookKind::Nat, HookPoint::Prerouting, DNAT_PRIORITY),
            rules: services(),
        },
        Chain {
            name: ChainName::NatOutput,
            hook: hook(HookKind::Nat, HookPoint::Output, DNAT_PRIORITY),
            rules: services(),
        },
        Chain {
            name: ChainName::NatPostrouting,
            hook: hook(HookKind::Nat, HookPoint::Postrouting, SNAT_PRIORITY),
            rules: vec![
                rule([Condition::Marked(mark)], [Statement::Unmark(mark), Statement::Masquerade]),
                rule(
                    [
                        Condition::Translated,
                        Condition::In(Key::SourceAndDestination, SetName::Hairpin),
                    ],
                    [Statement::Masquerade],
                ),
            ],
        },
    ]
}

fn chain(name: ChainName, rules: Vec<Rule>) -> Chain {
    Chain { name, hook: None, rules }
}

fn rule<const C: usize, const S: usize>(
    conditions: [Condition; C],
    statements: [Statement; S],
) -> Rule {
    Rule { conditions: conditions.to_vec(), statements: statements.to_vec() }
}

const fn frontend_in(set: SetName) -> Condition {
    Condition::In(Key::Frontend, set)
}

fn refuse() -> Vec<Rule> {
    vec![
        rule([frontend_in(SetName::Rejected)], [Statement::Reject]),
        rule([frontend_in(SetName::Dropped)], [Statement::Drop]),
    ]
}

fn services(has_pod_cidrs: bool) -> Vec<Rule> {
    let mark = Statement::Jump(ChainName::MarkForMasquerade);
    let mut rules = vec![
        rule([Condition::NotIn(Key::Frontend, SetName::Frontends)], [Statement::Return]),
        rule([frontend_in(SetName::PreserveSource)], [Statement::Goto(ChainName::PreserveSource)]),
        rule([frontend_in(SetName::Masqueraded)], [mark]),
    ];
    if has_pod_cidrs {
        rules.push(rule([Condition::NotIn(Key::Source, SetName::PodCidrs)], [mark]));
    }
    rules.push(rule([], [Statement::Goto(ChainName::Balance(Bank::Main))]));
    rules
}

/// Pods and the node use all endpoints, as if they had gone out and come back; others the local.
fn preserve_source(has_pod_cidrs: bool) -> Vec<Rule> {
    let all = Statement::Goto(ChainName::Balance(Bank::Main));
    let mut rules = Vec::new();
    if has_pod_cidrs {
        rules.push(rule([Condition::In(Key::Source, SetName::PodCidrs)], [all]));
    }
    rules.push(rule([Condition::FromThisNode], [Statement::Jump(ChainName::MarkForMasquerade)]));
    rules.push(rule([Condition::FromThisNode], [all]));
    rules.push(rule([], [Statement::Jump(ChainName::Balance(Bank::Local))]));
    // No endpoint here: the load balancer should have asked our health check.
    rules.push(rule([], [Statement::Drop]));
    rules
}

fn balance(bank: Bank) -> Vec<Rule> {
    SizeClass::ALL
        .into_iter()
        .map(|size| {
            rule(
                [frontend_in(SetName::Sized(bank, size))],
                [Statement::Goto(ChainName::Slots(bank, size))],
            )
        })
        .collect()
}

fn slots(bank: Bank, size: SizeClass) -> Vec<Rule> {
    let draw = |modulus| rule([], [Statement::Translate { bank, modulus }]);
    let mut rules = vec![draw(size.modulus()); tries(size)];
    if size.slots() > 2 {
        rules.push(draw(1));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_do_not_depend_on_anything_but_options() {
        let options =
            Options { cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()], ..Options::default() };
        let count = |table: &Table| table.chains.iter().map(|c| c.rules.len()).sum::<usize>();
        let with = table(Family::Ip, &options);
        let without = table(Family::Ip6, &options);
        assert_eq!(count(&with), count(&without) + 2, "one rule for pods in each of two chains");
        assert_eq!(with.sets.len(), without.sets.len());
    }

    #[test]
    fn chains_stand_before_their_callers() {
        let table = table(Family::Ip, &Options::default());
        let mut known = Vec::new();
        for chain in &table.chains {
            for statement in chain.rules.iter().flat_map(|rule| &rule.statements) {
                if let Statement::Jump(target) | Statement::Goto(target) = statement {
                    assert!(
                        known.contains(target),
                        "{} calls {target} before it is known",
                        chain.name
                    );
                }
            }
            known.push(chain.name);
        }
    }
}
