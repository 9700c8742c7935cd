//! Zone files and hosts files that are wrong, and all that is said about each.
//!
//! Every row of the golden files is a file, its lines marked with `>`, and below it what is said.
//! A row without mistakes is right, and says what has no effect. `PODWAY_BLESS=1` writes what the
//! code says now; the difference is read in review.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; the crate is pure, its tests read their data"
)]

#[path = "../../corefile/tests/support/rows.rs"]
mod rows;

use std::path::Path;

use hickory_proto::rr::Name;
use podway_dns_corefile::{Lenience, MemorySources, SourceError, read};
use podway_dns_plugin::hosts::Hosts;
use podway_dns_plugin::zone_file::parse;

use self::rows::lines;

/// Files that rows include.
fn include(path: &str) -> Result<Vec<u8>, SourceError> {
    match path {
        "right" => Ok(b"included 5 A 192.0.2.9\n".to_vec()),
        "wrong" => Ok(b"; a comment\nincluded 5 A 192.0.2\n".to_vec()),
        "unreadable" => Err(SourceError::Unreadable { reason: "permission denied".to_owned() }),
        _ => Err(SourceError::Missing),
    }
}

/// What is said about a zone file of `example`.
fn of_zone_file(text: &str) -> String {
    match parse("db", text.as_bytes(), &Name::from_ascii("example.").unwrap(), &include) {
        Ok(loaded) => lines(&loaded.warnings, "warning: "),
        Err(mistakes) => lines(&mistakes, ""),
    }
}

/// What is said about a hosts file.
fn of_hosts(text: &str) -> String {
    let corefile = b".:53 {\n hosts f\n}\n";
    let reading = read("f", corefile, &MemorySources::default(), Lenience::Strict).unwrap();
    let (_hosts, mistakes) = Hosts::new(reading.config.blocks[0].hosts().unwrap(), text.as_bytes());
    lines(&mistakes, "")
}

/// Compares all rows of a golden file with what is said now.
fn compare(name: &str, said: fn(&str) -> String) {
    rows::compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name), 10, said);
}

#[test]
fn every_wrong_zone_file_gets_the_mistakes_of_its_row() {
    compare("zone-mistakes.golden.txt", of_zone_file);
}

#[test]
fn every_wrong_hosts_file_gets_the_mistakes_of_its_row() {
    compare("hosts-mistakes.golden.txt", of_hosts);
}
