//! `--config FILE`: what a file says, as flags.
//!
//! Two kinds of files are read, told apart by their `kind`: kube-proxy's own, which clusters already
//! have, and ours, whose keys are the flags of `podway run`. Either comes down to flags, so that
//! there is one set of checks and one meaning; a flag on the command line beats the file. Every
//! mistake is said at once, with its line and column, and a file with one is not used at all.

use std::fmt;

mod kube_proxy;
mod merge;
mod own;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use merge::{Merged, merge};
pub(crate) use own::{API_VERSION, KIND};
pub(crate) use tree::Place;

use tree::{Key, Node, Value};

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Flags, in the order of the file.
    pub(crate) settings: Vec<Setting>,
    /// What is accepted and means nothing here.
    pub(crate) remarks: Vec<Remark>,
    /// What is wrong.
    pub(crate) mistakes: Vec<Mistake>,
}

/// A flag that the file sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The flag, with its dashes.
    pub(crate) flag: String,
    pub(crate) value: String,
    /// The field of the file.
    pub(crate) field: String,
    pub(crate) place: Place,
}

/// A field that is accepted and means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) place: Place,
    pub(crate) field: String,
    /// Why it means nothing.
    pub(crate) reason: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, field, reason } = self;
        write!(formatter, "{place}: {field} has no effect: {reason}")
    }
}

/// Something wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) place: Place,
    /// The field; empty for the file as a whole.
    pub(crate) field: String,
    pub(crate) reason: String,
    pub(crate) accepted: String,
}

impl Mistake {
    fn new(place: Place, field: &str, reason: String, accepted: &str) -> Self {
        Self { place, field: field.to_owned(), reason, accepted: accepted.to_owned() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, field, reason, accepted } = self;
        let separator = if field.is_empty() { "" } else { ": " };
        write!(formatter, "{place}: {field}{separator}{reason}; accepted: {accepted}")
    }
}

impl Reading {
    /// Sets a flag to `values`; none of them sets it to nothing at all.
    fn set_all(&mut self, flag: &str, field: &str, place: Place, values: Vec<String>) {
        self.settings.extend(values.into_iter().map(|value| Setting {
            flag: flag.to_owned(),
            value,
            field: field.to_owned(),
            place,
        }));
    }
}

/// Reads the text of a file; `flags` are those of `podway run`, with their dashes.
pub(crate) fn read(text: &str, flags: &[String]) -> Reading {
    let mut reading = Reading::default();
    let node = match tree::parse(text) {
        Ok(node) => node,
        Err((place, reason)) => {
            reading.mistakes.push(Mistake::new(place, "", reason, "YAML"));
            return reading;
        }
    };
    match kind(&node) {
        Some((kube_proxy::API_VERSION, kube_proxy::KIND)) => kube_proxy::read(&node, &mut reading),
        Some((own::API_VERSION, own::KIND)) => own::read(&node, flags, &mut reading),
        other => {
            let reason = match other {
                Some((version, kind)) => format!("is {version} {kind}"),
                None => "has no apiVersion and kind".to_owned(),
            };
            let accepted = format!(
                "{} {}, {} {}",
                own::API_VERSION,
                own::KIND,
                kube_proxy::API_VERSION,
                kube_proxy::KIND
            );
            reading.mistakes.push(Mistake::new(node.place, "the file", reason, &accepted));
        }
    }
    repeated_keys(&node, &mut reading);
    reading
}

/// `apiVersion` and `kind` of the file.
fn kind(node: &Node) -> Option<(&str, &str)> {
    let Value::Mapping(entries) = &node.value else { return None };
    let text = |name: &str| {
        entries.iter().find(|(key, _)| key.name == name).and_then(|(_, node)| node.value.text())
    };
    Some((text("apiVersion")?, text("kind")?))
}

/// Keys that stand twice in one mapping: it is not clear which one was meant.
fn repeated_keys(node: &Node, reading: &mut Reading) {
    match &node.value {
        Value::Mapping(entries) => {
            let mut seen: Vec<&Key> = Vec::with_capacity(entries.len());
            for (key, node) in entries {
                if seen.iter().any(|other| other.name == key.name) {
                    let reason = "stands twice".to_owned();
                    reading.mistakes.push(Mistake::new(
                        key.place,
                        &key.name,
                        reason,
                        "each key once",
                    ));
                }
                seen.push(key);
                repeated_keys(node, reading);
            }
        }
        Value::List(nodes) => nodes.iter().for_each(|node| repeated_keys(node, reading)),
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Number(_) | Value::Text(_) => {
        }
    }
}

/// The name that `text` was probably meant to be.
fn closest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::damerau_levenshtein(text, name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}
