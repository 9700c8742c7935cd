//! Short forms of messages for tests.

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_dns_corefile::{Lenience, MemorySources, Plugin, read};

/// A name.
pub(crate) fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// A question of class IN.
pub(crate) fn question(text: &str, record_type: RecordType) -> Query {
    Query::query(name(text), record_type)
}

/// A query.
pub(crate) fn query(text: &str, record_type: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.metadata.recursion_desired = true;
    message.queries.push(question(text, record_type));
    message
}

/// A reply to `query` with these answers.
pub(crate) fn reply(query: &Message, answers: Vec<Record>) -> Message {
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.queries.clone_from(&query.queries);
    message.answers = answers;
    message
}

/// An A record.
pub(crate) fn a(owner: &str, ttl: u32, address: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A(address.parse().unwrap())))
}

/// An AAAA record.
pub(crate) fn aaaa(owner: &str, ttl: u32, address: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::AAAA(AAAA(address.parse().unwrap())))
}

/// A CNAME record.
pub(crate) fn cname(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

/// A SOA record.
pub(crate) fn soa(owner: &str, ttl: u32) -> Record {
    let data = SOA::new(name("ns"), name("hostmaster"), 1, 2, 3, 4, ttl);
    Record::from_rdata(name(owner), ttl, RData::SOA(data))
}

/// The plugins that the lines of one server block say.
pub(crate) fn plugins(lines: &str) -> Vec<Plugin> {
    let text = format!(".:53 {{\n{lines}\n}}\n");
    let reading = read("f", text.as_bytes(), &MemorySources::default(), Lenience::Strict);
    let mut config = reading.unwrap_or_else(|mistakes| panic!("{mistakes}")).config;
    config.blocks.remove(0).plugins.into_iter().map(|placed| placed.plugin).collect()
}

/// The one plugin of a line, as its type.
macro_rules! plugin {
    ($variant:ident, $lines:expr) => {
        match crate::testing::plugins($lines).remove(0) {
            podway_dns_corefile::Plugin::$variant(plugin) => plugin,
            other => panic!("{other:?}"),
        }
    };
}
pub(crate) use plugin;

/// Records in a short form: owner, TTL, type and data.
pub(crate) fn shown(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.to_string()).collect()
}
