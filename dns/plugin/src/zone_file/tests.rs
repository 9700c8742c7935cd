use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use podway_dns_corefile::{MemorySources, SourceError, Sources};
use proptest::prelude::*;

use super::*;
use crate::Follow;
use crate::testing::{name, plugin, question, shown};

/// A zone with one of everything that changes an answer.
const ZONE: &str = "\
$ORIGIN example.
$TTL 300
@       IN SOA ns hostmaster 7 3600 600 86400 60
        NS ns
        NS ns.elsewhere.
        MX 10 mail
        TXT \"v=spf1 -all\"
ns      A 192.0.2.53
        AAAA 2001:db8::53
mail    A 192.0.2.25
www     CNAME web
web     600 A 192.0.2.80
        600 A 192.0.2.81
abroad  CNAME www.elsewhere.
dangling CNAME nosuch
loop    CNAME pool
pool    CNAME loop
c0 CNAME c1
c1 CNAME c2
c2 CNAME c3
c3 CNAME c4
c4 CNAME c5
c5 CNAME c6
c6 CNAME c7
c7 CNAME c8
c8 CNAME c9
c9 CNAME c10
c10 CNAME web
_sip._tcp SRV 0 5 5060 web
        SRV 0 5 5061 sip.elsewhere.
a.b.between A 192.0.2.7
*.wild  A 192.0.2.99
        TXT wild
host.wild A 192.0.2.98
*.alias CNAME web
below.*.wild A 192.0.2.97
sub     NS ns.sub
        NS ns.elsewhere.
        DS 1 13 2 0a0b
ns.sub  A 192.0.2.54
deep.sub A 192.0.2.55
tosub   CNAME x.sub
old     DNAME new
        A 192.0.2.60
x.new   A 192.0.2.61
out     DNAME elsewhere.
far     DNAME far.far.far.far.far.elsewhere.
";

fn nothing(_: &str) -> Result<Vec<u8>, SourceError> {
    Err(SourceError::Missing)
}

fn files(lines: &str, text: &str) -> ZoneFiles {
    let mut files = ZoneFiles::new([&plugin!(ZoneFile, lines)]);
    let file = files.files()[0].to_owned();
    let loaded = files.load(&file, text.as_bytes(), &nothing);
    assert_eq!(loaded.map(|load| load.changed), Ok(true));
    files
}

/// What becomes of a question, in short: response code and sections, TTL and class left out.
fn answered(files: &ZoneFiles, text: &str, record_type: RecordType) -> String {
    let short = |reply: &Reply| {
        let section = |records: &[hickory_proto::rr::Record]| {
            let records = shown(records).into_iter().map(|text| {
                let words: Vec<&str> = text.split(' ').collect();
                [&words[..1], &words[3..]].concat().join(" ")
            });
            records.collect::<Vec<_>>().join(", ")
        };
        let sections = [&reply.answers, &reply.authorities, &reply.additionals];
        let sections = sections.map(|records| section(records)).join(" / ");
        let mark = if reply.authoritative { "" } else { "-" };
        format!("{mark}{} {sections}", u16::from(reply.rcode))
    };
    match files.answer(&question(text, record_type)) {
        Outcome::Next => "next".to_owned(),
        Outcome::Reply(reply) => short(&reply),
        Outcome::Follow(Follow { reply, question }) => {
            format!("{} -> {} {}", short(&reply), question.name, question.query_type)
        }
    }
}

/// The SOA record and the name servers of `ZONE`.
const SOA: &str = "example. SOA ns.example. hostmaster.example. 7 3600 600 86400 60";
const NS: &str = "example. NS ns.example., example. NS ns.elsewhere.";

