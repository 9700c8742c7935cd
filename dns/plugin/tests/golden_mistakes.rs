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

use std::fs;
use std::path::Path;

use hickory_proto::rr::Name;
use podway_dns_corefile::{Lenience, MemorySources, Mistake, SourceError, read};
use podway_dns_plugin::hosts::Hosts;
use podway_dns_plugin::zone_file::parse;

/// Files that rows include.
fn include(path: &str) -> Result<Vec<u8>, SourceError> {
    match path {
        "right" => Ok(b"included 5 A 192.0.2.9\n".to_vec()),
        "wrong" => Ok(b"; a comment\nincluded 5 A 192.0.2\n".to_vec()),
        "unreadable" => Err(SourceError::Unreadable { reason: "permission denied".to_owned() }),
        _ => Err(SourceError::Missing),
    }
}

/// Findings, one a line.
fn lines(found: &[Mistake], mark: &str) -> String {
    found.iter().map(|mistake| format!("{mark}{mistake}\n")).collect()
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let golden = fs::read_to_string(&path).unwrap();
    let mut found = Vec::new();
    let mut differing = Vec::new();
    for row in golden.trim_end().split("\n\n") {
        let marked = row.lines().filter(|line| line.starts_with('>'));
        let text: String = marked
            .clone()
            .map(|line| format!("{}\n", line.strip_prefix("> ").unwrap_or_default()))
            .collect();
        let marked: String = marked.map(|line| format!("{line}\n")).collect();
        let now = format!("{marked}{}", said(&text));
        if now.trim_end() != row {
            differing.push(now.clone());
        }
        found.push(now);
    }
    if std::env::var_os("PODWAY_BLESS").is_some() {
        fs::write(&path, found.join("\n")).unwrap();
        return;
    }
    assert!(found.len() > 10, "{} rows", found.len());
    assert!(
        differing.is_empty(),
        "now:\n{}\n`cargo xtask bless` rewrites the golden file",
        differing.join("\n")
    );
}

#[test]
fn every_wrong_zone_file_gets_the_mistakes_of_its_row() {
    compare("zone-mistakes.golden.txt", of_zone_file);
}

#[test]
fn every_wrong_hosts_file_gets_the_mistakes_of_its_row() {
    compare("hosts-mistakes.golden.txt", of_hosts);
}
