//! A kernel in memory: refuses what the kernel refuses, and routes packets as it would.
//!
//! Tests commit every transaction here as well and compare where packets go with
//! `podway_proxy_plan::route`, without privileges. What it knows of a table is the same data that
//! is encoded for the kernel, rules included.

mod run;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use podway_cluster_model::port::{Port, Protocol};
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::{Family, FrontendKey};
use thiserror::Error;

use self::run::{Flow, State};
use crate::element::{AffinityId, Element, Learned};
use crate::names::{ChainName, SetName};
use crate::ruleset::{Chain, Condition, HookPoint, Rule, Statement, Table};
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
    /// The interface it came in by, where that matters.
    pub interface: Option<InterfaceName>,
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
    sets: BTreeMap<SetName, BTreeMap<ElementKey, Value>>,
}

/// What tells one element of a set from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ElementKey {
    Frontend(FrontendKey),
    Slot(FrontendKey, u16),
    Source(FrontendKey, IpNet),
    Address(IpAddr),
    Endpoint(SocketAddr, Protocol),
    Range(IpNet),
    Number(AffinityId),
    Client(IpAddr, Protocol, AffinityId),
}

/// What an element maps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Nothing,
    Endpoint(SocketAddr),
    Number(AffinityId),
}

fn identity(element: &Element) -> (ElementKey, Value) {
    match *element {
        Element::Frontend { key, .. } => (ElementKey::Frontend(key), Value::Nothing),
        Element::Backend { key, slot, endpoint, .. } => {
            (ElementKey::Slot(key, slot), Value::Endpoint(endpoint))
        }
        Element::Hairpin(endpoint, protocol) => {
            (ElementKey::Endpoint(endpoint, protocol), Value::Nothing)
        }
        Element::ClusterIp(address) => (ElementKey::Address(address), Value::Nothing),
        Element::Range { cidr, .. } => (ElementKey::Range(cidr), Value::Nothing),
        Element::AllowedSource { key, source } => (ElementKey::Source(key, source), Value::Nothing),
        Element::AffinityId { key, id, .. } => (ElementKey::Frontend(key), Value::Number(id)),
        Element::AffinityTimeout { id, .. } => (ElementKey::Number(id), Value::Nothing),
        Element::NodeLocalDns { key, .. } => (ElementKey::Frontend(key), Value::Nothing),
        Element::TranslatedClient { address, .. } => (ElementKey::Address(address), Value::Nothing),
        Element::Learned(Learned { client, protocol, id, endpoint, .. }) => {
            (ElementKey::Client(client, protocol, id), Value::Endpoint(endpoint))
        }
    }
}

/// Whether two keys of a set of ranges are different and meet.
fn overlap(one: &ElementKey, other: &ElementKey) -> bool {
    let meet = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
    match (one, other) {
        (ElementKey::Range(one), ElementKey::Range(other)) => one != other && meet(one, other),
        // A concatenated range may hold another: the kernel refuses only one that ends within.
        _ => false,
    }
}