#[test]
fn names_that_exist_are_answered() {
    let files = files("file db example", ZONE);
    for (text, record_type, expected) in [
        (
            "WEB.example",
            RecordType::A,
            format!("0 WEB.example. A 192.0.2.80, WEB.example. A 192.0.2.81 / {NS} / "),
        ),
        ("web.example", RecordType::AAAA, format!("0  / {SOA} / ")),
        ("example", RecordType::SOA, format!("0 {SOA} / {NS} / ")),
        (
            "example",
            RecordType::NS,
            format!("0 {NS} /  / ns.example. A 192.0.2.53, ns.example. AAAA 2001:db8::53"),
        ),
        (
            "example",
            RecordType::MX,
            format!("0 example. MX 10 mail.example. / {NS} / mail.example. A 192.0.2.25"),
        ),
        ("example", RecordType::ANY, format!("0 {SOA} / {NS} / ")),
        (
            "_sip._tcp.example",
            RecordType::SRV,
            format!(
                "0 _sip._tcp.example. SRV 0 5 5060 web.example., \
                 _sip._tcp.example. SRV 0 5 5061 sip.elsewhere. / {NS} / \
                 web.example. A 192.0.2.80, web.example. A 192.0.2.81"
            ),
        ),
    ] {
        assert_eq!(answered(&files, text, record_type), expected, "{text} {record_type}");
    }
}

#[test]
fn names_between_others_exist_and_the_rest_does_not() {
    let files = files("file db example", ZONE);
    for (text, expected) in [
        ("between.example", format!("0  / {SOA} / ")),
        ("b.between.example", format!("0  / {SOA} / ")),
        ("_tcp.example", format!("0  / {SOA} / ")),
        ("c.between.example", format!("3  / {SOA} / ")),
        ("x.web.example", format!("3  / {SOA} / ")),
        ("nosuch.example", format!("3  / {SOA} / ")),
        ("elsewhere", "next".to_owned()),
    ] {
        assert_eq!(answered(&files, text, RecordType::A), expected, "{text}");
    }
    let Outcome::Reply(reply) = files.answer(&question("nosuch.example", RecordType::A)) else {
        panic!("no reply");
    };
    assert_eq!(reply.authorities[0].ttl, 60, "no longer than the minimum");
}

#[test]
fn aliases_are_followed_in_the_zone_and_handed_on_out_of_it() {
    let files = files("file db example", ZONE);
    let web = "web.example. A 192.0.2.80, web.example. A 192.0.2.81";
    for (text, record_type, expected) in [
        (
            "Www.example",
            RecordType::A,
            format!("0 Www.example. CNAME web.example., {web} / {NS} / "),
        ),
        ("www.example", RecordType::MX, format!("0 www.example. CNAME web.example. / {SOA} / ")),
        ("www.example", RecordType::CNAME, format!("0 www.example. CNAME web.example. / {NS} / ")),
        ("www.example", RecordType::ANY, format!("0 www.example. CNAME web.example. / {NS} / ")),
        (
            "abroad.example",
            RecordType::A,
            "0 abroad.example. CNAME www.elsewhere. /  /  -> www.elsewhere. A".to_owned(),
        ),
        (
            "dangling.example",
            RecordType::A,
            format!("3 dangling.example. CNAME nosuch.example. / {SOA} / "),
        ),
        (
            "loop.example",
            RecordType::A,
            "2 loop.example. CNAME pool.example., pool.example. CNAME loop.example. /  / "
                .to_owned(),
        ),
        (
            "tosub.example",
            RecordType::A,
            "0 tosub.example. CNAME x.sub.example. /  /  -> x.sub.example. A".to_owned(),
        ),
    ] {
        assert_eq!(answered(&files, text, record_type), expected, "{text} {record_type}");
    }
    assert!(answered(&files, "c1.example", RecordType::A).starts_with("0 c1"), "ten aliases");
    assert!(answered(&files, "c0.example", RecordType::A).starts_with("2 c0"), "eleven aliases");
}

