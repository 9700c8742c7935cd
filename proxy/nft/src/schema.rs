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

mod affinity;
mod bypass;
mod node_local;
mod sets;

use std::collections::BTreeSet;

use ipnet::IpNet;
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::Family;
use podway_proxy_plan::policy::{
    ConntrackBypass, DeadTcp, NodeLocalDns, PodDetection, Policy, UnknownPorts,
};

pub use self::bypass::{MAX_TRANSLATED_CLIENTS, REMEMBERED};
pub use self::node_local::NodeLocal;
use crate::hashing;
use crate::names::{Bank, ChainName, SetName, SizeClass};
use crate::ruleset::{Chain, Condition, Hook, HookKind, HookPoint, Key, Rule, Statement, Table};

/// Priority of DNAT (`NF_IP_PRI_NAT_DST`), where other tools expect it.
const DNAT_PRIORITY: i32 = -100;

/// Priority of the filter that refuses before DNAT.
///
/// 10 before DNAT: after conntrack (-200), so that `ct state` is known. Prerouting, not forward and
/// input: a refusal then needs no route to the Service's address. Kernels before 5.9 cannot reject
/// there.
const REFUSE_PRIORITY: i32 = DNAT_PRIORITY - 10;

/// Priority of filters (`NF_IP_PRI_FILTER`), after DNAT.
const FILTER_PRIORITY: i32 = 0;

/// Priority before connection tracking (`NF_IP_PRI_RAW`).
const RAW_PRIORITY: i32 = -300;

/// Priority of SNAT (`NF_IP_PRI_NAT_SRC`).
const SNAT_PRIORITY: i32 = 100;

/// What the constant rules depend on: settings, never the cluster's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Addresses of all pods; a family without one gets no rule that asks for pods by address.
    pub cluster_cidrs: Vec<IpNet>,
    /// Interfaces that pods come in by; when set, pods are told by it and not by address.
    pub pod_interface: Option<InterfaceName>,
    /// Which bit of the packet mark asks for masquerade, 0..=31.
    pub masquerade_bit: u8,
    /// Ranges that ClusterIPs are given out of; packets to an address of them that no Service has
    /// are dropped.
    pub service_cidrs: Vec<IpNet>,
    /// What happens at a ClusterIP's ports that its Service does not have.
    pub unknown_ports: UnknownPorts,
    /// Whether a TCP connection that nobody tracks any more is reset at a frontend.
    pub dead_tcp: DeadTcp,
    /// Whether this node answers DNS queries itself.
    pub node_local: NodeLocal,
    /// Whether what pods send each other is kept out of connection tracking.
    pub bypass: ConntrackBypass,
}

impl Default for Options {
    /// No pod addresses; bit 14, as kube-proxy has it.
    fn default() -> Self {
        Self {
            cluster_cidrs: Vec::new(),
            pod_interface: None,
            masquerade_bit: 14,
            service_cidrs: Vec::new(),
            unknown_ports: UnknownPorts::default(),
            dead_tcp: DeadTcp::default(),
            node_local: NodeLocal::default(),
            bypass: ConntrackBypass::default(),
        }
    }
}

impl Options {
    /// What follows from `policy`.
    #[must_use]
    pub fn new(policy: &Policy, masquerade_bit: u8) -> Self {
        let (cluster_cidrs, pod_interface) = match policy.pods {
            PodDetection::ClusterCidrs | PodDetection::NodeCidrs => {
                (policy.cluster_cidrs.clone(), None)
            }
            PodDetection::Interface(name) => (Vec::new(), Some(name)),
        };
        Self {
            cluster_cidrs,
            pod_interface,
            masquerade_bit,
            service_cidrs: policy.service_cidrs.clone(),
            unknown_ports: policy.unknown_ports,
            dead_tcp: policy.dead_tcp,
            node_local: match policy.node_local_dns {
                NodeLocalDns::Off => NodeLocal::Off,
                NodeLocalDns::On { .. } => NodeLocal::On,
            },
            bypass: policy.conntrack_bypass,
        }
    }

    /// The mark with only the masquerade bit set.
    #[must_use]
    pub fn masquerade_mark(&self) -> u32 {
        1_u32.checked_shl(u32::from(self.masquerade_bit)).unwrap_or(0)
    }

