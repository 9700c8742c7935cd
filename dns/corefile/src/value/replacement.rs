//! The text that a rewritten name becomes, with the groups of an expression in it.

use std::fmt;

use regex::Captures;

use super::Refusal;

/// A text in which `{1}` stands for the first group of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement(Vec<Part>);

/// A piece of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// The text for one match; a group that took no part in it is empty.
    #[must_use]
    pub fn expand(&self, captures: &Captures<'_>) -> String {
        let piece = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Group(number) => {
                captures.get(*number).map_or_else(String::new, |group| group.as_str().to_owned())
            }
        };
        self.0.iter().map(piece).collect()
    }

    /// Reads a text for an expression of `groups` groups, the whole match not counted.
    pub(crate) fn parse(text: &str, groups: usize) -> Result<Self, Refusal> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('{') {
            literal.push_str(before);
            let group = from.split_once('}').and_then(|(number, after)| {
                number.parse::<usize>().ok().map(|number| (number, after))
            });
            let Some((number, after)) = group else {
                literal.push('{');
                rest = from;
                continue;
            };
            if number > groups {
                let problem = format!("names group {number} of an expression with {groups}");
                return Err(Refusal::new(problem, format!("{{0}} to {{{groups}}}")));
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Group(number));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => formatter.write_str(text)?,
                Part::Group(number) => write!(formatter, "{{{number}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn groups_are_put_in_their_places() {
        let regex = Regex::new(r"(.*)-(us-west-1)\.example\.org").unwrap();
        let replacement = Replacement::parse("{1}.service.{2}.consul", 2).unwrap();
        let captures = regex.captures("ftp-us-west-1.example.org").unwrap();
        assert_eq!(replacement.expand(&captures), "ftp.service.us-west-1.consul");
        assert_eq!(replacement.to_string(), "{1}.service.{2}.consul");
    }

    #[test]
    fn a_group_that_does_not_exist_is_refused() {
        assert!(Replacement::parse("{3}", 2).is_err());
        assert!(Replacement::parse("{99999999999999999999999}", 2).is_ok(), "no number, so text");
    }
}
