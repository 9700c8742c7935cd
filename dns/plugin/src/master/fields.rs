//! The octets of one field of data.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hickory_proto::rr::Name;

use super::Fault;
use super::lexer::Token;
use super::reader::{named_type, time};
use crate::presentation::{self, next_octet};

mod parameters;

/// Most octets of one text (RFC 1035, section 3.3).
const LONGEST_TEXT: usize = 255;

/// One field of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// A number of 8 bits.
    Number8,
    /// A number of 16 bits.
    Number16,
    /// A number of 32 bits.
    Number32,
    /// Seconds in 32 bits, with units if need be.
    Time,
    /// A moment as `YYYYMMDDHHMMSS`, or as a number of 32 bits (RFC 4034, section 3.2).
    Moment,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A name, not compressed.
    Name,
    /// A text behind its length.
    Text,
    /// One text or more, each behind its length, to the end.
    Texts,
    /// A text to the end, without length.
    LongText,
    /// Letters and digits behind their length.
    Tag,
    /// Hexadecimal digits to the end, in any number of words.
    Hex,
    /// Base 64 to the end, in any number of words.
    Base64,
    /// Hexadecimal digits behind their length, `-` for none.
    Salt,
    /// A record type.
    Type,
    /// Record types as a bitmap (RFC 4034, section 4.1.2).
    Types,
    /// Parameters of a service (RFC 9460, section 2.1).
    Parameters,
}

/// The words of data, taken one by one.
pub(super) struct Words<'a, 't> {
    kind: &'a Token<'t>,
    rest: &'a [Token<'t>],
    origin: &'a Name,
}

impl<'a, 't> Words<'a, 't> {
    /// The words after `kind`, names in them below `origin`.
    pub(super) fn new(kind: &'a Token<'t>, words: &'a [Token<'t>], origin: &'a Name) -> Self {
        Self { kind, rest: words, origin }
    }

    /// Whether the next word is this, without quotes.
    pub(super) fn begins_with(&self, raw: &[u8]) -> bool {
        self.rest.first().is_some_and(|token| token.raw == raw && !token.quoted)
    }

    fn take(&mut self) -> Result<&'a Token<'t>, Fault> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| {
            let problem = format!("the data of {} ends too early", self.kind.shown());
            self.kind.fault(problem, "")
        })?;
        self.rest = rest;
        Ok(first)
    }

    /// All words that are left.
    fn take_all(&mut self) -> &'a [Token<'t>] {
        std::mem::take(&mut self.rest)
    }

    /// Reports words that are left.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.rest.first() {
            Some(word) => Err(word.fault(format!("{} is one word too many", word.shown()), "")),
            None => Ok(()),
        }
    }
}

impl Field {
    /// Takes the words of the field and appends its octets.
    pub(super) fn read(self, words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Number8 => out.push(parsed(words.take()?, "is not in 0..=255")?),
            Self::Number16 => {
                let number: u16 = parsed(words.take()?, "is not in 0..=65535")?;
                out.extend(number.to_be_bytes());
            }
            Self::Number32 => {
                let number: u32 = parsed(words.take()?, "is not in 0..=4294967295")?;
                out.extend(number.to_be_bytes());
            }
            Self::Time => out.extend(time(words.take()?, "time")?.to_be_bytes()),
            Self::Moment => out.extend(moment(words.take()?)?.to_be_bytes()),
            Self::Ipv4 => {
                out.extend(parsed::<Ipv4Addr>(words.take()?, "is no IPv4 address")?.octets());
            }
            Self::Ipv6 => {
                out.extend(parsed::<Ipv6Addr>(words.take()?, "is no IPv6 address")?.octets());
            }
            Self::Name => put_name(words.take()?, words.origin, out)?,
            Self::Text => put_text(words.take()?, out)?,
            Self::Texts => {
                put_text(words.take()?, out)?;
                for word in words.take_all() {
                    put_text(word, out)?;
                }
            }
            Self::LongText => out.extend(octets(words.take()?)?),
            Self::Tag => {
                let word = words.take()?;
                let fits = !word.raw.is_empty() && word.raw.iter().all(u8::is_ascii_alphanumeric);
                if !fits {
                    return Err(word.fault(format!("{} is no tag", word.shown()), ""));
                }
                put_text(word, out)?;
            }
            Self::Hex => out.extend(joined(words, &HEXLOWER_PERMISSIVE, "hexadecimal")?),
            Self::Base64 => out.extend(joined(words, &BASE64, "base 64")?),
            Self::Salt => put_salt(words.take()?, out)?,
            Self::Type => {
                out.extend(u16::from(named_type(words.take()?)?).to_be_bytes());
            }
            Self::Types => put_types(words.take_all(), out)?,
            Self::Parameters => parameters::put(words.take_all(), out)?,
        }
        Ok(())
    }
}