#[test]
fn wildcards_stand_for_names_that_do_not_exist() {
    let files = files("file db example", ZONE);
    for (text, record_type, expected) in [
        ("X.wild.example", RecordType::A, format!("0 X.wild.example. A 192.0.2.99 / {NS} / ")),
        ("y.x.wild.example", RecordType::A, format!("0 y.x.wild.example. A 192.0.2.99 / {NS} / ")),
        ("x.wild.example", RecordType::MX, format!("0  / {SOA} / ")),
        ("*.wild.example", RecordType::TXT, format!("0 *.wild.example. TXT wild / {NS} / ")),
        ("host.wild.example", RecordType::TXT, format!("0  / {SOA} / ")),
        ("x.host.wild.example", RecordType::A, format!("3  / {SOA} / ")),
        ("wild.example", RecordType::A, format!("0  / {SOA} / ")),
        ("x.*.wild.example", RecordType::A, format!("3  / {SOA} / ")),
        (
            "x.alias.example",
            RecordType::A,
            format!(
                "0 x.alias.example. CNAME web.example., web.example. A 192.0.2.80, \
                 web.example. A 192.0.2.81 / {NS} / "
            ),
        ),
    ] {
        assert_eq!(answered(&files, text, record_type), expected, "{text} {record_type}");
    }
}

#[test]
fn names_below_a_delegation_are_referred_to_its_servers() {
    let files = files("file db example", ZONE);
    let referral = "-0  / sub.example. NS ns.sub.example., sub.example. NS ns.elsewhere. / \
                    ns.sub.example. A 192.0.2.54";
    for (text, record_type) in [
        ("sub.example", RecordType::A),
        ("sub.example", RecordType::NS),
        ("deep.sub.example", RecordType::A),
        ("nosuch.sub.example", RecordType::TXT),
        ("x.sub.example", RecordType::DS),
    ] {
        assert_eq!(answered(&files, text, record_type), referral, "{text} {record_type}");
    }
    let found = answered(&files, "sub.example", RecordType::DS);
    assert!(found.starts_with("0 sub.example. DS"), "{found}");
}

#[test]
fn names_below_a_dname_are_others() {
    let files = files("file db example", ZONE);
    let found = answered(&files, "X.old.example", RecordType::A);
    assert!(found.starts_with("0 old.example. DNAME"), "{found}");
    let end = format!("X.old.example. CNAME X.new.example., X.new.example. A 192.0.2.61 / {NS} / ");
    assert!(found.ends_with(&end), "{found}");
    let found = answered(&files, "y.old.example", RecordType::A);
    assert!(found.starts_with("3 old.example. DNAME"), "{found}");
    for record_type in [RecordType::CNAME, RecordType::ANY] {
        // The alias that is made is what was asked for.
        let found = answered(&files, "y.old.example", record_type);
        assert!(found.starts_with("0 old.example. DNAME"), "{found}");
        assert!(found.ends_with("y.old.example. CNAME y.new.example. /  / "), "{found}");
    }
    let found = answered(&files, "a.b.out.example", RecordType::AAAA);
    assert!(found.ends_with("CNAME a.b.elsewhere. /  /  -> a.b.elsewhere. AAAA"), "{found}");
    let found = answered(&files, "old.example", RecordType::A);
    assert_eq!(found, format!("0 old.example. A 192.0.2.60 / {NS} / "));
    let long = format!("{}far.example", "abcdefgh.".repeat(26));
    assert!(answered(&files, &long, RecordType::A).starts_with("6 far.example. DNAME"), "{long}");
}

#[test]
fn names_that_do_not_exist_fall_through_where_they_may() {
    let files = files("file db example {\n fallthrough free.example\n}", ZONE);
    for (text, expected) in [
        ("x.free.example", "next".to_owned()),
        ("free.example", "next".to_owned()),
        ("nosuch.example", format!("3  / {SOA} / ")),
        ("dangling.example", format!("3 dangling.example. CNAME nosuch.example. / {SOA} / ")),
    ] {
        assert_eq!(answered(&files, text, RecordType::A), expected, "{text}");
    }
}