impl FakeKernel {
    /// Applies `transaction` whole or not at all.
    ///
    /// # Errors
    /// [`Refusal`] of the first step that the kernel would refuse.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<(), Refusal> {
        let family = transaction.family;
        let next = match &transaction.change {
            Change::Replace { table, elements, .. } => {
                let mut next = FakeTable::new(table)?;
                elements.iter().try_for_each(|element| next.add(family, element))?;
                next
            }
            Change::Elements { deleted, added, .. } => {
                let mut next = self.tables.get(&family).cloned().ok_or(Refusal::NoTable(family))?;
                deleted.iter().try_for_each(|element| next.delete(element))?;
                added.iter().try_for_each(|element| next.add(family, element))?;
                next
            }
        };
        self.tables.insert(family, next);
        Ok(())
    }

    /// Every element, as text after its family and set.
    #[must_use]
    pub fn elements(&self) -> BTreeSet<String> {
        let sets = self.tables.iter().flat_map(|(family, table)| {
            table.sets.iter().map(move |(name, elements)| (family, name, elements))
        });
        sets.flat_map(|(family, name, elements)| {
            let text = move |(key, value): (&ElementKey, &Value)| {
                format!("{} {name} {key:?} {value:?}", family.name())
            };
            elements.iter().map(text)
        })
        .collect()
    }

    /// The sets that there are.
    #[must_use]
    pub fn sets(&self) -> BTreeSet<(Family, SetName)> {
        let of = |(family, table): (&Family, &FakeTable)| {
            let family = *family;
            table.sets.keys().map(move |name| (family, *name)).collect::<Vec<_>>()
        };
        self.tables.iter().flat_map(of).collect()
    }

    /// What becomes of `packet`; `draw` gives a number below its argument wherever a rule draws one.
    pub fn send(&self, packet: &Packet, draw: &mut dyn FnMut(u32) -> u32) -> Outcome {
        let untouched = Outcome::Sent { to: None, masqueraded: false };
        let Some(table) = self.tables.get(&Family::of(packet.destination)) else {
            return untouched;
        };
        let mut state = State::new(*packet);
        let hooks: &[HookPoint] = match packet.from {
            From::ThisNode => &[HookPoint::Output, HookPoint::Postrouting],
            From::Elsewhere => &[HookPoint::Prerouting, HookPoint::Forward, HookPoint::Postrouting],
        };
        for hook in hooks {
            for chain in table.base_chains(*hook) {
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

impl FakeTable {
    /// An empty table; every set and chain that its rules name must be there.
    fn new(table: &Table) -> Result<Self, Refusal> {
        let sets: BTreeMap<_, _> =
            table.sets.iter().map(|set| (set.name, BTreeMap::new())).collect();
        let chains: HashMap<_, _> =
            table.chains.iter().map(|chain| (chain.name, chain.clone())).collect();
        for chain in &table.chains {
            for rule in &chain.rules {
                if let Some(missing) = sets_of(rule).find(|set| !sets.contains_key(set)) {
                    return Err(Refusal::NoSet(missing));
                }
                if let Some(called) = calls_of(rule).find(|called| !chains.contains_key(called)) {
                    return Err(Refusal::NoChain { caller: chain.name, called });
                }
            }
        }
        Ok(Self { chains, sets })
    }

    fn add(&mut self, family: Family, element: &Element) -> Result<(), Refusal> {
        let set = element.set();
        if !element.is_of_family(family) {
            return Err(Refusal::OtherFamily { set, element: element.to_string() });
        }
        let elements = self.sets.get_mut(&set).ok_or(Refusal::NoSet(set))?;
        let (key, value) = identity(element);
        // Only sets of ranges can overlap, and those are small; another key is looked up.
        let overlaps = matches!(key, ElementKey::Range(_))
            && elements.keys().any(|other| overlap(&key, other));
        if overlaps || elements.get(&key).is_some_and(|there| *there != value) {
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
}

/// The sets that a rule names.
fn sets_of(rule: &Rule) -> impl Iterator<Item = SetName> {
    let asked = rule.conditions.iter().filter_map(|condition| match condition {
        Condition::In(_, set) | Condition::NotIn(_, set) => Some(*set),
        Condition::NewConnection
        | Condition::Tcp
        | Condition::Udp
        | Condition::ToThisNode
        | Condition::SourceTranslated
        | Condition::Original
        | Condition::Acknowledging
        | Condition::To(..)
        | Condition::From(..)
        | Condition::FromLoopback
        | Condition::MidStream
        | Condition::Translated
        | Condition::Marked(_)
        | Condition::ConnectionMarked
        | Condition::NotFromInterface(_)
        | Condition::FromInterface(_)
        | Condition::FromThisNode => None,
    });
    let used = rule.statements.iter().filter_map(|statement| match statement {
        Statement::Translate(_, map) | Statement::MarkConnection(map) => Some(*map),
        Statement::Learn { .. } => Some(SetName::Affinity),
        Statement::Remember { set, .. } => Some(*set),
        Statement::Jump(_)
        | Statement::Goto(_)
        | Statement::Return
        | Statement::Drop
        | Statement::Reject
        | Statement::Reset
        | Statement::Mark(_)
        | Statement::Unmark(_)
        | Statement::UnmarkConnection
        | Statement::Masquerade
        | Statement::NoTrack => None,
    });
    asked.chain(used)
}

/// The chains that a rule calls.
fn calls_of(rule: &Rule) -> impl Iterator<Item = ChainName> {
    rule.statements.iter().filter_map(|statement| match statement {
        Statement::Jump(called) | Statement::Goto(called) => Some(*called),
        Statement::Return
        | Statement::Drop
        | Statement::Reject
        | Statement::Reset
        | Statement::Mark(_)
        | Statement::Unmark(_)
        | Statement::Translate(..)
        | Statement::MarkConnection(_)
        | Statement::UnmarkConnection
        | Statement::Learn { .. }
        | Statement::Remember { .. }
        | Statement::Masquerade
        | Statement::NoTrack => None,
    })
}