/// Reads `\# LENGTH HEX`.
pub(super) fn generic(words: &mut Words<'_, '_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    words.take()?;
    let word = words.take()?;
    let length: u16 = parsed(word, "is not in 0..=65535")?;
    if length > 0 || !words.rest.is_empty() {
        out.extend(joined(words, &HEXLOWER_PERMISSIVE, "hexadecimal")?);
    }
    if out.len() != usize::from(length) {
        let problem = format!("{length} octets are promised and {} given", out.len());
        return Err(word.fault(problem, ""));
    }
    Ok(())
}

/// Reads a word by the form that its type has.
fn parsed<T: FromStr>(word: &Token<'_>, refusal: &str) -> Result<T, Fault> {
    let text = std::str::from_utf8(word.raw).ok();
    // A sign is accepted by numbers and no part of the form.
    let text = text.filter(|text| !text.starts_with('+'));
    let value = text.and_then(|text| text.parse().ok());
    value.ok_or_else(|| word.fault(format!("{} {refusal}", word.shown()), ""))
}

/// The octets that a word stands for.
fn octets(word: &Token<'_>) -> Result<Vec<u8>, Fault> {
    let mut octets = Vec::with_capacity(word.raw.len());
    let mut rest = word.raw;
    loop {
        let next = next_octet(rest)
            .map_err(|problem| word.fault(format!("{} {problem}", word.shown()), ""))?;
        let Some(next) = next else { return Ok(octets) };
        octets.push(next.octet);
        rest = next.rest;
    }
}

/// Appends a text behind its length.
fn put_text(word: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let octets = octets(word)?;
    let Some(length) = u8::try_from(octets.len()).ok() else {
        let problem = format!("{} has more than {LONGEST_TEXT} octets", word.shown());
        return Err(word.fault(problem, "several texts, each in quotes"));
    };
    out.push(length);
    out.extend(octets);
    Ok(())
}

/// Appends a name.
fn put_name(word: &Token<'_>, origin: &Name, out: &mut Vec<u8>) -> Result<(), Fault> {
    let name = presentation::name(word.raw, origin)
        .map_err(|problem| word.fault(format!("name {} {problem}", word.shown()), ""))?;
    for label in &name {
        // A label has at most 63 octets.
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend_from_slice(label);
    }
    out.push(0);
    Ok(())
}

/// The octets of all words that are left, of which there is one at least.
fn joined(
    words: &mut Words<'_, '_>,
    encoding: &data_encoding::Encoding,
    what: &str,
) -> Result<Vec<u8>, Fault> {
    let first = words.take()?;
    let mut text = first.raw.to_vec();
    for word in words.take_all() {
        text.extend_from_slice(word.raw);
    }
    encoding.decode(&text).map_err(|error| first.fault(format!("this is not {what}: {error}"), ""))
}

/// Appends a salt behind its length.
fn put_salt(word: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let salt = match word.raw {
        b"-" => Some(Vec::new()),
        digits => HEXLOWER_PERMISSIVE.decode(digits).ok(),
    };
    let salt = salt.and_then(|salt| Some((u8::try_from(salt.len()).ok()?, salt)));
    let refuse = || word.fault(format!("{} is no salt", word.shown()), "- or hexadecimal digits");
    let (length, salt) = salt.ok_or_else(refuse)?;
    out.push(length);
    out.extend(salt);
    Ok(())
}

/// Appends types as a bitmap.
fn put_types(words: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut numbers = Vec::with_capacity(words.len());
    for word in words {
        numbers.push(u16::from(named_type(word)?));
    }
    numbers.sort_unstable();
    numbers.dedup();
    for window in numbers.chunk_by(|one, next| one >> 8 == next >> 8) {
        let mut bits = [0_u8; 32];
        let mut length = 0_u8;
        for number in window {
            let [_, low] = number.to_be_bytes();
            bits[usize::from(low >> 3)] |= 0x80 >> (low & 7);
            length = (low >> 3) + 1;
        }
        let [high, _] = window.first().copied().unwrap_or(0).to_be_bytes();
        out.extend([high, length]);
        out.extend(bits.iter().take(usize::from(length)));
    }
    Ok(())
}

/// Reads a moment.
fn moment(word: &Token<'_>) -> Result<u32, Fault> {
    if word.raw.len() != 14 {
        return parsed(word, "is no moment such as 20260101000000");
    }
    let refuse = || word.fault(format!("{} is no moment", word.shown()), "YYYYMMDDHHMMSS");
    let number = |from: usize, to: usize| {
        let digits = std::str::from_utf8(word.raw.get(from..to)?).ok()?;
        digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let read = || {
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
        let fits = (1970..).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        // Days since 1970: years begin in March, so that the leap day is the last of one.
        let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
        let seconds = (days - 719_469) * 86_400 + hour * 3600 + minute * 60 + second;
        // Moments count modulo 2^32 (RFC 1982).
        fits.then(|| u32::try_from(seconds.rem_euclid(1 << 32)).ok())?
    };
    read().ok_or_else(refuse)
}
