//! Golden files of rows: an input, its lines marked with `>`, and below it all that is said about it.
//!
//! `PODWAY_BLESS=1` writes what the code says now; the difference is read in review.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use podway_dns_corefile::Mistake;

/// Findings, one a line, each behind `mark`.
pub(crate) fn lines(found: &[Mistake], mark: &str) -> String {
    found.iter().map(|mistake| format!("{mark}{mistake}\n")).collect()
}

/// Compares all rows of the golden file at `path`, which are more than `least`, with what is said now.
pub(crate) fn compare(path: &Path, least: usize, said: fn(&str) -> String) {
    let golden = fs::read_to_string(path).unwrap();
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
        fs::write(path, found.join("\n")).unwrap();
        return;
    }
    assert!(found.len() > least, "{} rows", found.len());
    assert!(
        differing.is_empty(),
        "now:\n{}\n`cargo xtask bless` rewrites the golden file",
        differing.join("\n")
    );
}
