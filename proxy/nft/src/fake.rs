//! A kernel in memory: refuses what the kernel refuses, and routes packets as it would.
//!
//! Tests commit every transaction here as well and compare where packets go with
//! `podway_proxy_plan::route`, without privileges. What it knows of a table is the same data that
//! is encoded for the kernel, rules included.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use podway_cluster_model::port::{Port, Protocol};
use podway_proxy_plan::plan::{Family, FrontendKey};
use thiserror::Error;

use crate::element::Element;
use crate::names::{Bank, ChainName, SetName};
use crate::ruleset::{Chain, Condition, HookPoint, Key, Rule, Statement, Table};
use crate::transaction::{Change, Transaction};

/// Why a transaction was refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no table to change.
    #[error("there is no table of family {family}", family = .0.name())]
    NoTable(Family),
    /// A rule calls a chain that is not there.
    #[error("chain {caller} calls chain {called}, which is not there")]
    NoChain {
        /// The chain with the rule.
        caller: ChainName,
        /// The chain it calls.
        called: ChainName,
    },
    /// A rule or element names a set that is not there.
    #[error("there is no set {0}")]
    NoSet(SetName),
    /// An element to delete is not there.
    #[error("set {set} has no element {element}")]
    NoElement {
        /// The set.
        set: SetName,
        /// The element as text.
        element: String,
    },
    /// An element to add is there with another value, or overlaps one.
    #[error("set {set} has another element where {element} should be")]
    Occupied {
        /// The set.
        set: SetName,
        /// The element as text.
        element: String,
    },
    /// An element's addresses are not of the table's family.
    #[error("element {element} of set {set} is of another family")]
    OtherFamily {
        /// The set.
        set: SetName,
        /// The element as text.
        element: String,
    },
}

/// The first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Destination port.
    pub port: Port,
    /// Where it comes from.
    pub from: From,
}

/// Where a packet comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// It was made on this node.
    ThisNode,
    /// It arrived.
    Elsewhere,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Refused with an ICMP error.
    Refused,
    /// Dropped.
    Dropped,
    /// Sent on.
    Sent {
        /// Endpoint it was sent to; `None` when its destination was left alone.
        to: Option<SocketAddr>,
        /// Whether it got the node's source address.
        masqueraded: bool,
    },
}

/// The kernel's nftables, as far as they are ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FakeKernel {
    tables: BTreeMap<Family, FakeTable>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FakeTable {
    chains: HashMap<ChainName, Chain>,
    sets: BTreeMap<SetName, BTreeMap<ElementKey, Option<SocketAddr>>>,
}

/// What tells one element of a set from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ElementKey {
    Frontend(FrontendKey),
    Slot(FrontendKey, u16),
    Address(IpAddr),
    Range(IpNet),
}

fn identity(element: &Element) -> (ElementKey, Option<SocketAddr>) {
    match element {
        Element::Frontend { key, .. } => (ElementKey::Frontend(*key), None),
        Element::Backend { key, slot, endpoint, .. } => {
            (ElementKey::Slot(*key, *slot), Some(*endpoint))
        }
        Element::Hairpin(address) => (ElementKey::Address(*address), None),
        Element::PodCidr(cidr) => (ElementKey::Range(*cidr), None),
    }
}

fn is_of_family(element: &Element, family: Family) -> bool {
    let addresses = match element {
        Element::Frontend { key, .. } => [key.address; 2],
        Element::Backend { key, endpoint, .. } => [key.address, endpoint.ip()],
        Element::Hairpin(address) => [*address; 2],
        Element::PodCidr(cidr) => [cidr.addr(); 2],
    };
    addresses.into_iter().all(|address| Family::of(address) == family)
}

