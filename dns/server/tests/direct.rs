//! The direct way says what the general one says, and allocates nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::LazyLock;

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};
use podway_dns_server::Transport;
use podway_dns_server::respond::respond_directly;
use podway_dns_zone::ZoneIndex;
use proptest::prelude::*;

use self::support::invariants::{POLICY, check};
use self::support::{edns_query, local, query, unsynced, zone};

static ZONE: LazyLock<ZoneIndex> = LazyLock::new(zone);

/// The reply of the direct way, if that can be gone.
fn directly(zone: &ZoneIndex, message: &Message, transport: Transport) -> Option<Vec<u8>> {
    let mut out = b"rest of an earlier reply".to_vec();
    respond_directly(zone, &message.to_vec().unwrap(), transport, POLICY, &mut out)?;
    Some(out)
}

fn any_label() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "web",
        "big",
        "few",
        "ext",
        "inside",
        "missing",
        "few-3",
        "10-244-0-7",
        "10-244-9-9",
        "fd00-96--55",
        "_http",
        "_https",
        "_tcp",
        "_udp",
        "http",
        "tcp",
        "default",
        "nowhere",
        "svc",
        "pod",
        "cluster",
        "local",
        "dns",
        "ns",
        "dns-version",
        "5",
        "96",
        "10",
        "244",
        "0",
        "1",
        "f",
        "d",
        "in-addr",
        "ip6",
        "arpa",
        "example",
        "com",
    ]);
    let cased = (known, any::<u32>()).prop_map(|(label, cases)| {
        let upper = |index: usize| cases >> (index % 32) & 1 == 1;
        let letters = label.chars().enumerate();
        letters.map(|(at, one)| if upper(at) { one.to_ascii_uppercase() } else { one }).collect()
    });
    prop_oneof![9 => cased, 1 => "[a-z0-9]{1,63}"]
}

fn any_name() -> impl Strategy<Value = String> {
    let zone = prop::sample::select(vec![
        "default.svc.cluster.local.",
        "svc.cluster.local.",
        "DeFault.svc.Cluster.lOcal.",
        "cluster.local.",
        "default.pod.cluster.local.",
        "244.10.in-addr.arpa.",
        "10.in-addr.arpa.",
        "",
        "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa.",
    ]);
    let pointer = Just("5.5.96.10.in-addr.arpa.".to_owned());
    let labels = prop::collection::vec(any_label(), 0..4);
    let name = (labels, zone).prop_map(|(labels, zone)| {
        let name: String =
            labels.iter().map(|label| format!("{label}.")).chain([zone.to_owned()]).collect();
        if name.is_empty() { ".".to_owned() } else { name }
    });
    prop_oneof![20 => name, 1 => pointer]
}

fn any_type() -> impl Strategy<Value = RecordType> {
    use RecordType::{A, AAAA, ANY, AXFR, CNAME, DS, HTTPS, MX, NS, OPT, PTR, SOA, SRV, TXT};
    prop_oneof![
        prop::sample::select(vec![A, AAAA, SRV, PTR]),
        prop::sample::select(vec![SOA, NS, TXT, CNAME, MX, ANY, AXFR, HTTPS, DS, OPT]),
        any::<u16>().prop_map(RecordType::from),
    ]
}

fn any_edns() -> impl Strategy<Value = Option<Edns>> {
    let options =
        prop::collection::vec((3..20_u16, prop::collection::vec(any::<u8>(), 0..12)), 0..2);
    let payload = prop_oneof![Just(0), Just(512), Just(1232), Just(4096), any::<u16>()];
    let edns = (payload, any::<bool>(), 0..10_u8, options).prop_map(
        |(payload, dnssec_ok, version, options)| {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            edns.set_dnssec_ok(dnssec_ok);
            // Nearly always the one that exists.
            edns.set_version(u8::from(version == 9));
            for (code, octets) in options {
                edns.options_mut().insert(EdnsOption::Unknown(code, octets));
            }
            edns
        },
    );
    prop::option::of(edns)
}

