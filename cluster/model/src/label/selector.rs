//! Label selectors, as kubectl and the API server read them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::{LabelKeys, Labels};

/// Why a text is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// A condition has another form than those that there are.
    #[error("has a condition that is none")]
    Condition,
    /// A key is malformed.
    #[error("has {text:?} where a label key should be")]
    Key {
        /// The text found.
        text: String,
    },
    /// A value is malformed.
    #[error("has {text:?} where a label value should be")]
    Value {
        /// The text found.
        text: String,
    },
}

/// A label selector: all its requirements must be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// One condition on the labels of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// The label is there.
    Exists(String),
    /// The label is not there.
    Missing(String),
    /// The label is there with one of these values.
    In(String, BTreeSet<String>),
    /// The label is not there, or with another value.
    NotIn(String, BTreeSet<String>),
}

impl Requirement {
    /// Whether labels meet it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.value(self.key());
        match self {
            Self::Exists(_) => value.is_some(),
            Self::Missing(_) => value.is_none(),
            Self::In(_, values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(_, values) => !value.is_some_and(|value| values.contains(value)),
        }
    }

    /// The label that it looks at.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Exists(key) | Self::Missing(key) | Self::In(key, _) | Self::NotIn(key, _) => key,
        }
    }
}

impl Selector {
    /// What a selector may look like.
    pub const FORM: &str = "KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (A,B) or KEY notin (A,B), \
                            several separated by commas";

    /// The requirements, in the order of the text.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// The labels that it looks at.
    #[must_use]
    pub fn keys(&self) -> LabelKeys {
        self.0.iter().map(|requirement| Arc::from(requirement.key())).collect()
    }

    /// Whether labels meet all requirements.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }

    /// Reads a selector.
    ///
    /// # Errors
    /// [`SelectorError`] says what of the text has not the form of [`Self::FORM`].
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let requirements = split_outside_parentheses(text).map(|part| requirement(part.trim()));
        requirements.collect::<Result<_, _>>().map(Self)
    }
}

/// Selectors are shown in the form that the API server takes.
impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |values: &BTreeSet<String>| {
            values.iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        for (index, requirement) in self.0.iter().enumerate() {
            formatter.write_str(if index == 0 { "" } else { "," })?;
            match requirement {
                Requirement::Exists(key) => write!(formatter, "{key}")?,
                Requirement::Missing(key) => write!(formatter, "!{key}")?,
                Requirement::In(key, values) => write!(formatter, "{key} in ({})", join(values))?,
                Requirement::NotIn(key, values) => {
                    write!(formatter, "{key} notin ({})", join(values))?;
                }
            }
        }
        Ok(())
    }
}

/// The parts between the commas that are not in parentheses.
fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |sign| {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        sign == ',' && depth == 0
    })
}

/// Reads one requirement.
fn requirement(text: &str) -> Result<Requirement, SelectorError> {
    if let Some(key) = text.strip_prefix('!') {
        return key_of(key).map(Requirement::Missing);
    }
    let of_one = |value: &str| value_of(value).map(|value| BTreeSet::from([value]));
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(key_of(key)?, of_one(value)?));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok(Requirement::In(key_of(key)?, of_one(value)?));
    }
    let Some((key, rest)) = text.split_once(char::is_whitespace) else {
        return key_of(text).map(Requirement::Exists);
    };
    let key = key_of(key)?;
    let rest = rest.trim();
    // The longer word first: `in` is its end.
    for (word, make) in [
        ("notin", Requirement::NotIn as fn(String, BTreeSet<String>) -> Requirement),
        ("in", Requirement::In),
    ] {
        let set = rest.strip_prefix(word).map(str::trim_start);
        if let Some(set) = set.and_then(|set| set.strip_prefix('(')?.strip_suffix(')')) {
            let values = set.split(',').map(value_of).collect::<Result<_, _>>()?;
            return Ok(make(key, values));
        }
    }
    Err(SelectorError::Condition)
}

/// Reads a label key: a name, perhaps with a domain and a slash before it.
fn key_of(text: &str) -> Result<String, SelectorError> {
    let text = text.trim();
    let (domain, name) =
        text.rsplit_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    let domain_fits = domain.is_none_or(|domain| {
        let label = |label: &str| is_name(label) && !label.contains(['_', '.']);
        domain.len() <= 253 && domain.split('.').all(label)
    });
    if is_name(name) && domain_fits {
        return Ok(text.to_owned());
    }
    Err(SelectorError::Key { text: text.to_owned() })
}

/// Reads a label value, which may be empty.
fn value_of(text: &str) -> Result<String, SelectorError> {
    let text = text.trim();
    if text.is_empty() || is_name(text) {
        return Ok(text.to_owned());
    }
    Err(SelectorError::Value { text: text.to_owned() })
}

/// Whether `text` is up to 63 letters, digits, `-`, `_` and `.`, with neither end a sign.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(inner)
        && ends(text.bytes().next())
        && ends(text.bytes().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_and_shown() {
        for (text, shown) in [
            ("app", "app"),
            ("!app", "!app"),
            ("app=web", "app in (web)"),
            ("app==web, tier != db", "app in (web),tier notin (db)"),
            (
                "environment in (staging, qa),application=nginx",
                "environment in (qa,staging),application in (nginx)",
            ),
            ("example.com/a notin (x)", "example.com/a notin (x)"),
            ("empty=", "empty in ()"),
        ] {
            assert_eq!(Selector::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", ",", "a b", "a in x", "a in (x", "=x", "-a", "a=b c", "a/b/", "(a"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_meet_all_requirements_or_not() {
        let labels = [(Arc::from("app"), Arc::from("web"))].into_iter().collect();
        for (text, met) in [
            ("app", true),
            ("!app", false),
            ("app=web,!tier", true),
            ("app in (db,web)", true),
            ("app notin (db)", true),
            ("tier notin (db)", true),
            ("tier=", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels), met, "{text}");
        }
    }

    #[test]
    fn keys_are_all_labels_that_are_looked_at() {
        let keys = Selector::parse("a,!b,c in (x),d!=y,a=z").unwrap().keys();
        assert_eq!(keys, ["a", "b", "c", "d"].map(Arc::from).into_iter().collect());
    }
}
