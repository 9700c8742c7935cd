//! Transactions as nfnetlink bytes.
//!
//! Attributes are written by `netlink-bindings`; here is only what of them is used and how they are
//! put into one batch. Source: `include/uapi/linux/netfilter/nf_tables.h`, and what `nft
//! --debug=netlink` prints for the same rules.

mod element;
mod request;
mod rule;
mod userdata;

use std::fmt;

use netlink_bindings::nftables::{
    Nfgenmsg, PushBatchAttrs, PushChainAttrs, PushRuleAttrs, PushSetAttrs, PushTableAttrs, SetFlags,
};
use podway_proxy_plan::plan::Family;

pub(crate) use self::request::{get_elements, get_frontend, get_generation, get_set};
use crate::element::Element;
use crate::names::{ChainName, SetName, TABLE};
use crate::ruleset::{Chain, Hook, HookKind, HookPoint, Part, Set, SetKind, Table};
use crate::transaction::{Change, Transaction};

/// Length of `struct nlmsghdr` in bytes.
pub(crate) const HEADER_BYTES: usize = 16;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

/// `NFNL_SUBSYS_NFTABLES`, the high octet of a message type.
const SUBSYSTEM: u16 = 10;

/// Policy of a base chain that lets go on what no rule decides (`NF_ACCEPT`).
const POLICY_ACCEPT: u32 = 1;

/// What one message of a batch does, to name it when the kernel refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Opens the batch.
    BatchBegin,
    /// Closes the batch.
    BatchEnd,
    /// Creates the table, when there is none.
    AddTable,
    /// Deletes the table with all it holds.
    DeleteTable,
    /// Creates a set.
    AddSet(SetName),
    /// Creates a chain.
    AddChain(ChainName),
    /// Appends a rule.
    AddRule(ChainName),
    /// Adds elements.
    AddElements(SetName),
    /// Deletes elements.
    DeleteElements(SetName),
}

impl Message {
    /// Type of the netlink message.
    const fn number(self) -> u16 {
        let command = match self {
            Self::BatchBegin => return 16,
            Self::BatchEnd => return 17,
            Self::AddTable => 0,
            Self::DeleteTable => 2,
            Self::AddChain(_) => 3,
            Self::AddRule(_) => 6,
            Self::AddSet(_) => 9,
            Self::AddElements(_) => 12,
            Self::DeleteElements(_) => 14,
        };
        (SUBSYSTEM << 8) | command
    }

    const fn flags(self) -> u16 {
        NLM_F_REQUEST
            | match self {
                Self::BatchBegin | Self::BatchEnd | Self::DeleteTable | Self::DeleteElements(_) => {
                    0
                }
                Self::AddTable | Self::AddSet(_) | Self::AddChain(_) | Self::AddElements(_) => {
                    NLM_F_CREATE
                }
                Self::AddRule(_) => NLM_F_CREATE | NLM_F_APPEND,
            }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BatchBegin => formatter.write_str("begin batch"),
            Self::BatchEnd => formatter.write_str("end batch"),
            Self::AddTable => formatter.write_str("add table"),
            Self::DeleteTable => formatter.write_str("delete table"),
            Self::AddSet(set) => write!(formatter, "add set {set}"),
            Self::AddChain(chain) => write!(formatter, "add chain {chain}"),
            Self::AddRule(chain) => write!(formatter, "add rule to chain {chain}"),
            Self::AddElements(set) => write!(formatter, "add elements to set {set}"),
            Self::DeleteElements(set) => write!(formatter, "delete elements of set {set}"),
        }
    }
}

/// A batch of messages that the kernel applies as one transaction.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// What each message does; the index is its sequence number.
    messages: Vec<Message>,
    family: u8,
}

impl Batch {
    /// Encodes `transaction`; `remembered` is what the kernel knows by itself, carried over or
    /// forgotten.
    #[must_use]
    pub fn of(transaction: &Transaction, remembered: &[Element]) -> Self {
        let mut batch = Self::begin(transaction.family);
        match &transaction.change {
            Change::Replace { table, elements, .. } => {
                // Adding first makes the deletion succeed whether or not there was a table.
                batch.table(Message::AddTable);
                batch.table(Message::DeleteTable);
                batch.table(Message::AddTable);
                batch.content(table);
                let elements = elements.iter().chain(remembered);
                element::push(&mut batch, elements, Message::AddElements);
            }
            Change::Elements { deleted, added, .. } => {
                let deleted = deleted.iter().chain(remembered);
                element::push(&mut batch, deleted, Message::DeleteElements);
                element::push(&mut batch, added.iter(), Message::AddElements);
            }
        }
        batch.end()
    }

