//! `hosts`: addresses of names and names of addresses, from a hosts file and the Corefile.
//!
//! A wildcard `*.example` is any one label before `example`; names that are listed win over it, and
//! it gives addresses no names. A listed name has no records of other types. As there is no SOA
//! record, nothing can be denied: a name that is not listed falls through, or gets SERVFAIL.

mod table;

use std::net::IpAddr;

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, RecordType};
use podway_dns_corefile::Mistake;
use podway_dns_corefile::plugin::{self, ReverseRecords};

use crate::reply::{of_internet, record};
use crate::{Outcome, Reply, address};
use table::Table;

/// The hosts of a server block.
#[derive(Debug, Clone)]
pub struct Hosts {
    options: plugin::Hosts,
    inline: Table,
    file: Table,
}

impl Hosts {
    /// The hosts that the Corefile lists, and those of the file `text`.
    ///
    /// Lines that are wrong are left out and told, so that one of them does not take the others
    /// away. A file that is missing is one without lines.
    #[must_use]
    pub fn new(options: &plugin::Hosts, text: &[u8]) -> (Self, Vec<Mistake>) {
        let zones = |name: &Name| options.zones.iter().any(|zone| zone.contains(name));
        let mut inline = Table::default();
        for entry in &options.inline {
            for name in entry.names.iter().map(|zone| zone.name()).filter(|name| zones(name)) {
                inline.add(entry.address, name.clone());
            }
        }
        let (file, mistakes) = Table::parse(&options.file, text, zones);
        (Self { options: options.clone(), inline, file }, mistakes)
    }

    /// How many pairs of an address and a name there are.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.inline.len() + self.file.len()
    }

    /// Answers a question.
    #[must_use]
    pub fn answer(&self, question: &Query) -> Outcome {
        if !of_internet(question) {
            return Outcome::Next;
        }
        if question.query_type == RecordType::PTR
            && let Some(reply) = self.names(question)
        {
            return Outcome::Reply(reply);
        }
        if !self.options.zones.iter().any(|zone| zone.contains(&question.name)) {
            return Outcome::Next;
        }
        let falls = self.options.fallthrough.covers(&question.name);
        let addresses = self.addresses(&question.name);
        match (addresses, question.query_type) {
            // The reverse zones are somebody else's, and hosts say nothing of their other names.
            (None, RecordType::PTR) => Outcome::Next,
            (None, _) if falls => Outcome::Next,
            (None, _) => Outcome::Reply(Reply::failure()),
            (Some(addresses), wanted @ (RecordType::A | RecordType::AAAA)) => {
                Outcome::Reply(self.reply(question, wanted, addresses))
            }
            (Some(_), _) if falls && self.options.fallthrough_unsupported => Outcome::Next,
            (Some(_), _) => Outcome::Reply(Reply::of(Vec::new())),
        }
    }

    /// The addresses of a name, each once, those of the file first; `None` if it is not listed.
    fn addresses(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let listed = |name: &Name| {
            let (file, inline) = (self.file.addresses(name), self.inline.addresses(name));
            let mut addresses = Vec::with_capacity(file.len() + inline.len());
            for address in file.iter().chain(inline) {
                if !addresses.contains(address) {
                    addresses.push(*address);
                }
            }
            (!addresses.is_empty()).then_some(addresses)
        };
        listed(name).or_else(|| {
            let parent = name.base_name();
            // The root has no parent but itself.
            let wildcard = (!name.is_root()).then(|| parent.prepend_label("*").ok())??;
            listed(&wildcard)
        })
    }

    /// The reply of these addresses, of one family.
    fn reply(&self, question: &Query, wanted: RecordType, addresses: Vec<IpAddr>) -> Reply {
        let data = addresses.into_iter().filter_map(|address| match (address, wanted) {
            (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(address))),
            (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(address))),
            _ => None,
        });
        let ttl = self.options.ttl.seconds();
        Reply::of(data.map(|data| record(&question.name, ttl, data)).collect())
    }

    /// The names of the address asked for, if it has some.
    fn names(&self, question: &Query) -> Option<Reply> {
        if self.options.reverse == ReverseRecords::None {
            return None;
        }
        let address = address::of_reverse_name(&question.name)?;
        let mut names: Vec<&Name> = Vec::new();
        for name in self.file.names(address).iter().chain(self.inline.names(address)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let ttl = self.options.ttl.seconds();
        let data = names.into_iter().map(|name| RData::PTR(PTR(name.clone())));
        let records: Vec<_> = data.map(|data| record(&question.name, ttl, data)).collect();
        (!records.is_empty()).then(|| Reply::of(records))
    }
}

#[cfg(test)]
mod tests;
