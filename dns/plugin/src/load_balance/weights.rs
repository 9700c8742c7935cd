//! The weights of addresses, from a file.
//!
//! A line that is a name opens the weights of its addresses; below it stand lines of an address and
//! a weight from 1 to 255. Names hold for themselves alone; `#` begins a comment.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::{Name, Record};
use podway_dns_corefile::{Mistake, Place};

use super::{Draw, shuffle};

/// The weight of an address that the file does not list, as in CoreDNS.
const UNLISTED: u8 = 1;

/// Weights of addresses, by the name that has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weights(HashMap<Name, HashMap<IpAddr, u8>>);

impl Weights {
    /// Reads the text of the file `file`.
    ///
    /// # Errors
    /// Every mistake with its line; weights are taken whole or not at all.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, Vec<Mistake>> {
        let file: Arc<str> = file.into();
        let text = String::from_utf8_lossy(text);
        let mut weights = Self::default();
        let mut mistakes = Vec::new();
        let mut current: Option<Name> = None;
        for (line, number) in text.lines().zip(1..) {
            let words: Vec<&str> =
                line.split('#').next().unwrap_or_default().split_whitespace().collect();
            let read = match words.as_slice() {
                [] => continue,
                [name] => domain(name).map(|name| {
                    weights.0.entry(name.clone()).or_default();
                    current = Some(name);
                }),
                [address, weight] => match &current {
                    None => Err(format!("the address {address:?} stands below no name")),
                    Some(name) => entry(address, weight).map(|(address, weight)| {
                        weights.0.entry(name.clone()).or_default().insert(address, weight);
                    }),
                },
                [_, _, more, ..] => Err(format!("{more:?} is one word too many")),
            };
            if let Err(text) = read {
                let place = Place { file: Arc::clone(&file), line: number, column: 1 };
                let accepted =
                    Some("a name, or ADDRESS WEIGHT with a weight of 1..=255".to_owned());
                mistakes.push(Mistake { place, text, accepted });
            }
        }
        if mistakes.is_empty() { Ok(weights) } else { Err(mistakes) }
    }

    /// Puts an address of `records` first, as likely as its share of all weights.
    ///
    /// What the file does not name is put into random order.
    pub(super) fn order(&self, records: &mut [Record], draw: Draw<'_>) {
        let weights = records.first().and_then(|record| self.0.get(&record.name));
        let Some(weights) = weights else { return shuffle(records, draw) };
        let weight = |record: &Record| {
            let address = record.data.ip_addr();
            let listed = address.and_then(|address| weights.get(&address));
            u64::from(listed.copied().unwrap_or(UNLISTED))
        };
        let total: u64 = records.iter().map(weight).sum();
        if total == 0 {
            return;
        }
        let mut left = draw(total) % total;
        let chosen = records.iter().position(|record| {
            let weight = weight(record);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        if let Some(first) = records.get_mut(..=chosen.unwrap_or(0)) {
            first.rotate_right(1);
        }
    }
}

/// Reads a name.
fn domain(text: &str) -> Result<Name, String> {
    let name = Name::from_ascii(text).map_err(|_error| format!("{text:?} is no domain name"));
    name.map(|mut name| {
        name.set_fqdn(true);
        name
    })
}

/// Reads an address and its weight.
fn entry(address: &str, weight: &str) -> Result<(IpAddr, u8), String> {
    let parsed = address.parse().or(Err(format!("{address:?} is no address")))?;
    match weight.parse() {
        Ok(0) | Err(_) => Err(format!("the weight {weight:?} is not in 1..=255")),
        Ok(weight) => Ok((parsed, weight)),
    }
}
