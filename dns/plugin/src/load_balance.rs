//! `loadbalance`: the order of addresses in a reply.
//!
//! Aliases stay first, in the order in which they are followed; then come other types as they were,
//! then addresses, then mail exchangers. Random numbers are drawn by the caller.

mod weights;

use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use ipnet::IpNet;
use podway_dns_corefile::plugin::{self, Order};

pub use weights::Weights;

/// Draws a number below its argument, which is never zero.
pub type Draw<'d> = &'d mut dyn FnMut(u64) -> u64;

/// Orders the addresses of replies.
#[derive(Debug, Clone)]
pub struct LoadBalance {
    prefer: Vec<IpNet>,
    /// `None` when all are equally likely to stand first.
    weights: Option<Weights>,
}

/// Where records of a type stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Alias,
    Other,
    Address,
    MailExchanger,
}

impl Rank {
    fn of(record: &Record) -> Self {
        const RANKS: &[(RecordType, Rank)] = &[
            (RecordType::CNAME, Rank::Alias),
            (RecordType::A, Rank::Address),
            (RecordType::AAAA, Rank::Address),
            (RecordType::MX, Rank::MailExchanger),
        ];
        let found = RANKS.iter().find(|(ranked, _)| *ranked == record.record_type());
        found.map_or(Self::Other, |(_, rank)| *rank)
    }
}

impl LoadBalance {
    /// Orders as the line says, without weights until some are given.
    #[must_use]
    pub fn new(line: &plugin::LoadBalance) -> Self {
        let weights = match line.order {
            Order::Shuffled => None,
            Order::Weighted { .. } => Some(Weights::default()),
        };
        Self { prefer: line.prefer.clone(), weights }
    }

    /// The same with other weights; they count only where the line asks for weights.
    #[must_use]
    pub fn with_weights(&self, weights: Weights) -> Self {
        let weights = self.weights.as_ref().map(|_old| weights);
        Self { prefer: self.prefer.clone(), weights }
    }

    /// Orders the addresses of a positive reply.
    pub fn order(&self, reply: &mut Message, draw: Draw<'_>) {
        let transfer = |record_type| matches!(record_type, RecordType::AXFR | RecordType::IXFR);
        let transferred = reply.queries.iter().any(|query| transfer(query.query_type));
        if reply.metadata.response_code != ResponseCode::NoError || transferred {
            return;
        }
        if let Some(weights) = &self.weights {
            // Weights are for what was asked alone; the order of the rest stays.
            self.arrange(&mut reply.answers, &mut |addresses| weights.order(addresses, draw));
            return;
        }
        for section in [&mut reply.answers, &mut reply.authorities, &mut reply.additionals] {
            self.arrange(section, &mut |records| shuffle(records, draw));
        }
    }

    /// Arranges a section by type, its addresses and mail exchangers by `mix`.
    fn arrange(&self, section: &mut [Record], mix: &mut dyn FnMut(&mut [Record])) {
        if section.len() < 2 {
            return;
        }
        // The sort is stable: within a rank the order stays.
        section.sort_by_key(Rank::of);
        for ordered in section.chunk_by_mut(|one, next| Rank::of(one) == Rank::of(next)) {
            match ordered.first().map(Rank::of) {
                Some(Rank::Address) => {
                    mix(ordered);
                    ordered.sort_by_key(|record| !self.prefers(record));
                }
                Some(Rank::MailExchanger) => mix(ordered),
                Some(Rank::Alias | Rank::Other) | None => {}
            }
        }
    }

    /// Whether a record holds an address that stands before others.
    fn prefers(&self, record: &Record) -> bool {
        let address = record.data.ip_addr();
        address.is_some_and(|address: IpAddr| self.prefer.iter().any(|net| net.contains(&address)))
    }
}

/// Puts records into random order, every order as likely as any other.
fn shuffle(records: &mut [Record], draw: Draw<'_>) {
    for index in (1..records.len()).rev() {
        let bound = index as u64 + 1;
        // What is drawn below a length is an index.
        let other = usize::try_from(draw(bound) % bound).unwrap_or(0);
        records.swap(index, other);
    }
}

#[cfg(test)]
mod tests;
