//! `log`: the log of queries, and the form of its lines.

use std::collections::BTreeSet;
use std::fmt;

use super::{Directive, Effects, joined};
use crate::line::{Line, Scope, one_of};
use crate::value::{Refusal, Zone};

/// `log`: every query is logged, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whose queries; never empty.
    pub zones: Vec<Zone>,
    /// What a line says.
    pub format: LogFormat,
    /// Which replies; never empty.
    pub classes: BTreeSet<ResponseClass>,
}

/// Kinds of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseClass {
    /// All of them.
    All,
    /// Data.
    Success,
    /// NXDOMAIN and NODATA.
    Denial,
    /// SERVFAIL, NOTIMP, REFUSED and other failures.
    Error,
}

/// Words for kinds of replies.
const CLASSES: &[(&str, ResponseClass)] = &[
    ("all", ResponseClass::All),
    ("success", ResponseClass::Success),
    ("denial", ResponseClass::Denial),
    ("error", ResponseClass::Error),
];

impl fmt::Display for ResponseClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = CLASSES.iter().find(|(_, class)| class == self).map(|(word, _)| *word);
        formatter.write_str(word.unwrap_or_default())
    }
}

/// What one line of the log says: texts and fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    parts: Vec<LogPart>,
}

/// A piece of a line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPart {
    /// These characters.
    Text(String),
    /// A fact of the query or the reply.
    Field(LogField),
}

/// A fact of a query or of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogField {
    /// Type asked.
    Type,
    /// Name asked.
    Name,
    /// Class asked.
    Class,
    /// `udp` or `tcp`.
    Protocol,
    /// Address of the client, IPv6 in brackets.
    Remote,
    /// Address of the server, IPv6 in brackets.
    Local,
    /// Octets of the query.
    QuerySize,
    /// Port of the client.
    Port,
    /// Time until the reply.
    Duration,
    /// Response code.
    Rcode,
    /// Octets of the reply before compression.
    ReplySize,
    /// Flags of the reply.
    ReplyFlags,
    /// Datagram size that the client offers.
    BufferSize,
    /// Whether the client asks for DNSSEC.
    DnssecOk,
    /// Id of the query.
    Id,
    /// Operation asked.
    Opcode,
    /// Kind of the reply: `success`, `denial` or `error`.
    ReplyClass,
    /// `NOERROR`, `NXDOMAIN` or `NODATA`.
    ReplyType,
}

/// Fields by their names in braces.
const FIELDS: &[(&str, LogField)] = &[
    ("type", LogField::Type),
    ("name", LogField::Name),
    ("class", LogField::Class),
    ("proto", LogField::Protocol),
    ("remote", LogField::Remote),
    ("local", LogField::Local),
    ("size", LogField::QuerySize),
    ("port", LogField::Port),
    ("duration", LogField::Duration),
    ("rcode", LogField::Rcode),
    ("rsize", LogField::ReplySize),
    (">rflags", LogField::ReplyFlags),
    (">bufsize", LogField::BufferSize),
    (">do", LogField::DnssecOk),
    (">id", LogField::Id),
    (">opcode", LogField::Opcode),
    ("/log/class", LogField::ReplyClass),
    ("/log/type", LogField::ReplyType),
];

/// The common log format of CoreDNS, and what stands for it in a format.
const COMMON: &str = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} \
                      {>bufsize}\" {rcode} {>rflags} {rsize} {duration}";
const COMMON_WORD: &str = "{common}";

/// The same with the operation.
const COMBINED: &str = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} \
                        {>bufsize}\" {>opcode} {rcode} {>rflags} {rsize} {duration}";
const COMBINED_WORD: &str = "{combined}";

impl LogFormat {
    /// The pieces of a line, in their order.
    #[must_use]
    pub fn parts(&self) -> &[LogPart] {
        &self.parts
    }

    /// Reads a format.
    fn parse(text: &str) -> Result<Self, Refusal> {
        let text = text.replace(COMMON_WORD, COMMON).replace(COMBINED_WORD, COMBINED);
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.as_str();
        while let Some((before, from)) = rest.split_once('{') {
            literal.push_str(before);
            let Some((name, after)) = from.split_once('}') else {
                return Err(Refusal::new("has a brace that is never closed", ""));
            };
            let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) else {
                let accepted = joined(FIELDS.iter().map(|(name, _)| format!("{{{name}}}")));
                return Err(Refusal::new(format!("has the unknown field {{{name}}}"), accepted));
            };
            if !literal.is_empty() {
                parts.push(LogPart::Text(std::mem::take(&mut literal)));
            }
            parts.push(LogPart::Field(*field));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(LogPart::Text(literal));
        }
        Ok(Self { parts })
    }
}

impl Default for LogFormat {
    /// The common log format of CoreDNS.
    fn default() -> Self {
        Self::parse(COMMON).unwrap_or(Self { parts: Vec::new() })
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                LogPart::Text(text) => formatter.write_str(text)?,
                LogPart::Field(field) => {
                    let name = FIELDS.iter().find(|(_, known)| known == field);
                    write!(formatter, "{{{}}}", name.map_or("", |(name, _)| name))?;
                }
            }
        }
        Ok(())
    }
}

/// Options of `log`.
const OPTIONS: &[&str] = &["class all|success|denial|error..."];

impl Directive for Log {
    const FORM: &'static str = "log [NAME...] [\"FORMAT\"]";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let words = line.rest();
        let (format, names) = match words.split_last() {
            Some((last, names)) if last.text.contains('{') => (Some(last), names),
            Some(_) | None => (None, words),
        };
        let format = format.and_then(|word| line.check("format", word, LogFormat::parse));
        let named = |word| line.check("name", word, Zone::named);
        let mut zones: Vec<Zone> = names.iter().filter_map(named).collect();
        if names.is_empty() {
            zones.push(Zone::root());
        }
        let mut classes = BTreeSet::new();
        for mut option in line.options(OPTIONS) {
            match option.name().text.as_str() {
                "class" => {
                    let words = option.need_rest("class");
                    let class = |word| option.check("class", word, one_of(CLASSES));
                    classes.extend(words.iter().filter_map(class));
                    option.end();
                }
                _ => option.unknown(OPTIONS),
            }
        }
        line.end();
        if classes.is_empty() {
            classes.insert(ResponseClass::All);
        }
        Some(Self { zones, format: format.unwrap_or_default(), classes })
    }

    fn effects(&self, say: &mut Effects) {
        let what = match self.classes.contains(&ResponseClass::All) {
            true => "every reply".to_owned(),
            false => format!("replies of the classes {}", joined(&self.classes)),
        };
        say.line(format!("{what} in {} is logged as {}", joined(&self.zones), self.format));
    }
}
