use podway_dns_corefile::Plugin;
use proptest::prelude::*;

use super::*;
use crate::testing::{name, plugins, question, shown};

fn templates(lines: &str) -> Templates {
    let plugins = plugins(lines);
    Templates::new(plugins.iter().map(|plugin| {
        let Plugin::Template(template) = plugin else { panic!("{plugin:?}") };
        template
    }))
}

/// What becomes of a question, in short.
fn answered(lines: &str, name: &str, record_type: RecordType) -> String {
    let client = "::ffff:192.0.2.9".parse().unwrap();
    match templates(lines).answer(&question(name, record_type), client).0 {
        Outcome::Next => "next".to_owned(),
        Outcome::Follow(follow) => format!("{follow:?}"),
        Outcome::Reply(reply) => {
            let sections = [&reply.answers, &reply.authorities, &reply.additionals];
            let sections = sections.map(|section| shown(section).join(", "));
            format!("{} {}", u16::from(reply.rcode), sections.join(" / "))
        }
    }
}

#[test]
fn types_can_be_answered_with_nothing() {
    let lines = "template ANY AAAA {\n rcode NOERROR\n}";
    assert_eq!(answered(lines, "a.example", RecordType::AAAA), "0  /  / ");
    assert_eq!(answered(lines, "a.example", RecordType::A), "next");
    assert_eq!(answered(lines, "a.example", RecordType::ANY), "0  /  / ");
}

#[test]
fn gaps_are_filled_with_what_the_question_says() {
    let lines = r#"template IN A example {
        match ^ip-(?P<a>[0-9]*)-(?P<b>[0-9]*)\.(x\.)?example[.]$
        answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ index .Match 2 }}"
        answer "{{ .Name }} {{ .Class }} TXT \"{{ .Type }} {{ .Zone }} {{ .Remote }}[{{ index .Match 3 }}]\""
        authority "{{ .Zone }} 60 IN NS ns.{{ .Zone }}"
        additional "ns.{{ .Zone }} 60 IN A 192.0.2.1"
    }"#;
    assert_eq!(
        answered(lines, "IP-1-2.example", RecordType::A),
        "0 IP-1-2.example. 60 IN A 10.0.1.2, IP-1-2.example. 3600 IN TXT A example. 192.0.2.9[] \
         / example. 60 IN NS ns.example. / ns.example. 60 IN A 192.0.2.1"
    );
    assert_eq!(answered(lines, "ip-1-2.other", RecordType::A), "next");
    assert_eq!(answered(lines, "ip-1-x.example", RecordType::A), "2  /  / ");
    assert_eq!(answered(lines, "ip-1-256.example", RecordType::A), "2  /  / ", "no address");
}

#[test]
fn names_that_match_no_expression_fall_through_to_the_next_template() {
    let lines = r#"template IN A {
        match ^a\.
        rcode NXDOMAIN
        fallthrough example
    }
    template IN ANY {
        match ^b\. ^c\.
        answer "{{ .Name }} 5 IN A 192.0.2.1"
        fallthrough org
    }"#;
    for (name, expected) in [
        ("a.example", "3  /  / "),
        ("c.example", "0 c.example. 5 IN A 192.0.2.1 /  / "),
        ("d.example", "2  /  / "),
        ("b.org", "2  /  / "),
    ] {
        assert_eq!(answered(lines, name, RecordType::A), expected, "{name}");
    }
    assert_eq!(answered(lines, "d.org", RecordType::MX), "next");
}

#[test]
fn replies_speak_for_the_name_and_say_why() {
    let lines = "template IN A {\n rcode NXDOMAIN\n ederror 21 \"not here\"\n}\n\
                 template IN MX {\n rcode SERVFAIL\n}";
    let templates = templates(lines);
    let client = "192.0.2.9".parse().unwrap();
    let Outcome::Reply(reply) = templates.answer(&question("a", RecordType::A), client).0 else {
        panic!("no reply");
    };
    let error = reply.extended_error.unwrap();
    assert_eq!((error.code, error.reason.as_str(), reply.authoritative), (21, "not here", true));
    let Outcome::Reply(reply) = templates.answer(&question("a", RecordType::MX), client).0 else {
        panic!("no reply");
    };
    assert_eq!(reply, Reply::failure());
}

#[test]
fn what_a_client_asks_cannot_become_more_than_a_name() {
    // A label with an end of line, a quote and a comment in it.
    let asked = name("a").prepend_label(&b"x 5 IN A 192.0.2.66\n\";(@"[..]).unwrap();
    let lines = r#"template IN A {
        answer "{{ .Name }} 5 IN A 192.0.2.1"
        answer "{{ .Name }} 5 IN CNAME {{ .Name }}"
    }"#;
    let question = Query::query(asked.clone(), RecordType::A);
    let Outcome::Reply(reply) = templates(lines).answer(&question, "192.0.2.9".parse().unwrap()).0
    else {
        panic!("no reply");
    };
    assert_eq!(reply.rcode, ResponseCode::NoError);
    assert!(reply.answers.iter().all(|record| record.name == asked), "{:?}", reply.answers);
}

proptest! {
    #[test]
    fn any_name_is_answered_or_refused(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 0..6)
    ) {
        let mut asked = hickory_proto::rr::Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
        asked.set_fqdn(true);
        let lines = r#"template IN A {
            match ^(.*)\.([^.]*)\.$
            answer "{{ .Name }} 5 IN A 192.0.2.1"
            answer "{{ .Name }} 5 IN TXT \"{{ index .Match 1 }}\" {{ index .Match 2 }}"
        }"#;
        let question = Query::query(asked, RecordType::A);
        let outcome = templates(lines).answer(&question, "192.0.2.9".parse().unwrap()).0;
        let replied = matches!(outcome, Outcome::Reply(_));
        prop_assert!(replied);
    }
}
