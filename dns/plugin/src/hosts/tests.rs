use proptest::prelude::*;

use super::*;
use crate::testing::{plugin, question, shown};

const FILE: &[u8] = b"127.0.0.1 localhost localhost.localdomain # this\n\
    \n# nothing\n\
    192.0.2.1\tWeb.Example web2.example\r\n\
    2001:db8::1 web.example\n\
    192.0.2.2 web.example\n\
    ::ffff:192.0.2.9 mapped.example\n\
    fe80::1%eth0 link.example\n\
    192.0.2.7 *.apps.example\n";

fn hosts(lines: &str, text: &[u8]) -> Hosts {
    let (hosts, mistakes) = Hosts::new(&plugin!(Hosts, lines), text);
    assert_eq!(mistakes, []);
    hosts
}

/// What becomes of a question, in short.
fn answered(hosts: &Hosts, name: &str, record_type: RecordType) -> String {
    match hosts.answer(&question(name, record_type)) {
        Outcome::Next => "next".to_owned(),
        Outcome::Follow(follow) => format!("{follow:?}"),
        Outcome::Reply(reply) => {
            assert!(reply.authorities.is_empty() && reply.additionals.is_empty());
            format!("{} [{}]", reply.rcode, shown(&reply.answers).join(", "))
        }
    }
}

#[test]
fn names_and_addresses_of_the_file_are_answered() {
    let hosts = hosts("hosts f", FILE);
    for (name, record_type, expected) in [
        (
            "WEB.example",
            RecordType::A,
            "No Error [WEB.example. 3600 IN A 192.0.2.1, WEB.example. 3600 IN A 192.0.2.2]",
        ),
        ("web.example", RecordType::AAAA, "No Error [web.example. 3600 IN AAAA 2001:db8::1]"),
        ("web2.example", RecordType::AAAA, "No Error []"),
        ("web.example", RecordType::TXT, "No Error []"),
        ("web.example", RecordType::ANY, "No Error []"),
        ("nosuch.example", RecordType::A, "Server Failure []"),
        ("mapped.example", RecordType::A, "No Error [mapped.example. 3600 IN A 192.0.2.9]"),
        ("link.example", RecordType::AAAA, "No Error [link.example. 3600 IN AAAA fe80::1]"),
        (
            "1.2.0.192.in-addr.arpa",
            RecordType::PTR,
            "No Error [1.2.0.192.in-addr.arpa. 3600 IN PTR web.example., \
             1.2.0.192.in-addr.arpa. 3600 IN PTR web2.example.]",
        ),
        ("5.2.0.192.in-addr.arpa", RecordType::PTR, "next"),
        ("web.example", RecordType::PTR, "No Error []"),
    ] {
        assert_eq!(answered(&hosts, name, record_type), expected, "{name} {record_type}");
    }
}

#[test]
fn wildcard_is_one_label_and_has_no_reverse_name() {
    let hosts = hosts("hosts f {\n 192.0.2.8 a.apps.example\n}", FILE);
    for (name, record_type, expected) in [
        ("b.apps.example", RecordType::A, "No Error [b.apps.example. 3600 IN A 192.0.2.7]"),
        ("b.apps.example", RecordType::AAAA, "No Error []"),
        ("a.apps.example", RecordType::A, "No Error [a.apps.example. 3600 IN A 192.0.2.8]"),
        ("apps.example", RecordType::A, "Server Failure []"),
        ("c.b.apps.example", RecordType::A, "Server Failure []"),
        ("7.2.0.192.in-addr.arpa", RecordType::PTR, "next"),
        (".", RecordType::A, "Server Failure []"),
    ] {
        assert_eq!(answered(&hosts, name, record_type), expected, "{name} {record_type}");
    }
}

