use std::collections::HashMap;

use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::MX;

use super::*;
use crate::testing::{a, aaaa, cname, name, plugin, query, reply, shown, soa};

/// Numbers that repeat for one seed.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

fn balance(lines: &str) -> LoadBalance {
    LoadBalance::new(&plugin!(LoadBalance, lines))
}

/// Four addresses of one name.
fn addresses() -> Vec<Record> {
    (1..=4).map(|number| a("a.example", 5, &format!("192.0.2.{number}"))).collect()
}

/// How often each address stood first in so many orders.
fn firsts(balance: &LoadBalance, times: usize) -> HashMap<String, usize> {
    let mut draw = numbers(7);
    let mut firsts = HashMap::new();
    for _ in 0..times {
        let mut message = reply(&query("a.example", RecordType::A), addresses());
        balance.order(&mut message, &mut draw);
        assert_eq!(message.answers.len(), 4);
        *firsts.entry(message.answers[0].data.to_string()).or_insert(0) += 1;
    }
    firsts
}

#[test]
fn every_address_stands_first_equally_often() {
    let firsts = firsts(&balance("loadbalance"), 4000);
    assert_eq!(firsts.len(), 4);
    assert!(firsts.values().all(|times| (900..1100).contains(times)), "{firsts:?}");
}

#[test]
fn aliases_stay_first_and_mail_exchangers_last() {
    let exchanger = |preference| {
        let data = RData::MX(MX::new(preference, name("mail.example")));
        Record::from_rdata(name("a.example"), 5, data)
    };
    let records = vec![
        exchanger(1),
        a("c.example", 5, "192.0.2.1"),
        cname("a.example", 5, "b.example"),
        soa("example", 5),
        aaaa("c.example", 5, "2001:db8::1"),
        cname("b.example", 5, "c.example"),
        exchanger(2),
    ];
    for seed in 0..50 {
        let mut message = reply(&query("a.example", RecordType::A), records.clone());
        balance("loadbalance").order(&mut message, &mut numbers(seed));
        let types: Vec<RecordType> = message.answers.iter().map(Record::record_type).collect();
        assert_eq!(types[..3], [RecordType::CNAME, RecordType::CNAME, RecordType::SOA]);
        assert_eq!(message.answers[0].name, name("a.example"));
        assert_eq!(types[5..], [RecordType::MX, RecordType::MX]);
    }
}

#[test]
fn order_stays_in_errors_and_transfers() {
    for (record_type, rcode) in
        [(RecordType::A, ResponseCode::NXDomain), (RecordType::AXFR, ResponseCode::NoError)]
    {
        for seed in 0..20 {
            let mut message = reply(&query("a.example", record_type), addresses());
            message.metadata.response_code = rcode;
            balance("loadbalance").order(&mut message, &mut numbers(seed));
            assert_eq!(shown(&message.answers), shown(&addresses()), "{record_type} {rcode}");
        }
    }
}

#[test]
fn preferred_addresses_stand_first() {
    let balance = balance("loadbalance round_robin {\n prefer 192.0.2.2/31\n}");
    let firsts = firsts(&balance, 400);
    let mut names: Vec<&str> = firsts.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["192.0.2.2", "192.0.2.3"]);
}

#[test]
fn first_address_is_drawn_by_weight() {
    let text = b"# weights\nA.example\n192.0.2.1 7\n192.0.2.2 1 # few\n192.0.2.9 200\n";
    let weights = Weights::parse("w", text).unwrap();
    let balance = balance("loadbalance weighted w").with_weights(weights);
    // 7, 1, and 1 for each that is not listed.
    let firsts = firsts(&balance, 5000);
    assert!((3300..3700).contains(&firsts["192.0.2.1"]), "{firsts:?}");
    assert!((400..600).contains(&firsts["192.0.2.4"]), "{firsts:?}");
}

#[test]
fn names_without_weights_are_shuffled() {
    let weights = Weights::parse("w", b"b.example\n192.0.2.1 255\n").unwrap();
    let firsts = firsts(&balance("loadbalance weighted w").with_weights(weights), 400);
    assert_eq!(firsts.len(), 4);
}

#[test]
fn wrong_weights_are_told_by_line() {
    let text = b"192.0.2.1 3\na..b\nc.example\n192.0.2 3\n192.0.2.1 0\n192.0.2.1 2 3\n\xff\n";
    let mistakes = Weights::parse("w", text).unwrap_err();
    let told: Vec<String> = mistakes
        .iter()
        .map(|mistake| format!("{}: {}", mistake.place.line, mistake.text))
        .collect();
    assert_eq!(
        told,
        [
            "1: the address \"192.0.2.1\" stands below no name",
            "2: \"a..b\" is no domain name",
            "4: \"192.0.2\" is no address",
            "5: the weight \"0\" is not in 1..=255",
            "6: \"3\" is one word too many",
            "7: \"\u{fffd}\" is no domain name",
        ]
    );
}
