//! A source file holds one idea: at most [`LONGEST`] lines, its test modules not counted.

use anyhow::Result;
use cargo_metadata::camino::Utf8Path;

use super::Finding;
use super::tokens;
use super::tree::Tree;

/// Most lines of a source file without tests.
///
/// 400 is the 90th percentile of the code bases we learnt from; beyond it a file usually holds
/// two ideas.
const LONGEST: usize = 400;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Finds the files that are too long, and entries of [`LONG_FILES`] that are no longer needed.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for member in tree.crates() {
        for file in tree.files(&member.folder, "rs") {
            if is_test_file(file.strip_prefix(&member.folder)?) {
                continue;
            }
            let lines = code_lines(file, &tree.text(file)?)?;
            findings.extend(judge(file, lines, LONG_FILES));
        }
    }
    for (file, _) in LONG_FILES.iter().filter(|(file, _)| !tree.has(Utf8Path::new(file))) {
        findings.push(Finding::at(file, "listed as a long file, but not in the tree"));
    }
    Ok(findings)
}

/// Compares one file's length with what it is allowed.
fn judge(file: &Utf8Path, lines: usize, long: &[(&str, &str)]) -> Option<Finding> {
    let allowed = long.iter().any(|(listed, _)| file == *listed);
    match (lines > LONGEST, allowed) {
        (true, false) => Some(Finding::at(
            file,
            format!("{lines} lines without tests, {LONGEST} allowed: split it by idea"),
        )),
        (false, true) => Some(Finding::at(file, "listed as a long file, but short by now")),
        (true, true) | (false, false) => None,
    }
}

/// Whether a file, relative to its crate, holds nothing but tests.
fn is_test_file(file: &Utf8Path) -> bool {
    file.file_name() == Some("tests.rs") || file.components().any(|part| part.as_str() == "tests")
}

/// Lines of `text` that are not under `#[cfg(test)]`.
fn code_lines(file: &Utf8Path, text: &str) -> Result<usize> {
    let tests = tokens::test_items(tokens::parse(file, text)?);
    let test_lines: usize = tests.iter().map(|item| item.end() - item.start() + 1).sum();
    Ok(text.lines().count() - test_lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tree::planted;

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(LONGEST + 1);
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn f() {}\n".repeat(LONGEST),
            "// row\n".repeat(200)
        );
        let (_folder, tree) = planted::tree(&[
            ("Cargo.toml", &planted::root(&["dns/zone"])),
            ("dns/zone/Cargo.toml", &planted::manifest("zone", &[])),
            ("dns/zone/src/lib.rs", ""),
            ("dns/zone/src/long.rs", &long),
            ("dns/zone/src/tested.rs", &tested),
            ("dns/zone/src/long/tests.rs", &long),
            ("dns/zone/tests/loopback.rs", &long),
        ]);
        let findings = check(&tree).expect("check runs");
        assert_eq!(
            findings,
            [Finding::at(
                "dns/zone/src/long.rs",
                "401 lines without tests, 400 allowed: split it by idea"
            )]
        );
    }

    #[test]
    fn a_listed_file_may_be_long_but_must_need_it() {
        let file = Utf8Path::new("a.rs");
        let long = [("a.rs", "generated table")];
        assert_eq!(judge(file, LONGEST + 1, &long), None);
        assert!(judge(file, LONGEST, &long).is_some());
        assert!(judge(file, LONGEST + 1, &[]).is_some());
        assert_eq!(judge(file, LONGEST, &[]), None);
    }
}
