//! Parameters of a service: `alpn=h2,h3 port=8443 ipv4hint=192.0.2.1` (RFC 9460, section 2.1 and
//! appendix A).

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;

use super::{octets, parsed};
use crate::master::Fault;
use crate::master::lexer::Token;
use crate::presentation::next_octet;

/// Keys by their names, in the order of their numbers (RFC 9460, section 14.3.2).
const KEYS: &[&str] =
    &["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"];

/// Appends parameters in the order of their keys.
pub(super) fn put(words: &[Token<'_>], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut parameters = Vec::new();
    let mut rest = words;
    while let Some((word, mut after)) = rest.split_first() {
        let split = word.raw.iter().position(|octet| *octet == b'=').filter(|_| !word.quoted);
        let (name, value) = match split {
            None => (word.raw, None),
            Some(at) => {
                let raw = word.raw.get(at + 1..).unwrap_or_default();
                let mut value = Token { raw, ..*word };
                // `key="value"`: the quotes begin a word of their own.
                if let ([], Some((quoted, more))) = (raw, after.split_first())
                    && quoted.quoted
                {
                    value = *quoted;
                    after = more;
                }
                (word.raw.get(..at).unwrap_or_default(), Some(value))
            }
        };
        let key = key_of(name).ok_or_else(|| {
            word.fault(
                format!("{} is no parameter", word.shown()),
                &format!("{}, keyN", KEYS.join(", ")),
            )
        })?;
        if parameters.iter().any(|(known, _)| *known == key) {
            return Err(word.fault(format!("{} comes twice", word.shown()), ""));
        }
        parameters.push((key, data(key, word, value.as_ref())?));
        rest = after;
    }
    parameters.sort_unstable();
    for (key, data) in parameters {
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        out.extend(key.to_be_bytes());
        out.extend(length.to_be_bytes());
        out.extend(data.iter().take(usize::from(length)));
    }
    Ok(())
}

/// The number of a key.
fn key_of(name: &[u8]) -> Option<u16> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    if let Some(at) = KEYS.iter().position(|known| *known == name) {
        return u16::try_from(at).ok();
    }
    name.strip_prefix("key")?.parse().ok()
}

/// The octets of a value.
fn data(key: u16, word: &Token<'_>, value: Option<&Token<'_>>) -> Result<Vec<u8>, Fault> {
    let Some(value) = value else {
        // Keys 0 to 6 have values, but for no-default-alpn.
        return if key == 2 || key > 6 {
            Ok(Vec::new())
        } else {
            Err(word.fault(format!("{} has no value", word.shown()), ""))
        };
    };
    let mut out = Vec::new();
    match key {
        0 => {
            let mut keys = Vec::new();
            for item in items(value)? {
                let key = key_of(&item).filter(|key| *key != 0);
                let refuse = || value.fault(format!("{} names no parameter", value.shown()), "");
                keys.push(key.ok_or_else(refuse)?);
            }
            keys.sort_unstable();
            out.extend(keys.into_iter().flat_map(u16::to_be_bytes));
        }
        1 => {
            for item in items(value)? {
                let length = u8::try_from(item.len()).ok().filter(|length| *length > 0);
                let refuse = || value.fault(format!("{} is no protocol", value.shown()), "");
                out.push(length.ok_or_else(refuse)?);
                out.extend(item);
            }
        }
        2 => return Err(word.fault(format!("{} takes no value", word.shown()), "")),
        3 => out.extend(parsed::<u16>(value, "is not in 0..=65535")?.to_be_bytes()),
        4 => {
            for address in addresses::<Ipv4Addr>(value)? {
                out.extend(address.octets());
            }
        }
        5 => {
            let refuse = || value.fault(format!("{} is no base 64", value.shown()), "");
            out = BASE64.decode(value.raw).ok().ok_or_else(refuse)?;
        }
        6 => {
            for address in addresses::<Ipv6Addr>(value)? {
                out.extend(address.octets());
            }
        }
        _ => out = octets(value)?,
    }
    Ok(out)
}

/// Addresses that commas separate.
fn addresses<T: std::str::FromStr>(value: &Token<'_>) -> Result<Vec<T>, Fault> {
    let items = value.raw.split(|octet| *octet == b',');
    items.map(|raw| parsed(&Token { raw, ..*value }, "is no address")).collect()
}

/// Texts that commas separate; a comma behind `\\` is part of a text.
fn items(value: &Token<'_>) -> Result<Vec<Vec<u8>>, Fault> {
    let octets = octets(value)?;
    let mut items = vec![Vec::new()];
    let mut rest = octets.as_slice();
    loop {
        let next = next_octet(rest)
            .map_err(|problem| value.fault(format!("{} {problem}", value.shown()), ""))?;
        let Some(next) = next else { return Ok(items) };
        rest = next.rest;
        if next.octet == b',' && !next.escaped {
            items.push(Vec::new());
        } else if let Some(item) = items.last_mut() {
            item.push(next.octet);
        }
    }
}
