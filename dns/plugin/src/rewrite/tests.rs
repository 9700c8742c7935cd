use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::rdata::{MX, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use podway_dns_corefile::Plugin;
use proptest::prelude::*;

use super::*;
use crate::testing::{a, cname, name, plugins, query, reply, shown, soa};

fn rewrite(lines: &str) -> Rewrite {
    let plugins = plugins(lines);
    Rewrite::new(plugins.iter().map(|plugin| {
        let Plugin::Rewrite(rewrite) = plugin else { panic!("{plugin:?}") };
        rewrite
    }))
}

fn exchange() -> Exchange {
    Exchange {
        client: "192.0.2.77:4711".parse().unwrap(),
        server: Some("[2001:db8::53]:53".parse().unwrap()),
        protocol: "udp",
    }
}

/// What is asked instead; the name as it was when no rule fits.
fn asked(lines: &str, text: &str, record_type: RecordType) -> Query {
    let mut message = query(text, record_type);
    rewrite(lines).question(&mut message, &exchange()).unwrap();
    message.queries.remove(0)
}

/// The records that a client gets for these of the server.
fn answered(lines: &str, text: &str, records: Vec<Record>) -> Vec<String> {
    let mut message = query(text, RecordType::A);
    let original = message.queries.clone();
    let undo = rewrite(lines).question(&mut message, &exchange()).unwrap();
    let mut reply = reply(&message, records);
    if let Some(undo) = undo {
        undo.reply(&mut reply);
    }
    assert_eq!(reply.queries, original);
    shown(&reply.answers)
}

#[test]
fn names_are_asked_as_the_rules_say() {
    for (rule, text, expected) in [
        ("name old.example new.example", "OLD.example", "new.example."),
        ("name old.example new.example", "a.old.example", "a.old.example."),
        ("name prefix dev- prod-", "DEV-web.example", "prod-web.example."),
        ("name prefix dev- prod-", "web.dev-a", "web.dev-a."),
        ("name suffix .old. .svc.cluster.local.", "web.a.old", "web.a.svc.cluster.local."),
        ("name suffix .old .new", "web.old", "web.new."),
        ("name suffix .old. .new.", "old", "old."),
        ("name substring -west- -east-", "a-west-b-west-c", "a-east-b-east-c."),
        (
            r"name regex (.*)-(us-west-1)\.example\.org {1}.service.{2}.consul",
            "FTP-us-west-1.example.org",
            "ftp.service.us-west-1.consul.",
        ),
        (r"name regex ^(.*)\.x\.$ {1}", "a.b.x", "a.b."),
    ] {
        let found = asked(&format!("rewrite {rule}"), text, RecordType::A);
        assert_eq!(found.name.to_string(), expected, "{rule}: {text}");
    }
}

#[test]
fn first_rule_that_fits_is_the_last_unless_it_continues() {
    let lines = "rewrite continue name suffix .a. .b.\nrewrite name suffix .b. .c.\n\
                 rewrite name suffix .c. .d.";
    for (text, expected) in [("x.a", "x.c."), ("x.b", "x.c."), ("x.c", "x.d."), ("x.d", "x.d.")] {
        assert_eq!(asked(lines, text, RecordType::A).name.to_string(), expected, "{text}");
    }
}

#[test]
fn types_and_classes_change_and_come_back() {
    let lines = "rewrite continue type ANY HINFO\nrewrite class CH IN";
    let mut message = query("a.example", RecordType::ANY);
    message.queries[0].query_class = DNSClass::CH;
    let original = message.queries.clone();
    let undo = rewrite(lines).question(&mut message, &exchange()).unwrap().unwrap();
    let made = &message.queries[0];
    assert_eq!((made.query_type, made.query_class), (RecordType::HINFO, DNSClass::IN));
    let mut reply = reply(&message, Vec::new());
    undo.reply(&mut reply);
    assert_eq!(reply.queries, original);
}

#[test]
fn a_name_that_cannot_be_is_refused_and_the_query_stays() {
    for (rule, text) in [
        ("name regex ^(.*)$ {1}.", "a.example"),
        ("name regex ^a(.*)$ {1}", "a.example"),
        ("name prefix x xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "x"),
    ] {
        let mut message = query(text, RecordType::A);
        let before = message.clone();
        let result = rewrite(&format!("rewrite {rule}")).question(&mut message, &exchange());
        assert!(result.is_err(), "{rule}");
        assert_eq!(message, before, "{rule}");
    }
}

#[test]
fn answers_bear_the_name_that_was_asked() {
    let address = "192.0.2.1";
    for (lines, text, owner, expected) in [
        ("rewrite name o.example n.example", "O.Example", "n.example", "O.Example."),
        ("rewrite name suffix .o. .n. answer auto", "a.O", "a.n", "a.O."),
        ("rewrite name suffix .o. .n.", "a.o", "a.n", "a.n."),
        ("rewrite name suffix .o. .n. answer auto", "a.o", "x.a.n", "x.a.o."),
        ("rewrite name suffix .o. .n. answer auto", "a.o", "b.n", "b.n."),
        ("rewrite name prefix o n answer auto", "oa.b", "na.b", "oa.b."),
        (
            r"rewrite name regex (.*)-(w)\.o {1}.s.{2}.n answer name (.*)\.s\.(w)\.n {1}-{2}.o",
            "ftp-w.o",
            "ftp.s.w.n",
            "ftp-w.o.",
        ),
        (
            "rewrite continue name suffix .a. .b. answer auto\n\
             rewrite name suffix .b. .c. answer auto",
            "x.A",
            "x.c",
            "x.A.",
        ),
    ] {
        let found = answered(lines, text, vec![a(owner, 5, address)]);
        assert_eq!(found, [format!("{expected} 5 IN A {address}")], "{lines}: {text}");
    }
}

#[test]
fn names_in_data_change_as_the_rules_say() {
    let record = |data| Record::from_rdata(name("web.n"), 5, data);
    let records = vec![
        cname("web.n", 5, "db.n"),
        record(RData::SRV(SRV::new(0, 1, 80, name("x.web.n")))),
        record(RData::MX(MX::new(1, name("mail.n")))),
    ];
    let lines = "rewrite name suffix .o. .n. answer auto";
    assert_eq!(
        answered(lines, "web.o", records.clone()),
        ["web.o. 5 IN CNAME db.n.", "web.o. 5 IN SRV 0 1 80 x.web.o.", "web.o. 5 IN MX 1 mail.n."]
    );
    let lines = r"rewrite stop {
        name suffix .o. .n.
        answer name (.*)\.n\. {1}.o.
        answer value (.*)\.n\. {1}.o.
    }";
    assert_eq!(
        answered(lines, "web.o", records),
        ["web.o. 5 IN CNAME db.o.", "web.o. 5 IN SRV 0 1 80 x.web.o.", "web.o. 5 IN MX 1 mail.o."]
    );
}

#[test]
fn times_to_live_are_kept_within_bounds() {
    let records = || vec![a("x.example", 5, "192.0.2.1"), a("x.example", 500, "192.0.2.2")];
    for (rule, expected) in [
        ("ttl suffix .example. 30", [30, 30]),
        ("ttl suffix .example. 30-300", [30, 300]),
        ("ttl suffix .example. 30-", [30, 500]),
        ("ttl exact x.example -300", [5, 300]),
        ("ttl exact y.example 30", [5, 500]),
    ] {
        let found = answered(&format!("rewrite {rule}"), "x.example", records());
        let expected: Vec<String> = ["192.0.2.1", "192.0.2.2"]
            .iter()
            .zip(expected)
            .map(|(address, ttl)| format!("x.example. {ttl} IN A {address}"))
            .collect();
        assert_eq!(found, expected, "{rule}");
    }
}

#[test]
fn response_codes_of_some_names_are_others() {
    let lines = "rewrite rcode suffix .flaky. SERVFAIL NXDOMAIN";
    for (text, code, expected) in [
        ("a.flaky", ResponseCode::ServFail, ResponseCode::NXDomain),
        ("a.flaky", ResponseCode::Refused, ResponseCode::Refused),
        ("a.other", ResponseCode::ServFail, ResponseCode::ServFail),
    ] {
        let mut message = query(text, RecordType::A);
        let undo = rewrite(lines).question(&mut message, &exchange()).unwrap();
        let mut reply = reply(&message, Vec::new());
        reply.metadata.response_code = code;
        if let Some(undo) = undo {
            undo.reply(&mut reply);
        }
        assert_eq!(reply.metadata.response_code, expected, "{text} {code}");
    }
}

#[test]
fn alias_with_another_target_is_looked_up_anew() {
    let lines = r"rewrite cname regex (.*)\.cdn\. {1}.other.";
    let mut message = query("www.example", RecordType::A);
    let undo = rewrite(lines).question(&mut message, &exchange()).unwrap().unwrap();
    let records = vec![
        cname("www.example", 5, "x.example"),
        cname("x.example", 5, "e.CDN"),
        a("e.cdn", 5, "192.0.2.1"),
    ];
    let mut first = reply(&message, records);
    first.authorities = vec![soa("cdn", 5)];
    let next = undo.retarget(&mut first).unwrap();
    assert_eq!((next.name.to_string().as_str(), next.query_type), ("e.other.", RecordType::A));
    let mut found = reply(&message, vec![a("e.other", 5, "192.0.2.2")]);
    found.metadata.response_code = ResponseCode::NoError;
    resume(&mut first, Some(found));
    undo.reply(&mut first);
    assert_eq!(
        shown(&first.answers),
        [
            "www.example. 5 IN CNAME x.example.",
            "x.example. 5 IN CNAME e.other.",
            "e.other. 5 IN A 192.0.2.2"
        ]
    );
    assert!(first.authorities.is_empty());
    let mut other = reply(&message, vec![cname("www.example", 5, "elsewhere")]);
    let before = other.clone();
    assert_eq!(undo.retarget(&mut other), None);
    assert_eq!(other, before);
    resume(&mut other, None);
    assert_eq!(other.metadata.response_code, ResponseCode::ServFail);
}

/// The option of a query that rules make, in octets; `None` if it has none.
fn option(lines: &str, code: u16, before: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut message = query("A.example", RecordType::AAAA);
    if let Some(octets) = before {
        let option = hickory_proto::rr::rdata::opt::EdnsOption::Unknown(code, octets.to_vec());
        message.edns.get_or_insert_with(Edns::new).options_mut().insert(option);
    }
    rewrite(lines).question(&mut message, &exchange()).unwrap();
    // Through octets, as an upstream gets it.
    let read = Message::from_vec(&message.to_vec().unwrap()).unwrap();
    let edns = read.edns?;
    Vec::try_from(edns.option(EdnsCode::from(code))?).ok()
}

#[test]
fn options_of_queries_are_set_appended_replaced_and_unset() {
    let old: &[u8] = b"old";
    for (rule, before, expected) in [
        ("local set 0xffee abcd", None, Some("abcd")),
        ("local set 0xffee 0x61626364", Some(old), Some("abcd")),
        ("local append 0xffee abcd", None, Some("abcd")),
        ("local append 0xffee abcd", Some(old), Some("old")),
        ("local replace 0xffee abcd", None, None),
        ("local replace 0xffee abcd", Some(old), Some("abcd")),
        ("local unset 0xffee", Some(old), None),
        ("local unset 0xffef", Some(old), Some("old")),
        ("local set 0xffee {qname}", None, Some("a.example.")),
        ("local set 0xffee {qtype}", None, Some("\0\x1c")),
        ("local set 0xffee {protocol}", None, Some("udp")),
        ("local set 0xffee {server_port}", None, Some("\0\x35")),
        ("local set 0xffee {client_port}", None, Some("\x12\x67")),
    ] {
        let found = option(&format!("rewrite edns0 {rule}"), 0xffee, before);
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{rule}");
    }
    let found = option("rewrite edns0 local set 65002 {client_ip}", 65002, None);
    assert_eq!(found.as_deref(), Some(&[192, 0, 2, 77][..]));
    let found = option("rewrite edns0 local set 65001 {server_ip}", 65001, None);
    assert_eq!(found.map(|octets| octets.len()), Some(16));
}

#[test]
fn identity_and_subnet_are_options_of_their_own() {
    assert_eq!(option("rewrite edns0 nsid set", 3, None).as_deref(), Some(&b""[..]));
    let found = option("rewrite edns0 subnet set 24 56", 8, None);
    assert_eq!(found.as_deref(), Some(&[0, 1, 24, 0, 192, 0, 2][..]));
}

#[test]
fn a_changed_option_can_be_taken_out_of_the_reply() {
    for (revert, kept) in [("", true), (" revert", false)] {
        let mut message = query("a.example", RecordType::A);
        let rule = format!("rewrite edns0 local set 0xffee abcd{revert}");
        let undo = rewrite(&rule).question(&mut message, &exchange()).unwrap().unwrap();
        let mut reply = reply(&message, Vec::new());
        reply.edns.clone_from(&message.edns);
        undo.reply(&mut reply);
        let option = reply.edns.unwrap().option(EdnsCode::Unknown(0xffee)).cloned();
        assert_eq!(option.is_some(), kept, "{rule}");
    }
}

#[test]
fn queries_that_no_rule_fits_stay_as_they_are() {
    let mut message = query("a.example", RecordType::A);
    let before = message.clone();
    let rewrite = rewrite("rewrite name x.example y.example\nrewrite type MX TXT");
    assert!(rewrite.question(&mut message, &exchange()).unwrap().is_none());
    assert_eq!(message, before);
}

/// Rules of every kind, some of them after others.
const RULES: &[&str] = &[
    "name a.b c.d",
    "name prefix a b answer auto",
    "name suffix .b. .d.e. answer auto",
    "name substring a.b x.y.z answer auto",
    r"name regex ^([^.]*)\.b\.$ {1}.c.d. answer auto",
    "type A AAAA",
    "class IN CH",
    "ttl suffix . 30",
    "edns0 nsid set",
];

proptest! {
    #[test]
    fn reply_to_what_was_made_becomes_a_reply_to_what_was_asked(
        picked in prop::collection::vec((0..RULES.len(), any::<bool>()), 1..5),
        text in "[abAB]{1,3}(\\.[abAB]{1,2}){0,3}",
    ) {
        let lines: Vec<String> = picked
            .iter()
            .map(|(rule, goes_on)| {
                let mode = if *goes_on { "continue" } else { "stop" };
                format!("rewrite {mode} {}", RULES[*rule])
            })
            .collect();
        let mut message = query(&text, RecordType::A);
        let original = message.queries[0].clone();
        let undo = rewrite(&lines.join("\n")).question(&mut message, &exchange()).unwrap();
        let made: Name = message.queries[0].name.clone();
        let mut reply = reply(&message, vec![a(&made.to_ascii(), 5, "192.0.2.1")]);
        if let Some(undo) = undo {
            undo.reply(&mut reply);
        }
        prop_assert_eq!(&reply.queries[0], &original);
        prop_assert!(reply.queries[0].name.eq_case(&original.name));
        prop_assert!(reply.answers[0].name.eq_case(&original.name), "{}", reply.answers[0]);
    }
}
