//! Pairs of addresses and names, and the text that they are read from (`hosts(5)`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;
use podway_dns_corefile::{Mistake, Place};

use crate::presentation;

/// Most mistakes that are told of one file; one with more is no hosts file.
const MOST_TOLD: usize = 50;

/// Pairs of addresses and names.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    addresses: HashMap<Name, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<Name>>,
    len: usize,
}

impl Table {
    /// Reads lines of an address and its names; `#` begins a comment. Names that `wanted` does not
    /// take are left out without a word.
    pub(super) fn parse(
        file: &str,
        text: &[u8],
        wanted: impl Fn(&Name) -> bool,
    ) -> (Self, Vec<Mistake>) {
        let file: Arc<str> = file.into();
        let mut table = Self::default();
        let mut mistakes = Vec::new();
        let mut tell = |line: u32, text: String| {
            if mistakes.len() < MOST_TOLD {
                let place = Place { file: Arc::clone(&file), line, column: 1 };
                mistakes.push(Mistake {
                    place,
                    text,
                    accepted: Some("ADDRESS NAME...".to_owned()),
                });
            }
        };
        for (line, number) in text.split(|octet| *octet == b'\n').zip(1..) {
            let line = line.split(|octet| *octet == b'#').next().unwrap_or_default();
            let mut words =
                line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).peekable();
            let Some(first) = words.next() else { continue };
            let Some(address) = address(first) else {
                tell(number, format!("{} is no address", shown(first)));
                continue;
            };
            if words.peek().is_none() {
                tell(number, format!("the address {address} has no name"));
            }
            for word in words {
                match presentation::name(word, &Name::root()) {
                    Ok(name) if wanted(&name) => table.add(address, name.to_lowercase()),
                    Ok(_) => {}
                    Err(problem) => tell(number, format!("name {} {problem}", shown(word))),
                }
            }
        }
        (table, mistakes)
    }

    /// Adds a pair; the name is of lower case.
    pub(super) fn add(&mut self, address: IpAddr, name: Name) {
        // `::ffff:192.0.2.1` is an address of IPv4.
        let address = address.to_canonical();
        let addresses = self.addresses.entry(name.clone()).or_default();
        if addresses.contains(&address) {
            return;
        }
        addresses.push(address);
        self.len += 1;
        if !name.is_wildcard() {
            self.names.entry(address).or_default().push(name);
        }
    }

    /// The addresses of a name.
    pub(super) fn addresses(&self, name: &Name) -> &[IpAddr] {
        self.addresses.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The names of an address.
    pub(super) fn names(&self, address: IpAddr) -> &[Name] {
        self.names.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many pairs there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// Reads an address; the zone of a link-local one, as in `fe80::1%eth0`, is of no use to clients.
fn address(word: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(word).ok()?;
    text.split('%').next()?.parse().ok()
}

/// A word for a message, cut where it is long.
fn shown(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}