    /// The pod CIDRs of `family`.
    pub fn pod_cidrs(&self, family: Family) -> impl Iterator<Item = IpNet> + '_ {
        of_family(&self.cluster_cidrs, family)
    }

    /// The Service CIDRs of `family`.
    pub fn service_cidrs(&self, family: Family) -> impl Iterator<Item = IpNet> + '_ {
        of_family(&self.service_cidrs, family)
    }

    /// Whether pods of `family` may speak with each other untracked, which takes their addresses.
    fn bypasses(&self, family: Family) -> bool {
        match self.bypass {
            ConntrackBypass::Off => false,
            ConntrackBypass::On => self.pod_cidrs(family).next().is_some(),
        }
    }

    /// How rules of `family` tell pods from other sources, if they can.
    fn pods(&self, family: Family) -> Option<Pods> {
        match self.pod_interface {
            Some(name) => Some(Pods {
                are: Condition::FromInterface(name),
                are_not: Condition::NotFromInterface(name),
            }),
            None => self.pod_cidrs(family).next().map(|_| Pods {
                are: Condition::In(Key::Source, SetName::PodCidrs),
                are_not: Condition::NotIn(Key::Source, SetName::PodCidrs),
            }),
        }
    }
}

fn of_family(cidrs: &[IpNet], family: Family) -> impl Iterator<Item = IpNet> + '_ {
    cidrs.iter().copied().filter(move |cidr| Family::of(cidr.addr()) == family)
}

