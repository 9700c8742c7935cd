//! What was asked, who answered, and whether that was right.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::table;

/// Prints as it goes and counts.
#[derive(Debug, Default)]
pub(super) struct Report {
    passed: usize,
    failures: Vec<String>,
}

impl Report {
    /// Begins a part.
    pub(super) fn title(&self, title: &str) {
        println!("-- {title} --");
    }

    /// Shows that `asked` was asked from `place` and which pods answered, and judges it.
    pub(super) fn answers(
        &mut self,
        (place, asked): (&str, &str),
        answered: &BTreeMap<String, usize>,
        expected: &BTreeSet<String>,
    ) {
        let rows: Vec<_> =
            answered.iter().map(|(pod, count)| vec![pod.clone(), count.to_string()]).collect();
        println!("{asked} from {place}");
        for line in table(&["ANSWERED BY", "TIMES"], &rows).lines() {
            println!("    {line}");
        }
        let found: BTreeSet<String> = answered.keys().cloned().collect();
        let all = list(expected);
        self.expect(&format!("{asked} from {place}: all of {all}, none other"), found == *expected);
    }

    /// Shows that the name `asked` has `found`, and judges it.
    pub(super) fn name(
        &mut self,
        asked: &str,
        found: &BTreeSet<String>,
        expected: &BTreeSet<String>,
    ) {
        println!("{asked} -> {}", list(found));
        self.expect(&format!("{asked} is {}", list(expected)), found == expected);
    }

    /// Judges one expectation.
    pub(super) fn expect(&mut self, what: &str, holds: bool) {
        println!("  {} {what}", if holds { "PASS" } else { "FAIL" });
        if holds {
            self.passed += 1;
        } else {
            self.failures.push(what.to_owned());
        }
    }

    /// Expectations that did not hold.
    pub(super) fn failed(&self) -> usize {
        self.failures.len()
    }

    /// The closing words.
    pub(super) fn summary(&self) -> String {
        let mut text = format!("{} expectations held, {} failed", self.passed, self.failed());
        for failure in &self.failures {
            text.push_str("\n  FAIL ");
            text.push_str(failure);
        }
        text
    }
}

/// The elements of `set` for people.
fn list(set: &BTreeSet<String>) -> String {
    if set.is_empty() {
        return "(nothing)".to_owned();
    }
    set.iter().cloned().collect::<Vec<_>>().join(", ")
}
