//! Regular expressions.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::Refusal;

/// Longest expression, in octets, as in CoreDNS.
const LONGEST: usize = 10_000;

/// Most memory that a compiled expression may take: 1 MiB, so that a file cannot exhaust the node.
const LARGEST_OCTETS: usize = 1 << 20;

/// A regular expression that compiles; two are equal when their texts are.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// The compiled expression; it is not anchored.
    #[must_use]
    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}/", self.0.as_str())
    }
}

/// Compiles an expression.
pub(crate) fn pattern(text: &str) -> Result<Pattern, Refusal> {
    if text.len() > LONGEST {
        return Err(Refusal::new(format!("is longer than {LONGEST} octets"), ""));
    }
    RegexBuilder::new(text).size_limit(LARGEST_OCTETS).build().map(Pattern).map_err(|error| {
        // The error draws the expression over several lines; its last line says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        Refusal::new(format!("is no regular expression: {reason}"), "")
    })
}
