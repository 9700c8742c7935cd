//! A table as data: sets, chains and rules. `Display` writes it as nft reads it.
//!
//! The language is small on purpose: it has what [`crate::schema`] says and nothing else, so that
//! the text, the netlink encoding and the fake kernel can each cover all of it.

use std::fmt;

use podway_proxy_plan::plan::Family;

use crate::names::{Bank, ChainName, SetName, TABLE};

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: Family,
    /// Sets and maps, without their elements.
    pub sets: Vec<Set>,
    /// Chains with their rules; a chain stands before those that jump to it.
    pub chains: Vec<Chain>,
}

/// Declaration of a set or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: SetName,
    /// What an element's key is made of.
    pub key: Key,
    /// Whether it maps to endpoints (address and port).
    pub kind: SetKind,
}

/// What a set holds besides keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// Keys only.
    Members,
    /// Keys that are ranges.
    Ranges,
    /// An endpoint for each key.
    Endpoints,
}

/// Parts of a packet, in order, that make a look-up key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Destination address, protocol, destination port.
    Frontend,
    /// A frontend and a random number below `modulus`.
    Slot {
        /// 1..=65,536.
        modulus: u32,
    },
    /// Source address.
    Source,
    /// Source address, destination address.
    SourceAndDestination,
}

/// One part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Transport protocol.
    Protocol,
    /// Destination port.
    DestinationPort,
    /// Random number below the modulus.
    Random(u32),
}

impl Key {
    /// The parts in order.
    #[must_use]
    pub fn parts(self) -> Vec<Part> {
        let frontend = [Part::Destination, Part::Protocol, Part::DestinationPort];
        match self {
            Self::Frontend => frontend.to_vec(),
            Self::Slot { modulus } => frontend.into_iter().chain([Part::Random(modulus)]).collect(),
            Self::Source => vec![Part::Source],
            Self::SourceAndDestination => vec![Part::Source, Part::Destination],
        }
    }
}

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: ChainName,
    /// Where the kernel calls it; `None` for one that only rules call.
    pub hook: Option<Hook>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// Where the kernel calls a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Type of the chain.
    pub kind: HookKind,
    /// Point in the packet's way.
    pub point: HookPoint,
    /// Lower is earlier.
    pub priority: i32,
}

/// Type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of each connection.
    Nat,
}

/// Point in a packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// Arriving, before routing.
    Prerouting,
    /// Made here.
    Output,
    /// Leaving.
    Postrouting,
}

/// One rule: when all conditions hold, the statements are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// At least one.
    pub statements: Vec<Statement>,
}

/// What a rule asks of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It starts a connection.
    NewConnection,
    /// Its connection's destination was translated.
    Translated,
    /// Its mark has this bit.
    Marked(u32),
    /// Its source is an address of this node.
    FromThisNode,
    /// Its key is in the set.
    In(Key, SetName),
    /// Its key is not in the set.
    NotIn(Key, SetName),
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// Calls a chain and comes back.
    Jump(ChainName),
    /// Goes to a chain for good.
    Goto(ChainName),
    /// Goes back to the calling chain.
    Return,
    /// Drops the packet.
    Drop,
    /// Refuses with ICMP port unreachable.
    Reject,
    /// Sets a bit of the mark.
    Mark(u32),
    /// Clears a bit of the mark.
    Unmark(u32),
    /// Sends the connection to the endpoint found in a bank, if there is one in the slot drawn.
    Translate {
        /// Where the endpoints are.
        bank: Bank,
        /// Number of slots.
        modulus: u32,
    },
    /// Replaces the source address by the node's, with a random port.
    Masquerade,
}

/// Writes the spelling of `family`.
struct Spelled<T>(Family, T);

impl fmt::Display for Spelled<Part> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.0.name();
        match self.1 {
            Part::Source => write!(formatter, "{family} saddr"),
            Part::Destination => write!(formatter, "{family} daddr"),
            Part::Protocol => formatter.write_str("meta l4proto"),
            Part::DestinationPort => formatter.write_str("th dport"),
            Part::Random(modulus) => write!(formatter, "numgen random mod {modulus}"),
        }
    }
}

