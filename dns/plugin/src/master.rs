//! Records in the form of master files (RFC 1035, section 5; RFC 2308, section 4 for `$TTL`;
//! RFC 3597, section 5 for types without a form of their own).
//!
//! hickory-proto has a reader of such files too. It stops at the first mistake and does not say
//! where that is, reads escapes as octal numbers and included files by itself, and knows neither
//! DNAME nor generic data; so files are read here, and it is asked only for what the data means.
//!
//! | module | owns |
//! |---|---|
//! | `lexer` | octets to words and entries |
//! | `reader` | entries to records and directives |
//! | `data` | which fields the data of a type has, and their octets |
//! | `fields` | the octets of one field |

mod data;
mod fields;
mod lexer;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;

use hickory_proto::rr::{Name, Record};

pub(crate) use lexer::Lexer;
pub(crate) use reader::{Item, Reader};

/// What is wrong with an entry, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, from 1.
    pub(crate) line: u32,
    /// The column in octets, from 1.
    pub(crate) column: u32,
    /// What was found.
    pub(crate) text: String,
    /// What would be right; empty when that cannot be said in short.
    pub(crate) accepted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.line, self.column, self.text)
    }
}

/// Reads one record that stands alone; relative names are below the root, and it lives for
/// `default_ttl` seconds if it does not say how long.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn record(text: &str, default_ttl: u32) -> Result<Record, Fault> {
    let mut reader = Reader::new(Name::root()).with_ttl(default_ttl);
    let mut lexer = Lexer::new(text.as_bytes());
    let mut found = None;
    while let Some(entry) = lexer.next_entry() {
        let entry = entry?;
        let place = (entry.line, 1);
        match reader.read(&entry)? {
            Item::Record(record) if found.is_none() => found = Some(record),
            Item::Nothing => {}
            Item::Record(_) | Item::Include { .. } => {
                return Err(Fault::at(place, "is more than one record", ""));
            }
        }
    }
    found.ok_or_else(|| Fault::at((1, 1), "is no record", "OWNER [TTL] [CLASS] TYPE DATA"))
}

impl Fault {
    /// A fault at a place.
    pub(crate) fn at(place: (u32, u32), text: impl Into<String>, accepted: &str) -> Self {
        let (line, column) = place;
        Self { line, column, text: text.into(), accepted: accepted.to_owned() }
    }
}