    /// A batch that deletes the table of `family`, which must be there.
    #[must_use]
    pub fn deleting_table(family: Family) -> Self {
        let mut batch = Self::begin(family);
        batch.table(Message::DeleteTable);
        batch.end()
    }

    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the message with this sequence number does.
    #[must_use]
    pub fn message(&self, sequence: u32) -> Option<Message> {
        self.messages.get(usize::try_from(sequence).ok()?).copied()
    }

    /// Sequence number of the message whose acknowledgement says that the batch was applied.
    #[must_use]
    pub fn acknowledged(&self) -> u32 {
        u32::try_from(self.messages.len().saturating_sub(2)).unwrap_or(u32::MAX)
    }

    fn begin(family: Family) -> Self {
        let mut batch =
            Self { bytes: Vec::new(), messages: Vec::new(), family: family_number(family) };
        batch.push(Message::BatchBegin, |bytes| drop(PushBatchAttrs::new(bytes)));
        batch
    }

    /// Asks for the acknowledgement of the last message and closes the batch.
    fn end(mut self) -> Self {
        self.push(Message::BatchEnd, |bytes| drop(PushBatchAttrs::new(bytes)));
        let mut offset = 0;
        for _ in 0..self.acknowledged() {
            offset += message_length(&self.bytes[offset..]);
        }
        let flags = &mut self.bytes[offset + 6..offset + 8];
        let asked = u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK;
        flags.copy_from_slice(&asked.to_ne_bytes());
        self
    }

    /// Appends one message; `attributes` writes what follows its headers.
    fn push(&mut self, message: Message, attributes: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        let sequence = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.messages.push(message);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&message.number().to_ne_bytes());
        self.bytes.extend_from_slice(&message.flags().to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        let mut header = Nfgenmsg::new();
        match message {
            Message::BatchBegin | Message::BatchEnd => header.set_res_id(SUBSYSTEM),
            Message::AddTable
            | Message::DeleteTable
            | Message::AddSet(_)
            | Message::AddChain(_)
            | Message::AddRule(_)
            | Message::AddElements(_)
            | Message::DeleteElements(_) => header.nfgen_family = self.family,
        }
        self.bytes.extend_from_slice(header.as_slice());
        attributes(&mut self.bytes);
        // A message holds one set's chunk of elements at most: far below 4 GiB.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn table(&mut self, message: Message) {
        self.push(message, |bytes| {
            PushTableAttrs::new(bytes).push_name_bytes(TABLE.as_bytes());
        });
    }

    /// Sets, then chains, then rules.
    fn content(&mut self, table: &Table) {
        for (index, set) in table.sets.iter().enumerate() {
            self.set(table.family, *set, u32::try_from(index + 1).unwrap_or(u32::MAX));
        }
        for chain in &table.chains {
            self.chain(chain);
        }
        for chain in &table.chains {
            for one in &chain.rules {
                self.push(Message::AddRule(chain.name), |bytes| {
                    let attributes = PushRuleAttrs::new(bytes)
                        .push_table_bytes(TABLE.as_bytes())
                        .push_chain_bytes(chain.name.to_string().as_bytes());
                    rule::push(attributes.nested_expressions(), table.family, one);
                });
            }
        }
    }

    fn set(&mut self, family: Family, set: Set, id: u32) {
        let parts = set.key.parts();
        let data = set.kind.data();
        self.push(Message::AddSet(set.name), |bytes| {
            let mut attributes = PushSetAttrs::new(bytes)
                .push_table_bytes(TABLE.as_bytes())
                .push_name_bytes(set.name.to_string().as_bytes())
                .push_flags(set_flags(set.kind))
                .push_key_type(concatenated_type(family, &parts))
                .push_key_len(concatenated_bytes(family, &parts))
                .push_id(id)
                .push_userdata(&userdata::of_set(family, set));
            if !data.is_empty() {
                attributes = attributes
                    .push_data_type(concatenated_type(family, data))
                    .push_data_len(concatenated_bytes(family, data));
            }
            match set.kind {
                SetKind::Members
                | SetKind::Expiring
                | SetKind::Ranges
                | SetKind::Endpoints
                | SetKind::Marks => {}
                SetKind::Counted => {
                    let counter = attributes.nested_expr().nested_data_counter();
                    attributes = counter.end_nested().end_nested();
                }
                SetKind::Learned { size } | SetKind::Seen { size } => {
                    attributes = attributes.nested_desc().push_size(size).end_nested();
                }
                SetKind::ConcatenatedRanges => {
                    let mut fields = attributes.nested_desc().nested_concat();
                    for part in &parts {
                        let field = fields.nested_elem();
                        fields = field.push_len(part_bytes(family, *part)).end_nested();
                    }
                    attributes = fields.end_nested().end_nested();
                }
            }
            drop(attributes);
        });
    }

