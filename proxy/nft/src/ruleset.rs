//! A table as data: sets, chains and rules. `Display` writes it as nft reads it.
//!
//! The language is small on purpose: it has what [`crate::schema`] says and nothing else, so that
//! the text, the netlink encoding and the fake kernel can each cover all of it.

mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podway_cluster_model::port::Protocol;
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::Family;

use crate::names::{ChainName, SetName};

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
    /// What it holds besides keys.
    pub kind: SetKind,
}

/// What a set holds besides keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// Keys only.
    Members,
    /// Keys, and how many packets each has met.
    Counted,
    /// Keys that are ranges.
    Ranges,
    /// Concatenated keys, each part a range.
    ConcatenatedRanges,
    /// Keys that the kernel takes out in time, unless they are put in anew.
    Expiring,
    /// An endpoint for each key.
    Endpoints,
    /// A number for each key, as large as a connection's mark.
    Marks,
    /// An endpoint for each key, learned by rules and forgotten in time.
    Learned {
        /// Most elements.
        size: u32,
    },
    /// Keys that rules put in, and that are taken out in time.
    Seen {
        /// Most elements.
        size: u32,
    },
}

impl SetKind {
    /// What its elements map to; empty for a set.
    #[must_use]
    pub const fn data(self) -> &'static [Part] {
        match self {
            Self::Members
            | Self::Counted
            | Self::Expiring
            | Self::Seen { .. }
            | Self::Ranges
            | Self::ConcatenatedRanges => &[],
            Self::Endpoints | Self::Learned { .. } => &[Part::Destination, Part::DestinationPort],
            Self::Marks => &[Part::ConnectionMark],
        }
    }
}

/// Parts of a packet, in order, that make a look-up key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Destination address, protocol, destination port.
    Frontend,
    /// Source address, protocol, source port: the frontend that a reply comes from.
    Reply,
    /// A frontend and a random number below `modulus`.
    Slot {
        /// 1..=65,536.
        modulus: u32,
    },
    /// A frontend and a hash of the source address below `modulus`.
    HashedSlot {
        /// 1..=65,536.
        modulus: u32,
        /// Mixed into the hash.
        seed: u32,
    },
    /// A frontend and the source address.
    FrontendAndSource,
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Source address, destination address, protocol, destination port.
    Hairpin,
    /// The connection's mark.
    ConnectionMark,
    /// Source address, protocol, the connection's mark.
    Client,
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
    /// Source port.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// Random number below the modulus.
    Random(u32),
    /// Hash of the source address below the modulus.
    SourceHash {
        /// 1..=65,536.
        modulus: u32,
        /// Mixed into the hash.
        seed: u32,
    },
    /// The connection's mark.
    ConnectionMark,
}

impl Key {
    /// The parts in order.
    #[must_use]
    pub fn parts(self) -> Vec<Part> {
        let frontend = [Part::Destination, Part::Protocol, Part::DestinationPort];
        let frontend_and = |part| frontend.into_iter().chain([part]).collect();
        match self {
            Self::Frontend => frontend.to_vec(),
            Self::Reply => vec![Part::Source, Part::Protocol, Part::SourcePort],
            Self::Slot { modulus } => frontend_and(Part::Random(modulus)),
            Self::HashedSlot { modulus, seed } => frontend_and(Part::SourceHash { modulus, seed }),
            Self::FrontendAndSource => frontend_and(Part::Source),
            Self::Source => vec![Part::Source],
            Self::Destination => vec![Part::Destination],
            Self::Hairpin => {
                vec![Part::Source, Part::Destination, Part::Protocol, Part::DestinationPort]
            }
            Self::ConnectionMark => vec![Part::ConnectionMark],
            Self::Client => vec![Part::Source, Part::Protocol, Part::ConnectionMark],
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
    /// For this host.
    Input,
    /// Passing through.
    Forward,
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
    /// It is TCP's.
    Tcp,
    /// It is sent to this port.
    To(Protocol, u16),
    /// It comes from this port.
    From(Protocol, u16),
    /// Its source is the loopback address.
    FromLoopback,
    /// It is TCP's and does not ask for a connection: its SYN flag is off.
    MidStream,
    /// Its connection's destination was translated.
    Translated,
    /// Its connection's source was translated.
    SourceTranslated,
    /// It goes the way of its connection's first packet.
    Original,
    /// It is TCP's and not the first of a connection: its ACK flag is on.
    Acknowledging,
    /// Its mark has this bit.
    Marked(u32),
    /// Its connection has a mark.
    ConnectionMarked,
    /// It did not come in by an interface of this name; one that ends in `*` is a prefix.
    NotFromInterface(InterfaceName),
    /// It came in by an interface of this name; one that ends in `*` is a prefix.
    FromInterface(InterfaceName),
    /// Its source is an address of this node.
    FromThisNode,
    /// It is UDP's.
    Udp,
    /// Its destination is an address of this node.
    ToThisNode,
    /// Its key is in the set.
    In(Key, SetName),
    /// Its key is not in the set.
    NotIn(Key, SetName),
}

/// The loopback address that a node's programs speak from when they choose one.
pub(crate) const fn loopback(family: Family) -> IpAddr {
    match family {
        Family::Ip => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::Ip6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
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
    /// Refuses with a TCP reset.
    Reset,
    /// Sets a bit of the mark.
    Mark(u32),
    /// Clears a bit of the mark.
    Unmark(u32),
    /// Sends the connection to the endpoint found under the key, if there is one.
    Translate(Key, SetName),
    /// Gives the connection the mark found under the frontend, if there is one.
    MarkConnection(SetName),
    /// Takes the connection's mark away.
    UnmarkConnection,
    /// Remembers the endpoint that the client was sent to, for so long from now.
    Learn {
        /// In seconds.
        timeout_s: u32,
    },
    /// Puts the source into a set of those that were seen, for so long from now.
    Remember {
        /// The set.
        set: SetName,
        /// In seconds.
        timeout_s: u32,
    },
    /// Replaces the source address by the node's, with a random port.
    Masquerade,
    /// Keeps the packet out of connection tracking, and so out of translation.
    NoTrack,
}