impl FakeKernel {
    /// Applies `transaction` whole or not at all.
    ///
    /// # Errors
    /// [`Refusal`] of the first step that the kernel would refuse.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<(), Refusal> {
        let family = transaction.family;
        let next = match &transaction.change {
            Change::Replace { table, elements } => {
                let mut next = FakeTable::new(table)?;
                elements.iter().try_for_each(|element| next.add(family, element))?;
                next
            }
            Change::Elements { deleted, added } => {
                let mut next = self.tables.get(&family).cloned().ok_or(Refusal::NoTable(family))?;
                deleted.iter().try_for_each(|element| next.delete(element))?;
                added.iter().try_for_each(|element| next.add(family, element))?;
                next
            }
        };
        self.tables.insert(family, next);
        Ok(())
    }

    /// What becomes of `packet`; `draw` gives a number below its argument wherever a rule draws one.
    pub fn send(&self, packet: &Packet, draw: &mut dyn FnMut(u32) -> u32) -> Outcome {
        let untouched = Outcome::Sent { to: None, masqueraded: false };
        let Some(table) = self.tables.get(&Family::of(packet.destination)) else {
            return untouched;
        };
        let mut state = State { packet: *packet, mark: 0, to: None, masqueraded: false };
        let point = match packet.from {
            From::ThisNode => HookPoint::Output,
            From::Elsewhere => HookPoint::Prerouting,
        };
        for hook in [point, HookPoint::Postrouting] {
            for chain in table.base_chains(hook) {
                match table.run(chain, &mut state, draw) {
                    Flow::Drop => return Outcome::Dropped,
                    Flow::Reject => return Outcome::Refused,
                    Flow::Accept | Flow::Continue | Flow::Return => {}
                }
            }
        }
        Outcome::Sent { to: state.to, masqueraded: state.masqueraded }
    }

    /// Everything that can become of `packet`, whatever numbers are drawn.
    #[must_use]
    pub fn outcomes(&self, packet: &Packet) -> BTreeSet<Outcome> {
        // A connection is decided by its first draw that hits a filled slot; draws that miss are
        // followed by others of the same size, or by one of slot 0.
        let mut outcomes = BTreeSet::new();
        let mut largest = 1;
        let mut first = 0;
        while first < largest {
            let outcome = self.send(packet, &mut |modulus| {
                largest = largest.max(modulus);
                first.min(modulus - 1)
            });
            outcomes.insert(outcome);
            first += 1;
        }
        outcomes
    }
}

/// A packet on its way.
struct State {
    packet: Packet,
    mark: u32,
    to: Option<SocketAddr>,
    masqueraded: bool,
}

/// What a chain says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The next rule.
    Continue,
    /// Back to the caller.
    Return,
    /// Out of the hook.
    Accept,
    /// Gone.
    Drop,
    /// Gone, and the sender is told.
    Reject,
}

impl FakeTable {
    /// An empty table; every set and chain that its rules name must be there.
    fn new(table: &Table) -> Result<Self, Refusal> {
        let sets: BTreeMap<_, _> =
            table.sets.iter().map(|set| (set.name, BTreeMap::new())).collect();
        let chains: HashMap<_, _> =
            table.chains.iter().map(|chain| (chain.name, chain.clone())).collect();
        for chain in &table.chains {
            for rule in &chain.rules {
                let named = rule.conditions.iter().filter_map(|condition| match condition {
                    Condition::In(_, set) | Condition::NotIn(_, set) => Some(*set),
                    Condition::NewConnection
                    | Condition::Translated
                    | Condition::Marked(_)
                    | Condition::FromThisNode => None,
                });
                for statement in &rule.statements {
                    match *statement {
                        Statement::Jump(called) | Statement::Goto(called)
                            if !chains.contains_key(&called) =>
                        {
                            return Err(Refusal::NoChain { caller: chain.name, called });
                        }
                        Statement::Translate { bank, .. }
                            if !sets.contains_key(&SetName::Backends(bank)) =>
                        {
                            return Err(Refusal::NoSet(SetName::Backends(bank)));
                        }
                        Statement::Jump(_)
                        | Statement::Goto(_)
                        | Statement::Translate { .. }
                        | Statement::Return
                        | Statement::Drop
                        | Statement::Reject
                        | Statement::Mark(_)
                        | Statement::Unmark(_)
                        | Statement::Masquerade => {}
                    }
                }
                if let Some(missing) = named.into_iter().find(|set| !sets.contains_key(set)) {
                    return Err(Refusal::NoSet(missing));
                }
            }
        }
        Ok(Self { chains, sets })
    }

    fn add(&mut self, family: Family, element: &Element) -> Result<(), Refusal> {
        let set = element.set();
        if !is_of_family(element, family) {
            return Err(Refusal::OtherFamily { set, element: element.to_string() });
        }
        let elements = self.sets.get_mut(&set).ok_or(Refusal::NoSet(set))?;
        let (key, value) = identity(element);
        let overlaps = |other: &ElementKey| match (key, other) {
            (ElementKey::Range(one), ElementKey::Range(other)) => {
                one != *other && (one.contains(other) || other.contains(&one))
            }
            (
                ElementKey::Frontend(_)
                | ElementKey::Slot(..)
                | ElementKey::Address(_)
                | ElementKey::Range(_),
                _,
            ) => false,
        };
        let occupied = elements.get(&key).is_some_and(|there| *there != value)
            || matches!(key, ElementKey::Range(_)) && elements.keys().any(overlaps);
        if occupied {
            return Err(Refusal::Occupied { set, element: element.to_string() });
        }
        elements.insert(key, value);
        Ok(())
    }