prop_compose! {
    fn any_query()(
        id in any::<u16>(), name in any_name(), qtype in any_type(), edns in any_edns(),
        recursion in any::<bool>(), checking in any::<bool>(),
    ) -> Option<Message> {
        // Labels put together may be too long for a name.
        Name::from_ascii(&name).ok()?;
        let mut message = query(id, &name, qtype);
        message.metadata.recursion_desired = recursion;
        message.metadata.checking_disabled = checking;
        if let Some(edns) = edns {
            message.set_edns(edns);
        }
        Some(message)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn both_ways_say_the_same(
        query in any_query(), by_udp in any::<bool>(), synced in any::<bool>(),
    ) {
        let Some(query) = query else { return Ok(()) };
        let unsynced = unsynced();
        let zone = if synced { &*ZONE } else { &unsynced };
        let transport = if by_udp { Transport::Udp } else { Transport::Tcp };
        check(zone, &query.to_vec().unwrap(), transport);
        if let Some(reply) = directly(zone, &query, transport) {
            let reply = Message::from_vec(&reply).unwrap();
            prop_assert!(reply.queries[0].name().eq_case(query.queries[0].name()));
        }
    }
}

#[test]
fn questions_of_pods_go_the_direct_way() {
    for (name, qtype) in [
        (local("web"), RecordType::A),
        (local("web"), RecordType::AAAA),
        (local("web"), RecordType::MX),
        (local("big"), RecordType::A),
        (local("big"), RecordType::AAAA),
        (local("nosuch"), RecordType::A),
        (local("few-3.few"), RecordType::A),
        (local("10-244-0-7.big"), RecordType::A),
        (local("_http._tcp.web"), RecordType::SRV),
        (local("web"), RecordType::SRV),
        ("10-0-0-1.default.pod.cluster.local.".to_owned(), RecordType::A),
        ("www.example.com.default.svc.cluster.local.".to_owned(), RecordType::A),
        ("www.example.com.svc.cluster.local.".to_owned(), RecordType::AAAA),
        ("www.example.com.cluster.local.".to_owned(), RecordType::A),
        ("5.5.96.10.in-addr.arpa.".to_owned(), RecordType::PTR),
    ] {
        for message in [query(1, &name, qtype), edns_query(1, &name, qtype, 1232)] {
            assert!(directly(&ZONE, &message, Transport::Udp).is_some(), "{name} {qtype}");
            assert!(directly(&ZONE, &message, Transport::Tcp).is_some(), "{name} {qtype}");
        }
    }
}

#[test]
fn answering_allocates_nothing() {
    let names = ["web", "big", "nosuch", "few-3.few", "_http._tcp.web"].map(local);
    let types = [RecordType::A, RecordType::AAAA, RecordType::SRV, RecordType::MX];
    let questions =
        names.iter().flat_map(|name| types.map(|qtype| edns_query(1, name, qtype, 1232)));
    let mut messages: Vec<_> = questions.map(|query| query.to_vec().unwrap()).collect();
    let pointer = query(1, "5.5.96.10.in-addr.arpa.", RecordType::PTR);
    messages.push(pointer.to_vec().unwrap());
    let mut out = Vec::with_capacity(1232);
    let mut answer = || {
        let direct = messages.iter().filter(|message| {
            respond_directly(&ZONE, message, Transport::Udp, POLICY, &mut out).is_some()
        });
        direct.count()
    };
    // The first round makes what a thread makes once, the state of its random numbers for example.
    answer();
    let mut answered = 0;
    let cost = allocation_counter::measure(|| answered = answer());
    // The ports of endpoints, of "big" and of "few-3.few", are for the general way.
    assert_eq!(answered, messages.len() - 2);
    assert_eq!(cost.count_total, 0);
}
