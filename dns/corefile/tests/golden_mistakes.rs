//! Corefiles that are wrong, and all that is said about each.
//!
//! Every row of the golden file is a Corefile, its lines marked with `>`, and below it the mistakes.
//! A row without mistakes is right, and says what has no effect. `PODWAY_BLESS=1` writes what the
//! code says now; the difference is read in review.
#![expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read their data")]

#[path = "support/rows.rs"]
mod rows;

use std::path::Path;

use podway_dns_corefile::{Lenience, MemorySources, read};

use self::rows::{compare, lines};

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
    // The last line of a row has no end.
    let text = text.strip_suffix('\n').unwrap_or(text);
    match read("f", text.as_bytes(), &sources, Lenience::Strict) {
        Ok(reading) => lines(&reading.warnings, "warning: "),
        Err(mistakes) => lines(mistakes.as_slice(), ""),
    }
}

#[test]
fn every_wrong_corefile_gets_the_mistakes_of_its_row() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mistakes.golden.txt");
    compare(&path, 180, said);
}
