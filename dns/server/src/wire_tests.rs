//! What is written can be read by an independent decoder, and stays within its size.

use std::net::Ipv4Addr;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{CNAME, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, RecordType};

use super::*;
use crate::query::QR;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn question(text: &str) -> Question {
    Question { name: name(text), qtype: RecordType::A, class: DNSClass::IN.into() }
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 30, data)
}

fn address(owner: &str, host: u16) -> Record {
    let [high, low] = host.to_be_bytes();
    record(owner, RData::A(Ipv4Addr::new(10, 1, high, low).into()))
}

fn write(limit: usize, records: &[Record]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut writer = MessageWriter::begin(&mut out, 7, QR, limit, 0);
    writer.question(&question("Web.Default.svc.cluster.local."));
    let written =
        records.iter().take_while(|record| writer.record(Section::Answer, record).is_ok()).count();
    writer.finish(None, written < records.len());
    (out, written)
}

#[test]
fn every_type_reads_back_as_it_was() {
    let owner = "Web.Default.svc.cluster.local.";
    let soa = SOA::new(
        name("ns.dns.cluster.local."),
        name("hostmaster.cluster.local."),
        1_700_000_000,
        7200,
        1800,
        86_400,
        5,
    );
    let records = vec![
        address(owner, 1),
        record(owner, RData::AAAA("fd00::1".parse().unwrap())),
        record(owner, RData::CNAME(CNAME(name("alias.DEFAULT.svc.cluster.local.")))),
        record("default.svc.cluster.local.", RData::SOA(soa)),
        record(owner, RData::SRV(SRV::new(0, 50, 80, name(owner)))),
        record(owner, RData::TXT(TXT::new(vec!["1.1.0".to_owned()]))),
        record(".", RData::CNAME(CNAME(name("cluster.local.")))),
    ];
    let (message, written) = write(65_535, &records);
    assert_eq!(written, records.len());
    let read = Message::from_vec(&message).unwrap();
    assert_eq!(read.answers, records);
    for (read, written) in read.answers.iter().zip(&records) {
        assert!(read.name.eq_case(&written.name), "{} became {}", written.name, read.name);
    }
    assert!(read.queries[0].name().eq_case(&name(owner)));
}

#[test]
fn owner_like_the_question_takes_a_pointer_and_srv_target_none() {
    let (message, _) = write(512, &[address("Web.Default.svc.cluster.local.", 1)]);
    let question_end = 12 + 31 + 4;
    assert_eq!(message.len(), question_end + 16);
    assert_eq!(message[question_end..question_end + 2], [0xC0, 12]);
    let target = "Web.Default.svc.cluster.local.";
    let srv = RData::SRV(SRV::new(0, 1, 1, name(target)));
    let (message, _) = write(512, &[record(target, srv)]);
    assert_eq!(message.len(), question_end + 12 + 6 + 31);
}

#[test]
fn letters_in_another_case_are_not_merged() {
    let (message, _) = write(512, &[address("web.default.svc.cluster.local.", 1)]);
    let read = Message::from_vec(&message).unwrap();
    assert!(read.answers[0].name.eq_case(&name("web.default.svc.cluster.local.")));
}

#[test]
fn as_many_addresses_fit_as_the_sizes_allow() {
    let addresses: Vec<_> =
        (0..5000).map(|host| address("Web.Default.svc.cluster.local.", host)).collect();
    for (limit, expected) in [(512, 29), (1232, 74), (65_535, 4093)] {
        let (message, written) = write(limit, &addresses);
        assert_eq!(written, expected, "in {limit} octets");
        assert!(message.len() <= limit);
        let read = Message::from_vec(&message).unwrap();
        assert_eq!(read.answers, addresses[..written]);
        assert!(read.metadata.truncation);
    }
}

#[test]
fn record_that_does_not_fit_leaves_no_trace() {
    let long = record("a.b.c.example.org.", RData::CNAME(CNAME(name("d.e.f.example.org."))));
    let mut out = Vec::new();
    let mut writer = MessageWriter::begin(&mut out, 7, QR, 70, 0);
    writer.question(&question("web."));
    assert_eq!(writer.record(Section::Answer, &long), Ok(()));
    assert_eq!(
        writer.record(Section::Answer, &record("x.y.z.test.", long.data.clone())),
        Err(Full)
    );
    // A name of the refused record must not be pointed to.
    assert_eq!(writer.record(Section::Answer, &address("test.", 1)), Err(Full));
    writer.finish(None, true);
    let read = Message::from_vec(&out).unwrap();
    assert_eq!(read.answers, [long]);
}