#[test]
fn one_file_serves_several_zones_and_the_smallest_answers() {
    let text = "@ 5 SOA ns m 1 2 3 4 5\n@ 5 NS ns\nns 5 A 192.0.2.1\n";
    let mut files = files("file db a.example example", text);
    for (text, expected) in [("ns.A.example", "0 ns.A"), ("ns.example", "0 ns.e"), ("ns.b", "next")]
    {
        let found = answered(&files, text, RecordType::A);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
    assert_eq!(files.zone(&name("a.example")).unwrap().serial(), 1);
    assert!(files.load("db", b"@ 5 SOA ns m 2 2 3 4 5\nx 5 A 1.2.3", &nothing).is_err());
    assert_eq!(files.zone(&name("example")).unwrap().serial(), 1, "none of both has changed");
}

#[test]
fn a_zone_that_was_never_read_is_a_failure() {
    let files = ZoneFiles::new([&plugin!(ZoneFile, "file db example")]);
    assert_eq!(
        files.answer(&question("a.example", RecordType::A)),
        Outcome::Reply(Reply::failure())
    );
    assert_eq!(files.answer(&question("a", RecordType::A)), Outcome::Next);
}

#[test]
fn another_serial_or_time_makes_another_zone() {
    let text = |serial: u32, address: &str| {
        format!("@ 5 SOA ns m {serial} 2 3 4 5\n@ 5 NS ns\nns 5 A {address}\n")
    };
    for (lines, serial, changes) in [
        ("file db example", 7, false),
        ("file db example", 8, true),
        ("file db example", 6, true),
        ("file db example {\n reload_by_mtime\n}", 7, true),
    ] {
        let mut files = files(lines, &text(7, "192.0.2.1"));
        let load = files.load("db", text(serial, "192.0.2.2").as_bytes(), &nothing).unwrap();
        assert_eq!(load.changed, changes, "{lines} {serial}");
        let found = answered(&files, "ns.example", RecordType::A);
        assert_eq!(found.contains("192.0.2.2"), changes, "{lines} {serial}");
    }
}

#[test]
fn included_files_are_read_beside_the_file_with_an_origin_of_their_own() {
    let mut sources = MemorySources::default();
    let mut put = |path: &str, text: &str| {
        sources.files.insert(path.to_owned(), text.as_bytes().to_vec());
    };
    put("/zones/more/hosts", "a A 192.0.2.1\n$ORIGIN sub\nb A 192.0.2.2\n$INCLUDE deeper\n");
    put("/zones/more/deeper", "c A 192.0.2.3\n");
    put("/abs", "d A 192.0.2.4\n$TTL 9\n");
    let text = "$TTL 5\n@ SOA ns m 1 2 3 4 5\n@ NS ns.x.\n$INCLUDE more/hosts inc\n\
                e A 192.0.2.5\n$INCLUDE \"/abs\" ; absolute\nf A 192.0.2.6\n";
    let include = |path: &str| sources.read(path);
    let loaded = parse("/zones/db", text.as_bytes(), &name("example"), &include).unwrap();
    assert_eq!(loaded.warnings, []);
    let records = shown(&loaded.zone.transfer().cloned().collect::<Vec<_>>());
    let addresses: Vec<&String> = records.iter().filter(|text| text.contains(" A ")).collect();
    let mut expected = [
        "a.inc.example. 5 IN A 192.0.2.1",
        "b.sub.inc.example. 5 IN A 192.0.2.2",
        "c.sub.inc.example. 5 IN A 192.0.2.3",
        "d.example. 5 IN A 192.0.2.4",
        "e.example. 5 IN A 192.0.2.5",
        "f.example. 9 IN A 192.0.2.6",
    ];
    expected.sort_unstable();
    let mut addresses = addresses;
    addresses.sort_unstable();
    assert_eq!(addresses, expected);
}

#[test]
fn a_file_that_includes_itself_is_told_and_ends() {
    let text = b"$TTL 5\n@ SOA ns m 1 2 3 4 5\n@ NS ns\n$INCLUDE db\n";
    let include = |_: &str| Ok(text.to_vec());
    let mistakes = parse("db", text, &name("example"), &include).unwrap_err();
    let texts: Vec<_> = mistakes.iter().map(|mistake| &*mistake.text).collect();
    assert_eq!(texts, ["\"db\" includes itself"]);
}

#[test]
fn files_that_include_each_other_are_bounded_in_depth_and_number() {
    // Each includes the next one three times: 3^9 files, were they all read.
    let reads = std::cell::Cell::new(0);
    let text = |number: u8| {
        let next = format!("$INCLUDE f{}\n", number + 1).repeat(3);
        format!("$TTL 5\n@ SOA ns m 1 2 3 4 5\n@ NS ns\n{next}").into_bytes()
    };
    let include = |path: &str| {
        reads.set(reads.get() + 1);
        Ok(text(path[1..].parse().unwrap()))
    };
    let mistakes = parse("f0", &text(0), &name("example"), &include).unwrap_err();
    let told = |text: &str| mistakes.iter().any(|mistake| mistake.text == text);
    assert!(told("\"f8\" is the file no. 9 in one another"), "{mistakes:?}");
    assert!(reads.get() < 1000, "{} were read", reads.get());
    let wide = "$INCLUDE f9\n".repeat(1001);
    let one = |_: &str| Ok(b"a A 192.0.2.1\n".to_vec());
    let text = format!("$TTL 5\n@ SOA ns m 1 2 3 4 5\n@ NS ns\n{wide}");
    let mistakes = parse("f0", text.as_bytes(), &name("example"), &one).unwrap_err();
    assert!(mistakes[0].text.starts_with("\"f9\" is one more than 1000 files"), "{mistakes:?}");
}

#[test]
fn a_transfer_is_the_whole_zone_between_two_soa_records() {
    let files = files("file db example", ZONE);
    let zone = files.zone(&name("example")).unwrap();
    let records: Vec<_> = zone.transfer().cloned().collect();
    let soas: Vec<usize> = (0..records.len())
        .filter(|index| records[*index].record_type() == RecordType::SOA)
        .collect();
    assert_eq!(soas, [0, records.len() - 1]);
    // Every line of the file but three is one record, and SOA comes twice.
    assert_eq!(records.len(), ZONE.lines().count() - 2 + 1);
}

#[test]
fn a_flood_of_mistakes_is_counted_not_listed() {
    let text = "x\n".repeat(1000);
    let mistakes = parse("db", text.as_bytes(), &name("example"), &nothing).unwrap_err();
    assert_eq!(mistakes.len(), 100);
    assert!(mistakes[99].text.ends_with("(and 901 more)"), "{}", mistakes[99]);
}

proptest! {
    #[test]
    fn replies_are_about_what_was_asked(
        owners in prop::collection::vec("(\\*\\.)?[abc](\\.[abc]){0,2}", 1..12),
        kinds in prop::collection::vec(0_usize..5, 12),
        asked in "[abc](\\.[abc*]){0,3}",
    ) {
        let data = ["A 192.0.2.1", "CNAME a.b", "NS ns.a", "DNAME c.c", "TXT x"];
        let mut text = "$TTL 5\n@ SOA ns m 1 2 3 4 5\n@ NS ns\n".to_owned();
        for (owner, kind) in owners.iter().zip(kinds) {
            text.push_str(&format!("{owner} {}\n", data[kind]));
        }
        // Aliases beside other records are mistakes, and no zone.
        if let Ok(loaded) = parse("db", text.as_bytes(), &name("example"), &nothing) {
            let question = question(&format!("{asked}.example"), RecordType::A);
            let (reply, missing) = match loaded.zone.find(&question) {
                Found::Reply(reply) => (reply, false),
                Found::Missing(reply) => (reply, true),
                Found::Follow(follow) => (follow.reply, false),
            };
            if let Some(first) = reply.answers.first() {
                prop_assert!(first.name.zone_of(&question.name), "{text}{first}");
            }
            let exists = loaded.zone.names().any(|known| *known == question.name);
            prop_assert!(!(missing && exists), "{text}");
            let denied = reply.rcode == ResponseCode::NXDomain;
            prop_assert!(!denied || !reply.authorities.is_empty(), "{text}");
        }
    }
}
