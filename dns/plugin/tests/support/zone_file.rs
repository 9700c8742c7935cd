//! What holds of any zone file, for tests and for the fuzzer.

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use podway_dns_corefile::SourceError;
use podway_dns_plugin::Outcome;
use podway_dns_plugin::zone_file::{Loaded, Zone, ZoneFiles, parse};

/// Types that are looked up by ways of their own.
const TYPES: &[RecordType] = &[
    RecordType::A,
    RecordType::CNAME,
    RecordType::NS,
    RecordType::DS,
    RecordType::SOA,
    RecordType::MX,
    RecordType::ANY,
];

/// Most names of one zone that are asked for.
const MOST_ASKED: usize = 200;

/// Reads `text` as a zone file and asks for its names: nothing panics, replies are about what was
/// asked, what exists is not denied, and a transfer is whole.
pub(crate) fn check(text: &[u8]) {
    let origin = Name::from_ascii("example.").expect("a name");
    // A file may include itself, and another that says the same, and nothing else.
    let include = |path: &str| match path {
        "db" | "more" => Ok(text.to_vec()),
        _ => Err(SourceError::Missing),
    };
    match parse("db", text, &origin, &include) {
        Ok(Loaded { zone, .. }) => check_zone(&zone, text, &include),
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a word");
            assert!(mistakes.iter().all(|mistake| mistake.place.line > 0), "{mistakes:?}");
        }
    }
}

/// Asks a zone for its names and for others.
fn check_zone(zone: &Zone, text: &[u8], include: &dyn Fn(&str) -> Result<Vec<u8>, SourceError>) {
    let records: Vec<_> = zone.transfer().collect();
    let (first, last) = (records[0], records[records.len() - 1]);
    assert!(first == last && first.record_type() == RecordType::SOA, "{first} {last}");
    let mut files = ZoneFiles::new([&line()]);
    files.load("db", text, include).expect("it was read before");
    for name in zone.names().take(MOST_ASKED) {
        let below = ["x", "*"].into_iter().filter_map(|label| name.prepend_label(label).ok());
        for record_type in TYPES {
            check_reply(&files, name, *record_type, true);
        }
        for asked in below {
            for record_type in TYPES {
                check_reply(&files, &asked, *record_type, false);
            }
        }
    }
}

/// Asks one question.
fn check_reply(files: &ZoneFiles, asked: &Name, record_type: RecordType, exists: bool) {
    let (reply, followed) = match files.answer(&Query::query(asked.clone(), record_type)) {
        Outcome::Reply(reply) => (reply, false),
        Outcome::Follow(follow) => (follow.reply, true),
        Outcome::Next => panic!("{asked} is not in the zone"),
    };
    if let Some(first) = reply.answers.first() {
        assert!(first.name.zone_of(asked), "{asked} {record_type}: {first}");
    }
    assert!(!followed || !reply.answers.is_empty(), "{asked} {record_type} leads nowhere");
    let denied = reply.rcode == ResponseCode::NXDomain;
    assert!(!(denied && exists && reply.answers.is_empty()), "{asked} exists and is denied");
    let empty = reply.answers.is_empty() && reply.authorities.is_empty();
    assert!(!empty, "{asked} {record_type} gets nothing");
}

/// The line of a Corefile that names the file.
fn line() -> podway_dns_corefile::plugin::ZoneFile {
    use podway_dns_corefile::{Lenience, MemorySources, read};
    let text = b".:53 {\n file db example\n}\n";
    let reading = read("f", text, &MemorySources::default(), Lenience::Strict).expect("a Corefile");
    reading.config.blocks[0].zone_files().next().expect("a file").clone()
}