    fn chain(&mut self, chain: &Chain) {
        self.push(Message::AddChain(chain.name), |bytes| {
            let attributes = PushChainAttrs::new(bytes)
                .push_table_bytes(TABLE.as_bytes())
                .push_name_bytes(chain.name.to_string().as_bytes());
            if let Some(Hook { kind, point, priority }) = chain.hook {
                attributes
                    .nested_hook()
                    .push_num(hook_number(point))
                    .push_priority(priority)
                    .end_nested()
                    .push_policy(POLICY_ACCEPT)
                    .push_type_bytes(match kind {
                        HookKind::Filter => b"filter",
                        HookKind::Nat => b"nat",
                    });
            }
        });
    }
}

/// `enum nft_set_flags`.
const fn set_flags(kind: SetKind) -> u32 {
    let map = SetFlags::Map as u32;
    match kind {
        SetKind::Members | SetKind::Counted => 0,
        SetKind::Expiring => SetFlags::Timeout as u32,
        SetKind::Ranges => SetFlags::Interval as u32,
        SetKind::ConcatenatedRanges => SetFlags::Interval as u32 | SetFlags::Concat as u32,
        SetKind::Endpoints | SetKind::Marks => map,
        SetKind::Seen { .. } => SetFlags::Timeout as u32 | SetFlags::Eval as u32,
        SetKind::Learned { .. } => map | SetFlags::Timeout as u32 | SetFlags::Eval as u32,
    }
}

/// Length of the message that `bytes` begins with, rounded up to where the next begins.
pub(crate) fn message_length(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length));
    usize::try_from(length).unwrap_or(usize::MAX).next_multiple_of(4)
}

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
pub(crate) const fn family_number(family: Family) -> u8 {
    match family {
        Family::Ip => 2,
        Family::Ip6 => 10,
    }
}

/// `enum nf_inet_hooks`.
const fn hook_number(point: HookPoint) -> u32 {
    match point {
        HookPoint::Prerouting => 0,
        HookPoint::Input => 1,
        HookPoint::Forward => 2,
        HookPoint::Output => 3,
        HookPoint::Postrouting => 4,
    }
}

/// Length of an address in bytes.
const fn address_bytes(family: Family) -> u32 {
    match family {
        Family::Ip => 4,
        Family::Ip6 => 16,
    }
}

/// Length of a part in bytes, before it is padded.
const fn part_bytes(family: Family, part: Part) -> u32 {
    match part {
        Part::Source | Part::Destination => address_bytes(family),
        Part::Protocol => 1,
        Part::SourcePort | Part::DestinationPort => 2,
        Part::Random(_) | Part::SourceHash { .. } | Part::ConnectionMark => 4,
    }
}

/// Length of concatenated parts: each fills registers of four bytes.
fn concatenated_bytes(family: Family, parts: &[Part]) -> u32 {
    let padded = parts.iter().map(|part| part_bytes(family, *part).next_multiple_of(4));
    // A lone part is not padded; only addresses stand alone, and they need no padding.
    padded.sum()
}

/// nft's number for the type of concatenated parts: six bits each (`TYPE_BITS`).
fn concatenated_type(family: Family, parts: &[Part]) -> u32 {
    parts.iter().fold(0, |whole, part| (whole << 6) | part_type(family, *part))
}

/// nft's number for the type of a part (`enum datatypes`).
const fn part_type(family: Family, part: Part) -> u32 {
    match (part, family) {
        (Part::Source | Part::Destination, Family::Ip) => 7,
        (Part::Source | Part::Destination, Family::Ip6) => 8,
        (Part::Protocol, _) => 12,
        (Part::SourcePort | Part::DestinationPort, _) => 13,
        (Part::Random(_) | Part::SourceHash { .. }, _) => 4,
        (Part::ConnectionMark, _) => 19,
    }
}