#[test]
fn names_that_are_not_listed_fall_through_where_they_may() {
    let lines = "hosts f example org {\n 192.0.2.3 inline.example\n ttl 60\n fallthrough org\n}";
    let here = hosts(lines, FILE);
    for (name, record_type, expected) in [
        ("inline.example", RecordType::A, "No Error [inline.example. 60 IN A 192.0.2.3]"),
        ("nosuch.example", RecordType::A, "Server Failure []"),
        ("nosuch.org", RecordType::A, "next"),
        ("localhost", RecordType::A, "next"),
        ("1.0.0.127.in-addr.arpa", RecordType::PTR, "next"),
        (
            "3.2.0.192.in-addr.arpa",
            RecordType::PTR,
            "No Error [3.2.0.192.in-addr.arpa. 60 IN PTR inline.example.]",
        ),
    ] {
        assert_eq!(answered(&here, name, record_type), expected, "{name} {record_type}");
    }
    let lines = "hosts f {\n fallthrough\n fallthrough_unsupported\n no_reverse\n}";
    let here = hosts(lines, FILE);
    for (name, record_type, expected) in [
        ("web.example", RecordType::TXT, "next"),
        ("web2.example", RecordType::AAAA, "No Error []"),
        ("1.2.0.192.in-addr.arpa", RecordType::PTR, "next"),
    ] {
        assert_eq!(answered(&here, name, record_type), expected, "{name} {record_type}");
    }
}

#[test]
fn entries_of_file_and_corefile_hold_together_and_once() {
    let lines = "hosts f {\n 192.0.2.1 web.example\n 192.0.2.3 web.example\n}";
    let hosts = hosts(lines, b"192.0.2.2 web.example\n192.0.2.1 web.example web.example\n");
    assert_eq!(hosts.entries(), 4);
    assert_eq!(
        answered(&hosts, "web.example", RecordType::A),
        "No Error [web.example. 3600 IN A 192.0.2.2, web.example. 3600 IN A 192.0.2.1, \
         web.example. 3600 IN A 192.0.2.3]"
    );
}

#[test]
fn a_new_text_takes_the_place_of_the_old() {
    let line = plugin!(Hosts, "hosts f");
    let (old, _) = Hosts::new(&line, b"192.0.2.1 old.example");
    let (new, _) = Hosts::new(&line, b"192.0.2.1 new.example");
    assert_eq!(answered(&old, "new.example", RecordType::A), "Server Failure []");
    assert_eq!(answered(&new, "old.example", RecordType::A), "Server Failure []");
    assert!(answered(&new, "new.example", RecordType::A).starts_with("No Error [new"));
}

#[test]
fn classes_other_than_internet_are_left_to_others() {
    let mut asked = question("web.example", RecordType::A);
    asked.query_class = hickory_proto::rr::DNSClass::CH;
    assert_eq!(hosts("hosts f", FILE).answer(&asked), Outcome::Next);
}

proptest! {
    #[test]
    fn any_text_parses(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let (hosts, _mistakes) = Hosts::new(&plugin!(Hosts, "hosts f"), &text);
        let _outcome = hosts.answer(&question("a.example", RecordType::A));
    }

    #[test]
    fn what_is_listed_is_answered(
        address in any::<std::net::Ipv4Addr>(),
        name in "[a-z]{1,10}(\\.[a-z]{1,10}){0,3}",
        noise in "[a-z0-9.: #]{0,40}",
    ) {
        let text = format!("{noise}\n{address} {name}\n{noise}");
        let (hosts, _mistakes) = Hosts::new(&plugin!(Hosts, "hosts f"), text.as_bytes());
        let Outcome::Reply(reply) = hosts.answer(&question(&name, RecordType::A)) else {
            panic!("{text:?}");
        };
        let addresses: Vec<_> =
            reply.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
        prop_assert!(addresses.contains(&IpAddr::V4(address)), "{text:?}");
        let reverse = Name::from(address).to_ascii();
        let Outcome::Reply(reply) = hosts.answer(&question(&reverse, RecordType::PTR)) else {
            panic!("{text:?}");
        };
        let ending = format!(" {name}.");
        let named = shown(&reply.answers).iter().any(|line| line.ends_with(&ending));
        prop_assert!(named, "{text:?}");
    }
}
