//! Entries to records and directives.

use std::str::FromStr;

use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::Fault;
use super::data::{self, type_of};
use super::lexer::{Entry, Token};
use crate::presentation;

/// Largest time to live (RFC 2181, section 8).
const LONGEST_TTL: u32 = 0x7FFF_FFFF;

/// What a time to live may look like.
const TTL_FORM: &str = "seconds up to 2147483647, or such as 1h30m";

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// A record.
    Record(Record),
    /// `$INCLUDE`: what another file says stands here.
    Include {
        /// The file as it is named.
        file: String,
        /// What names in it are relative to.
        origin: Name,
        /// Where it is named.
        place: (u32, u32),
    },
    /// A directive that is done with.
    Nothing,
}

/// Reads entries, each in the light of those before.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    origin: Name,
    owner: Option<Name>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

impl Reader {
    /// Reads names as relative to `origin`.
    pub(crate) fn new(origin: Name) -> Self {
        Self { origin, owner: None, default_ttl: None, last_ttl: None }
    }

    /// The same, with a time to live for records that do not say one.
    pub(crate) fn with_ttl(self, seconds: u32) -> Self {
        Self { default_ttl: Some(seconds), ..self }
    }

    /// A reader for an included file: its origin is its own, the rest goes on.
    pub(crate) fn included(&self, origin: Name) -> Self {
        Self { origin, ..self.clone() }
    }

    /// Goes on after an included file: its times to live hold on, its names do not.
    pub(crate) fn resume(&mut self, included: &Self) {
        self.default_ttl = included.default_ttl;
        self.last_ttl = included.last_ttl;
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it; the reader goes on as if it were not there.
    pub(crate) fn read(&mut self, entry: &Entry<'_>) -> Result<Item, Fault> {
        let Some((first, rest)) = entry.tokens.split_first() else { return Ok(Item::Nothing) };
        if first.raw.starts_with(b"$") && !entry.indented && !first.quoted {
            return self.directive(first, rest);
        }
        let (owner, rest) = if entry.indented {
            let owner = self.owner.clone();
            let missing = || first.fault("the first record has no owner", "OWNER TYPE DATA");
            (owner.ok_or_else(missing)?, entry.tokens.as_slice())
        } else {
            (self.name(first)?, rest)
        };
        // The next indented entry is about this owner, even when this one is wrong.
        self.owner = Some(owner.clone());
        self.record(owner, first, rest).map(Item::Record)
    }

    /// Reads what follows the owner of a record.
    fn record(
        &mut self,
        owner: Name,
        first: &Token<'_>,
        tokens: &[Token<'_>],
    ) -> Result<Record, Fault> {
        let (mut ttl, mut class) = (None, None);
        let mut rest = tokens;
        let (kind, fields) = loop {
            let Some((token, after)) = rest.split_first() else {
                let form = "[TTL] [CLASS] TYPE DATA";
                return Err(first.fault("the record has no type", form));
            };
            rest = after;
            if ttl.is_none() && token.raw.first().is_some_and(u8::is_ascii_digit) {
                ttl = Some(time(token, "time to live")?);
            } else if let (None, Some(found)) = (class, class_of(token)) {
                class = Some(found);
            } else {
                break (token, after);
            }
        };
        let unknown = || {
            let accepted = "a type such as A, MX or TYPE65280";
            kind.fault(format!("{} is no record type", kind.shown()), accepted)
        };
        let record_type = type_of(kind.raw).ok_or_else(unknown)?;
        let data = data::read(record_type, kind, fields, &self.origin)?;
        // Before there was $TTL, the SOA record said what holds.
        let minimum = if let RData::SOA(soa) = &data { Some(soa.minimum) } else { None };
        let ttl = ttl.or(self.default_ttl).or(self.last_ttl).or(minimum);
        let Some(ttl) = ttl else {
            return Err(kind.fault("the record has no time to live", "$TTL before it"));
        };
        self.last_ttl = Some(ttl);
        let mut record = Record::from_rdata(owner, ttl, data);
        record.dns_class = class.unwrap_or(DNSClass::IN);
        Ok(record)
    }

    /// Reads a directive.
    fn directive(&mut self, name: &Token<'_>, words: &[Token<'_>]) -> Result<Item, Fault> {
        let form = match name.raw.to_ascii_uppercase().as_slice() {
            b"$ORIGIN" => "$ORIGIN NAME",
            b"$TTL" => "$TTL SECONDS",
            b"$INCLUDE" => "$INCLUDE FILE [ORIGIN]",
            _ => {
                let problem = format!("{} is no directive", name.shown());
                return Err(name.fault(problem, "$ORIGIN, $TTL, $INCLUDE"));
            }
        };
        let Some((value, rest)) = words.split_first() else {
            return Err(name.fault(format!("nothing follows {}", name.shown()), form));
        };
        let most = usize::from(form.starts_with("$INCLUDE"));
        if let Some(more) = rest.get(most) {
            return Err(more.fault(format!("{} is one word too many", more.shown()), form));
        }
        match form {
            "$ORIGIN NAME" => self.origin = self.name(value)?,
            "$TTL SECONDS" => self.default_ttl = Some(time(value, "time to live")?),
            _ => {
                let origin = rest.first().map(|origin| self.name(origin)).transpose()?;
                return Ok(Item::Include {
                    file: String::from_utf8_lossy(value.raw).into_owned(),
                    origin: origin.unwrap_or_else(|| self.origin.clone()),
                    place: value.place,
                });
            }
        }
        Ok(Item::Nothing)
    }

    /// Reads a name.
    fn name(&self, token: &Token<'_>) -> Result<Name, Fault> {
        presentation::name(token.raw, &self.origin)
            .map_err(|problem| token.fault(format!("name {} {problem}", token.shown()), ""))
    }
}

/// The class that a word names.
fn class_of(token: &Token<'_>) -> Option<DNSClass> {
    let text = std::str::from_utf8(token.raw).ok()?.to_ascii_uppercase();
    let class = DNSClass::from_str(&text).ok()?;
    matches!(class, DNSClass::IN | DNSClass::CH | DNSClass::HS).then_some(class)
}

/// Reads seconds, or numbers with units.
pub(super) fn time(token: &Token<'_>, what: &str) -> Result<u32, Fault> {
    let refuse = || token.fault(format!("{what} {} is none", token.shown()), TTL_FORM);
    let mut total = 0_u64;
    let mut number: Option<u64> = None;
    for octet in token.raw {
        if octet.is_ascii_digit() {
            let digit = u64::from(octet - b'0');
            // Saturates far above what is accepted.
            number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            continue;
        }
        let unit = match octet.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return Err(refuse()),
        };
        let number = number.take().ok_or_else(refuse)?;
        total = total.saturating_add(number.saturating_mul(unit));
    }
    total = total.saturating_add(number.unwrap_or(0));
    if token.raw.is_empty() || token.quoted {
        return Err(refuse());
    }
    match u32::try_from(total) {
        Ok(seconds) if seconds <= LONGEST_TTL => Ok(seconds),
        Ok(_) | Err(_) => Err(refuse()),
    }
}

/// The type that a word names, for data that names types.
pub(super) fn named_type(token: &Token<'_>) -> Result<RecordType, Fault> {
    let refuse = || token.fault(format!("{} is no record type", token.shown()), "");
    type_of(token.raw).ok_or_else(refuse)
}