    fn delete(&mut self, element: &Element) -> Result<(), Refusal> {
        let set = element.set();
        let elements = self.sets.get_mut(&set).ok_or(Refusal::NoSet(set))?;
        let missing = || Refusal::NoElement { set, element: element.to_string() };
        elements.remove(&identity(element).0).map(|_| ()).ok_or_else(missing)
    }

    /// Chains of a hook in the order the kernel calls them.
    fn base_chains(&self, point: HookPoint) -> Vec<&Chain> {
        let mut chains: Vec<_> = self
            .chains
            .values()
            .filter_map(|chain| Some((chain.hook.filter(|hook| hook.point == point)?, chain)))
            .collect();
        chains.sort_by_key(|(hook, _)| hook.priority);
        chains.into_iter().map(|(_, chain)| chain).collect()
    }

    fn run(&self, chain: &Chain, state: &mut State, draw: &mut dyn FnMut(u32) -> u32) -> Flow {
        for rule in &chain.rules {
            match self.run_rule(rule, state, draw) {
                Flow::Continue => {}
                end @ (Flow::Return | Flow::Accept | Flow::Drop | Flow::Reject) => return end,
            }
        }
        Flow::Return
    }

    fn run_rule(&self, rule: &Rule, state: &mut State, draw: &mut dyn FnMut(u32) -> u32) -> Flow {
        if !rule.conditions.iter().all(|condition| self.holds(*condition, state)) {
            return Flow::Continue;
        }
        for statement in &rule.statements {
            let flow = match *statement {
                Statement::Jump(name) => match self.call(name, state, draw) {
                    Flow::Return => Flow::Continue,
                    end @ (Flow::Continue | Flow::Accept | Flow::Drop | Flow::Reject) => end,
                },
                Statement::Goto(name) => self.call(name, state, draw),
                Statement::Return => Flow::Return,
                Statement::Drop => Flow::Drop,
                Statement::Reject => Flow::Reject,
                Statement::Mark(bit) => {
                    state.mark |= bit;
                    Flow::Continue
                }
                Statement::Unmark(bit) => {
                    state.mark &= !bit;
                    Flow::Continue
                }
                Statement::Masquerade => {
                    state.masqueraded = true;
                    Flow::Accept
                }
                Statement::Translate { bank, modulus } => {
                    let slot = draw(modulus);
                    match self.endpoint(bank, state, slot) {
                        Some(endpoint) => {
                            state.to = Some(endpoint);
                            Flow::Accept
                        }
                        // A look-up that finds nothing ends the rule.
                        None => return Flow::Continue,
                    }
                }
            };
            if flow != Flow::Continue {
                return flow;
            }
        }
        Flow::Continue
    }

    fn call(&self, name: ChainName, state: &mut State, draw: &mut dyn FnMut(u32) -> u32) -> Flow {
        self.chains.get(&name).map_or(Flow::Return, |chain| self.run(chain, state, draw))
    }

    fn endpoint(&self, bank: Bank, state: &State, slot: u32) -> Option<SocketAddr> {
        let key = ElementKey::Slot(state.frontend(), u16::try_from(slot).ok()?);
        self.sets.get(&SetName::Backends(bank))?.get(&key).copied().flatten()
    }

    fn holds(&self, condition: Condition, state: &State) -> bool {
        match condition {
            // Only first packets are sent here.
            Condition::NewConnection => true,
            Condition::Translated => state.to.is_some(),
            Condition::Marked(bit) => state.mark & bit != 0,
            Condition::FromThisNode => state.packet.from == From::ThisNode,
            Condition::In(key, set) => self.contains(key, set, state),
            Condition::NotIn(key, set) => !self.contains(key, set, state),
        }
    }

    fn contains(&self, key: Key, set: SetName, state: &State) -> bool {
        let Some(elements) = self.sets.get(&set) else { return false };
        match key {
            Key::Frontend => elements.contains_key(&ElementKey::Frontend(state.frontend())),
            Key::Source => elements.keys().any(|element| match element {
                ElementKey::Range(range) => range.contains(&state.packet.source),
                ElementKey::Frontend(_) | ElementKey::Slot(..) | ElementKey::Address(_) => false,
            }),
            Key::SourceAndDestination => {
                let destination = state.to.map_or(state.packet.destination, |to| to.ip());
                destination == state.packet.source
                    && elements.contains_key(&ElementKey::Address(destination))
            }
            Key::Slot { .. } => false,
        }
    }
}

impl State {
    fn frontend(&self) -> FrontendKey {
        let Packet { destination, protocol, port, .. } = self.packet;
        FrontendKey { address: destination, protocol, port }
    }
}