/// Conditions that tell pods from other sources.
#[derive(Debug, Clone, Copy)]
struct Pods {
    are: Condition,
    are_not: Condition,
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
///
/// `timeouts` are the distinct times in seconds that clients are remembered for; without any there
/// is no rule that touches the connection mark.
#[must_use]
pub fn table(family: Family, options: &Options, timeouts: &BTreeSet<u32>) -> Table {
    let mut sets = sets::sets();
    sets.extend(options.node_local.sets());
    let mut chains = chains(family, options, !timeouts.is_empty());
    if !timeouts.is_empty() {
        sets.extend(affinity::sets(timeouts));
        chains.extend(affinity::base_chains());
    }
    if options.bypasses(family) {
        sets.extend(bypass::sets());
        bypass::add_chains(&mut chains);
    }
    // A chain stands before those that call it.
    chains.splice(0..0, affinity::chains(timeouts));
    Table { family, sets, chains }
}

/// Chains, each before those that call it.
fn chains(family: Family, options: &Options, has_affinity: bool) -> Vec<Chain> {
    let pods = options.pods(family);
    let mark = options.masquerade_mark();
    let mut chains = vec![
        chain(ChainName::MarkForMasquerade, vec![rule([], [Statement::Mark(mark)])]),
        chain(ChainName::CheckSource, check_source()),
        chain(ChainName::Refuse, refuse(options)),
        chain(ChainName::Unknown, unknown(options)),
    ];
    for bank in Bank::ALL {
        chains.extend(
            SizeClass::ALL
                .into_iter()
                .map(|size| chain(ChainName::Slots(bank, size), slots(bank, size))),
        );
        chains.push(chain(ChainName::HashedSlots(bank), hashed_slots(bank)));
        chains.push(chain(ChainName::Balance(bank), balance(bank, has_affinity)));
    }
    chains.push(chain(ChainName::PreserveSource, preserve_source(pods)));
    chains.push(chain(ChainName::Services, services(options.node_local, pods)));
    chains.extend(base_chains(mark));
    chains.extend(options.node_local.base_chains());
    chains
}

fn base_chains(mark: u32) -> [Chain; 7] {
    let refuse = || vec![rule([Condition::NewConnection], [Statement::Jump(ChainName::Refuse)])];
    let services = || vec![rule([], [Statement::Jump(ChainName::Services)])];
    let unknown = || vec![rule([Condition::NewConnection], [Statement::Jump(ChainName::Unknown)])];
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
            name: ChainName::FilterForward,
            hook: hook(HookKind::Filter, HookPoint::Forward, FILTER_PRIORITY),
            rules: unknown(),
        },
        Chain {
            name: ChainName::FilterOutputAfterNat,
            hook: hook(HookKind::Filter, HookPoint::Output, FILTER_PRIORITY),
            rules: unknown(),
        },
        Chain {
            name: ChainName::NatPostrouting,
            hook: hook(HookKind::Nat, HookPoint::Postrouting, SNAT_PRIORITY),
            rules: vec![
                rule([Condition::Marked(mark)], [Statement::Unmark(mark), Statement::Masquerade]),
                rule(
                    [Condition::Translated, Condition::In(Key::Hairpin, SetName::Hairpin)],
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

/// New connections that are refused or dropped, and TCP that is new only to the kernel.
fn refuse(options: &Options) -> Vec<Rule> {
    let mut rules = options.node_local.answered_here();
    // A packet from the middle of a connection counts as new when its entry was deleted, since its
    // endpoint is gone. Sent to another endpoint it would be reset there, if nothing is in the way;
    // an ICMP error would not end the connection.
    let forgotten = [SetName::Frontends, SetName::Rejected, SetName::Dropped]
        .map(|set| rule([Condition::MidStream, frontend_in(set)], [Statement::Reset]));
    match options.dead_tcp {
        DeadTcp::Keep => {}
        DeadTcp::Reset => rules.extend(forgotten),
    }
    let check = Statement::Jump(ChainName::CheckSource);
    rules.push(rule([frontend_in(SetName::Guarded)], [check]));
    rules.extend(rejected(frontend_in(SetName::Rejected)));
    rules.push(rule([frontend_in(SetName::Dropped)], [Statement::Drop]));
    rules
}

/// Refuses at once what meets `condition`.
///
/// TCP by a reset: of ICMP errors a client gets one a second after the first few
/// (`net.ipv4.icmp_ratelimit`), and by those of IPv6 its `connect` fails only after the second SYN,
/// a second later (Linux 6.18).
fn rejected(condition: Condition) -> [Rule; 2] {
    [rule([Condition::Tcp, condition], [Statement::Reset]), rule([condition], [Statement::Reject])]
}

/// What still has a Service's address after DNAT was not for any of its frontends.
fn unknown(options: &Options) -> Vec<Rule> {
    let mut rules = options.node_local.answered_here();
    let known = Condition::In(Key::Destination, SetName::ClusterIps);
    match options.unknown_ports {
        UnknownPorts::Reject => rules.extend(rejected(known)),
        UnknownPorts::Ignore => rules.push(rule([known], [Statement::Return])),
    }
    let in_range = Condition::In(Key::Destination, SetName::ServiceCidrs);
    rules.push(rule([in_range], [Statement::Drop]));
    rules
}

/// `loadBalancerSourceRanges`: everybody else is dropped, whatever becomes of those inside.
fn check_source() -> Vec<Rule> {
    vec![
        rule([Condition::In(Key::FrontendAndSource, SetName::AllowedSources)], [Statement::Return]),
        rule([frontend_in(SetName::RefusedSources)], [Statement::Drop]),
    ]
}

fn services(node_local: NodeLocal, pods: Option<Pods>) -> Vec<Rule> {
    let mark = Statement::Jump(ChainName::MarkForMasquerade);
    let mut rules =
        vec![rule([Condition::NotIn(Key::Frontend, SetName::Frontends)], [Statement::Return])];
    rules.extend(node_local.answered_here());
    rules.extend([
        rule([frontend_in(SetName::PreserveSource)], [Statement::Goto(ChainName::PreserveSource)]),
        rule([frontend_in(SetName::Masqueraded)], [mark]),
    ]);
    rules.extend(pods.map(|pods| rule([pods.are_not], [mark])));
    rules.push(rule([], [Statement::Goto(ChainName::Balance(Bank::Main))]));
    rules
}

/// Pods and the node use all endpoints, as if they had gone out and come back; others the local.
fn preserve_source(pods: Option<Pods>) -> Vec<Rule> {
    let all = Statement::Goto(ChainName::Balance(Bank::Main));
    let mut rules: Vec<Rule> = pods.map(|pods| rule([pods.are], [all])).into_iter().collect();
    rules.extend([
        rule([Condition::FromThisNode], [Statement::Jump(ChainName::MarkForMasquerade)]),
        rule([Condition::FromThisNode], [all]),
        rule([], [Statement::Jump(ChainName::Balance(Bank::Local))]),
        // No endpoint here: the load balancer should have asked our health check.
        rule([], [Statement::Drop]),
    ]);
    rules
}

fn balance(bank: Bank, has_affinity: bool) -> Vec<Rule> {
    let remembered =
        has_affinity.then(|| rule([], [Statement::Jump(ChainName::Affinity(bank))])).into_iter();
    remembered
        .chain(SizeClass::ALL.into_iter().map(|size| {
            rule(
                [frontend_in(SetName::Sized(bank, size))],
                [Statement::Goto(ChainName::Slots(bank, size))],
            )
        }))
        .chain([rule(
            [frontend_in(SetName::Hashed(bank))],
            [Statement::Goto(ChainName::HashedSlots(bank))],
        )])
        .collect()
}

/// Every slot is filled, so there is nothing to draw again.
fn hashed_slots(bank: Bank) -> Vec<Rule> {
    let key = Key::HashedSlot { modulus: u32::from(hashing::SLOTS), seed: hashing::SEED };
    vec![rule([], [Statement::Translate(key, SetName::Backends(bank))])]
}

fn slots(bank: Bank, size: SizeClass) -> Vec<Rule> {
    let draw =
        |modulus| rule([], [Statement::Translate(Key::Slot { modulus }, SetName::Backends(bank))]);
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
        let with = table(Family::Ip, &options, &BTreeSet::new());
        let without = table(Family::Ip6, &options, &BTreeSet::new());
        assert_eq!(count(&with), count(&without) + 2, "one rule for pods in each of two chains");
        assert_eq!(with.sets.len(), without.sets.len());
    }

    #[test]
    fn chains_stand_before_their_callers() {
        let table = table(Family::Ip, &Options::default(), &[10_800, 30].into());
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