impl fmt::Display for Spelled<Key> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.1.parts().into_iter().enumerate() {
            let separator = if index == 0 { "" } else { " . " };
            write!(formatter, "{separator}{}", Spelled(self.0, part))?;
        }
        Ok(())
    }
}

impl fmt::Display for Spelled<&Condition> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.1 {
            Condition::NewConnection => formatter.write_str("ct state new"),
            Condition::Translated => formatter.write_str("ct status dnat"),
            Condition::Marked(bit) => {
                write!(formatter, "meta mark & 0x{bit:08x} != 0x00000000")
            }
            Condition::FromThisNode => formatter.write_str("fib saddr type local"),
            Condition::In(key, set) => write!(formatter, "{} @{set}", Spelled(self.0, key)),
            Condition::NotIn(key, set) => write!(formatter, "{} != @{set}", Spelled(self.0, key)),
        }
    }
}

impl fmt::Display for Spelled<&Statement> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.1 {
            Statement::Jump(chain) => write!(formatter, "jump {chain}"),
            Statement::Goto(chain) => write!(formatter, "goto {chain}"),
            Statement::Return => formatter.write_str("return"),
            Statement::Drop => formatter.write_str("drop"),
            Statement::Reject => formatter.write_str("reject"),
            Statement::Mark(bit) => write!(formatter, "meta mark set meta mark | 0x{bit:08x}"),
            Statement::Unmark(bit) => write!(formatter, "meta mark set meta mark & 0x{:08x}", !bit),
            Statement::Translate { bank, modulus } => write!(
                formatter,
                "dnat {} to {} map @{}",
                self.0.name(),
                Spelled(self.0, Key::Slot { modulus }),
                SetName::Backends(bank)
            ),
            Statement::Masquerade => formatter.write_str("masquerade fully-random"),
        }
    }
}

impl fmt::Display for Spelled<&Rule> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = self.1.conditions.iter().map(|part| Spelled(self.0, part).to_string());
        let statements = self.1.statements.iter().map(|part| Spelled(self.0, part).to_string());
        formatter.write_str(&conditions.chain(statements).collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            HookKind::Filter => "filter",
            HookKind::Nat => "nat",
        };
        let point = match self.point {
            HookPoint::Prerouting => "prerouting",
            HookPoint::Output => "output",
            HookPoint::Postrouting => "postrouting",
        };
        write!(formatter, "type {kind} hook {point} priority {}; policy accept;", self.priority)
    }
}

impl Set {
    /// Writes the declaration with `elements` (already spelled) in it.
    pub(crate) fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        family: Family,
        elements: &[String],
    ) -> fmt::Result {
        let word = if self.kind == SetKind::Endpoints { "map" } else { "set" };
        writeln!(formatter, "\t{word} {} {{", self.name)?;
        write!(formatter, "\t\ttypeof {}", Spelled(family, self.key))?;
        match self.kind {
            SetKind::Members => writeln!(formatter)?,
            SetKind::Ranges => write!(formatter, "\n\t\tflags interval\n")?,
            SetKind::Endpoints => {
                writeln!(formatter, " : {} daddr . th dport", family.name())?;
            }
        }
        if !elements.is_empty() {
            writeln!(formatter, "\t\telements = {{ {} }}", elements.join(",\n\t\t\t     "))?;
        }
        writeln!(formatter, "\t}}\n")
    }
}

impl Table {
    /// Writes the table; `elements` gives the spelled elements of each set.
    pub(crate) fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        elements: impl Fn(SetName) -> Vec<String>,
    ) -> fmt::Result {
        writeln!(formatter, "table {} {TABLE} {{", self.family.name())?;
        for set in &self.sets {
            set.write(formatter, self.family, &elements(set.name))?;
        }
        for (index, chain) in self.chains.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            writeln!(formatter, "{separator}\tchain {} {{", chain.name)?;
            if let Some(hook) = chain.hook {
                writeln!(formatter, "\t\t{hook}")?;
            }
            for rule in &chain.rules {
                writeln!(formatter, "\t\t{}", Spelled(self.family, rule))?;
            }
            writeln!(formatter, "\t}}")?;
        }
        writeln!(formatter, "}}")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, |_| Vec::new())
    }
}
