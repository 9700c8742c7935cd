//! Rules for EDNS options of queries.

use std::fmt;

use super::names::Words;
use crate::line::one_of;
use crate::value::Refusal;

/// The form of such a rule.
pub(super) const FORM: &str = "edns0 local set|append|replace CODE DATA [revert], local unset CODE, \
                               nsid ACTION, subnet ACTION IPV4-BITS IPV6-BITS";

/// A rule for an EDNS option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdnsRewrite {
    /// What is done.
    pub action: EdnsAction,
    /// To which option, and what it says.
    pub data: EdnsData,
    /// Whether the option is taken out of the reply.
    pub revert: bool,
}

/// What is done about an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdnsAction {
    /// The query has it, whether it had it before or not.
    Set,
    /// It is added when the query has none.
    Append,
    /// It is changed when the query has one.
    Replace,
    /// It is taken away.
    Unset,
}

/// An option and what it says; an option that is taken away says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdnsData {
    /// These octets.
    Local {
        /// The code of the option.
        code: u16,
        /// What it says.
        octets: Vec<u8>,
    },
    /// Something about the query.
    Variable {
        /// The code of the option.
        code: u16,
        /// What it says.
        variable: EdnsVariable,
    },
    /// The question for the server's identity (RFC 5001).
    Nsid,
    /// The network of the client (RFC 7871).
    Subnet {
        /// How much of an IPv4 address is told, in bits.
        ipv4_bits: u8,
        /// How much of an IPv6 address is told, in bits.
        ipv6_bits: u8,
    },
}

/// Something about a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdnsVariable {
    /// The name asked.
    QueryName,
    /// The type asked, in two octets.
    QueryType,
    /// The client's address, in four or sixteen octets.
    ClientAddress,
    /// The client's port, in two octets.
    ClientPort,
    /// `udp` or `tcp`.
    Protocol,
    /// The address that the query came to.
    ServerAddress,
    /// The port that the query came to.
    ServerPort,
}

/// Words for variables.
const VARIABLES: &[(&str, EdnsVariable)] = &[
    ("{qname}", EdnsVariable::QueryName),
    ("{qtype}", EdnsVariable::QueryType),
    ("{client_ip}", EdnsVariable::ClientAddress),
    ("{client_port}", EdnsVariable::ClientPort),
    ("{protocol}", EdnsVariable::Protocol),
    ("{server_ip}", EdnsVariable::ServerAddress),
    ("{server_port}", EdnsVariable::ServerPort),
];

/// Words for actions.
const ACTIONS: &[(&str, EdnsAction)] = &[
    ("set", EdnsAction::Set),
    ("append", EdnsAction::Append),
    ("replace", EdnsAction::Replace),
    ("unset", EdnsAction::Unset),
];

/// Which option a rule is for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Local,
    Nsid,
    Subnet,
}

impl EdnsData {
    /// The code of the option (RFC 6891, section 6.1.2).
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Local { code, .. } | Self::Variable { code, .. } => *code,
            Self::Nsid => 3,
            Self::Subnet { .. } => 8,
        }
    }
}

/// Takes `TYPE ACTION FIELDS... [revert]`.
pub(super) fn edns_rewrite(words: &mut Words<'_>) -> Option<EdnsRewrite> {
    let kinds = &[("local", Kind::Local), ("nsid", Kind::Nsid), ("subnet", Kind::Subnet)];
    let kind = words.value("option", one_of(kinds))?;
    let action = words.value("action", one_of(ACTIONS))?;
    let unset = action == EdnsAction::Unset;
    let data = match kind {
        Kind::Nsid => EdnsData::Nsid,
        Kind::Subnet if unset => EdnsData::Subnet { ipv4_bits: 0, ipv6_bits: 0 },
        Kind::Subnet => EdnsData::Subnet {
            ipv4_bits: words.value("number of bits", |text| bits(text, 32))?,
            ipv6_bits: words.value("number of bits", |text| bits(text, 128))?,
        },
        Kind::Local => {
            let code = words.value("code", code)?;
            if unset {
                EdnsData::Local { code, octets: Vec::new() }
            } else {
                words.value("data", |text| data(code, text))?
            }
        }
    };
    let revert = words.take_if("revert");
    words.end();
    Some(EdnsRewrite { action, data, revert })
}

/// Reads a number of bits.
fn bits(text: &str, most: u8) -> Result<u8, Refusal> {
    let number = text.parse().ok().filter(|bits| *bits <= most);
    number.ok_or_else(|| Refusal::new("is out of range", format!("0..={most}")))
}

/// Reads a code, decimal or after `0x`.
fn code(text: &str) -> Result<u16, Refusal> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    number.ok_or_else(|| Refusal::new("is no code of an option", "0..=65535, or 0x0..=0xffff"))
}

/// Reads octets after `0x`, a variable in braces, or a text.
fn data(code: u16, text: &str) -> Result<EdnsData, Refusal> {
    if let Some(digits) = text.strip_prefix("0x") {
        let octets = hexadecimal(digits);
        let refuse = || Refusal::new("is no hexadecimal number", "0x and an even number of digits");
        return Ok(EdnsData::Local { code, octets: octets.ok_or_else(refuse)? });
    }
    if text.starts_with('{') && text.ends_with('}') {
        return one_of(VARIABLES)(text).map(|variable| EdnsData::Variable { code, variable });
    }
    Ok(EdnsData::Local { code, octets: text.as_bytes().to_vec() })
}

/// The octets of hexadecimal digits.
fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = digits
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| digit.try_into().ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit))
            .collect(),
    )
}

impl fmt::Display for EdnsRewrite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            EdnsAction::Set => "set to",
            EdnsAction::Append => "added, if there is none, as",
            EdnsAction::Replace => "changed, if there is one, to",
            EdnsAction::Unset => "taken away",
        };
        write!(formatter, "the EDNS option {} is {action}", self.data.code())?;
        if self.action != EdnsAction::Unset {
            match &self.data {
                EdnsData::Local { octets, .. } => {
                    let text = octets.iter().map(|octet| format!("{octet:02x}"));
                    write!(formatter, " 0x{}", text.collect::<String>())?;
                }
                EdnsData::Variable { variable, .. } => {
                    let word = VARIABLES.iter().find(|(_, known)| known == variable);
                    write!(formatter, " {}", word.map_or("", |(word, _)| word))?;
                }
                EdnsData::Nsid => formatter.write_str(" the question for the server's identity")?,
                EdnsData::Subnet { ipv4_bits, ipv6_bits } => {
                    write!(formatter, " the client's network of {ipv4_bits} or {ipv6_bits} bits")?;
                }
            }
        }
        formatter.write_str(if self.revert { ", and taken out of the reply" } else { "" })
    }
}
