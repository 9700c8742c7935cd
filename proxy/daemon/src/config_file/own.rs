//! Our own configuration file: the flags of `podway run` by name, without their dashes.

use super::tree::{Node, Value};
use super::{Mistake, Reading, closest};

/// `apiVersion` of the file.
pub(crate) const API_VERSION: &str = "podway.dev/v1alpha1";

/// `kind` of the file.
pub(crate) const KIND: &str = "PodwayConfiguration";

/// Reads the keys of `node` into `reading`; `flags` are those that there are, with their dashes.
pub(super) fn read(node: &Node, flags: &[String], reading: &mut Reading) {
    let Value::Mapping(entries) = &node.value else { return };
    for (key, node) in entries {
        if matches!(key.name.as_str(), "apiVersion" | "kind") {
            continue;
        }
        let flag = format!("--{}", key.name);
        if !flags.contains(&flag) || flag == "--config" {
            let known = flags.iter().filter_map(|flag| flag.strip_prefix("--"));
            let known = known.filter(|flag| *flag != "config");
            let accepted = closest(&key.name, known).map_or_else(
                || "the flags of `podway run`, without dashes".to_owned(),
                str::to_owned,
            );
            let reason = "is no flag of `podway run`".to_owned();
            reading.mistakes.push(Mistake::new(key.place, &key.name, reason, &accepted));
            continue;
        }
        match values(&node.value) {
            Some(values) => reading.set_all(&flag, &key.name, node.place, values),
            None => {
                let reason = format!("{} is no value of a flag", node.value.described());
                let accepted = "a text, a number, true, false, or a list of texts";
                reading.mistakes.push(Mistake::new(node.place, &key.name, reason, accepted));
            }
        }
    }
}

/// The values of a flag.
fn values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::List(nodes) => nodes.iter().map(|node| scalar(&node.value)).collect(),
        Value::Boolean(_)
        | Value::Integer(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Mapping(_) => scalar(value).map(|text| vec![text]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Boolean(value) => Some(value.to_string()),
        Value::Integer(value) => Some(value.to_string()),
        Value::Number(text) | Value::Text(text) => Some(text.clone()),
        Value::Null | Value::List(_) | Value::Mapping(_) => None,
    }
}
