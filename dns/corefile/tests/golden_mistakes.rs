//! Corefiles that are wrong, and all that is said about each.
//!
//! Every row of the golden file is a Corefile, its lines marked with `>`, and below it the mistakes.
//! A row without mistakes is right, and says what has no effect. `PODWAY_BLESS=1` writes what the
//! code says now; the difference is read in review.
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read their data")]

use std::fs;
use std::path::Path;

use podway_dns_corefile::{Lenience, MemorySources, Mistake, read};

/// Files that the rows import.
const IMPORTED: &[(&str, &str)] = &[
    ("a.conf", "import b.conf"),
    ("b.conf", "import a.conf"),
    ("conf.d/one.conf", "whoami\nwhoami x"),
    ("broken.conf", "cache {"),
];

/// What is said about one Corefile.
fn said(text: &str) -> String {
    let mut sources = MemorySources::default();
    for (path, text) in IMPORTED {
        sources.files.insert((*path).to_owned(), text.as_bytes().to_vec());
    }
    let lines = |mistakes: &[Mistake], mark: &str| -> String {
        mistakes.iter().map(|mistake| format!("{mark}{mistake}\n")).collect()
    };
    match read("f", text.as_bytes(), &sources, Lenience::Strict) {
        Ok(reading) => lines(&reading.warnings, "warning: "),
        Err(mistakes) => lines(mistakes.as_slice(), ""),
    }
}

#[test]
fn every_wrong_corefile_gets_the_mistakes_of_its_row() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mistakes.golden.txt");
    let golden = fs::read_to_string(&path).unwrap();
    let mut found = Vec::new();
    let mut differing = Vec::new();
    for row in golden.trim_end().split("\n\n") {
        let marked = row.lines().filter(|line| line.starts_with('>'));
        let text: Vec<&str> =
            marked.clone().map(|line| line.strip_prefix("> ").unwrap_or_default()).collect();
        let marked: String = marked.map(|line| format!("{line}\n")).collect();
        let now = format!("{marked}{}", said(&text.join("\n")));
        if now.trim_end() != row {
            differing.push(now.clone());
        }
        found.push(now);
    }
    if std::env::var_os("PODWAY_BLESS").is_some() {
        fs::write(&path, found.join("\n")).unwrap();
        return;
    }
    assert!(found.len() > 180, "{} rows", found.len());
    assert!(
        differing.is_empty(),
        "now:\n{}\n`cargo xtask bless` rewrites the golden file",
        differing.join("\n")
    );
}
