//! Replies made by hickory-proto, kept here, and read by hickory-proto again.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::{CachePolicy, Key, KeyFlags, OptOut, Request, Response, TtlRange, Ttls};

mod property;
mod rendering;
mod storing;

const NAME: &str = "www.example.com.";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn address(owner: &str, ttl: u32, last: u8) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(Ipv4Addr::new(192, 0, 2, last).into()))
}

fn address6(owner: &str, ttl: u32, last: u16) -> Record {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    Record::from_rdata(name(owner), ttl, RData::AAAA(address.into()))
}

fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(
        name("ns.example.com."),
        name("admin.example.com."),
        7,
        7200,
        900,
        86_400,
        minimum,
    );
    Record::from_rdata(name(owner), ttl, RData::SOA(soa))
}

/// A reply to a question for `qtype` of `owner`.
fn reply(owner: &str, qtype: RecordType, change: impl FnOnce(&mut Message)) -> Message {
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    message.metadata.recursion_available = true;
    message.add_query(Query::query(name(owner), qtype));
    change(&mut message);
    message
}

/// A reply with such an answer section.
fn answer(records: impl IntoIterator<Item = Record>) -> Message {
    reply(NAME, RecordType::A, |message| {
        message.add_answers(records);
    })
}

/// A reply that denies, with such an authority section.
fn denial(rcode: ResponseCode, authority: impl IntoIterator<Item = Record>) -> Message {
    reply(NAME, RecordType::A, |message| {
        message.metadata.response_code = rcode;
        message.add_authorities(authority);
    })
}

fn key_of(text: &str, qtype: RecordType, flags: KeyFlags) -> Key {
    Key::new(name(text).iter(), qtype.into(), 1, flags)
}

fn key(text: &str) -> Key {
    key_of(text, RecordType::A, KeyFlags::default())
}

/// Times up to an hour for data and 15 minutes for denials.
fn policy() -> CachePolicy {
    CachePolicy { denial: TtlRange { min: 0, max: 900 }, ..CachePolicy::default() }
}

fn read(message: &Message, key: &Key) -> Response {
    Response::read(&message.to_vec().unwrap(), key, &policy()).unwrap()
}

/// The question as a client spells it.
fn question(text: &str, qtype: RecordType) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name(text).iter() {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend_from_slice(label);
    }
    octets.push(0);
    octets.extend_from_slice(&u16::from(qtype).to_be_bytes());
    octets.extend_from_slice(&[0, 1]);
    octets
}

fn request(question: &[u8]) -> Request<'_> {
    let opt = Some(OptOut { payload_octets: 1232, dnssec_ok: false });
    Request { id: 0xBEEF, flags: 0x0100, recursion_available: true, question, limit: 65_535, opt }
}

fn octets(response: &Response, request: &Request<'_>, ttls: Ttls) -> Vec<u8> {
    let mut out = Vec::new();
    response.write(request, ttls, &mut fastrand::Rng::with_seed(4), &mut out);
    out
}

/// The reply that a client reads who asked for an address of `NAME`.
fn rendered(response: &Response, ttls: Ttls) -> Message {
    let question = question(NAME, RecordType::A);
    Message::from_vec(&octets(response, &request(&question), ttls)).unwrap()
}

fn ttls(records: &[Record]) -> Vec<u32> {
    records.iter().map(|record| record.ttl).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
