//! What was asked, who answered, and whether that was right.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::table::table;

/// Prints as it goes and counts.
#[derive(Debug, Default)]
pub(super) struct Report {
    passed: usize,
    failures: Vec<String>,
}

impl Report {
    /// Shows one part; one that cannot go on counts as an expectation that failed.
    pub(super) fn part(&mut self, title: &str, show: impl FnOnce(&mut Self) -> Result<()>) {
        println!("\n-- {title} --");
        if let Err(error) = show(self) {
            self.expect(&format!("{title}: {error:#}"), false);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pods: &[&str]) -> BTreeSet<String> {
        pods.iter().map(|&pod| pod.to_owned()).collect()
    }

    #[test]
    fn a_pod_too_many_or_too_few_is_a_failure() {
        let rows: [(&[&str], &[&str], usize); 4] = [
            (&["a", "b"], &["a", "b"], 0),
            (&["a"], &["a", "b"], 1),
            (&["a", "b", "c"], &["a", "b"], 1),
            (&[], &[], 0),
        ];
        for (answered, expected, failed) in rows {
            let mut report = Report::default();
            let counts = answered.iter().map(|&pod| (pod.to_owned(), 1)).collect();
            report.answers(("a pod", "a Service"), &counts, &set(expected));
            assert_eq!(report.failed(), failed, "{answered:?} {expected:?}");
            report.name("a name", &set(answered), &set(expected));
            assert_eq!(report.failed(), 2 * failed, "{answered:?} {expected:?}");
        }
    }

    #[test]
    fn a_part_that_cannot_go_on_fails_and_is_named_at_the_end() {
        let mut report = Report::default();
        report.part("names", |report| {
            report.expect("the first", true);
            anyhow::bail!("nobody answers")
        });
        assert_eq!(report.failed(), 1);
        assert_eq!(report.summary(), "1 expectations held, 1 failed\n  FAIL names: nobody answers");
    }
}
