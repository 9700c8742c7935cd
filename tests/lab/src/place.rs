//! Names of the places in a lab where a command can run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Namespace and name of a namespaced object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName {
    /// Namespace, `default` where none was given.
    pub namespace: String,
    /// Name inside the namespace.
    pub name: String,
}

impl ObjectName {
    /// Makes the name of an object in `namespace`.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A text that names no object or place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct NameError {
    text: String,
    expected: &'static str,
}

impl NameError {
    /// `text` is not what was `expected`.
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.to_owned(), expected }
    }
}

impl FromStr for ObjectName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(NameError::new(text, "NAME or NAMESPACE/NAME"));
        }
        Ok(Self::new(namespace, name))
    }
}

impl TryFrom<String> for ObjectName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> Self {
        name.to_string()
    }
}

/// A network namespace of the lab: where a command runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// The client outside the cluster, on the nodes' network.
    Outside,
    /// Where etcd and the API server run, in a lab that has them.
    ControlPlane,
    /// A node, by name: `node-1`, `node-2` and so on.
    Node(String),
    /// A pod.
    Pod(ObjectName),
}

impl Place {
    /// Node number `number`, counted from 1.
    #[must_use]
    pub fn node(number: u8) -> Self {
        Self::Node(node_name(number))
    }

    /// The pod `name` of namespace `default`.
    #[must_use]
    pub fn pod(name: impl Into<String>) -> Self {
        Self::pod_in("default", name)
    }

    /// The pod `name` of `namespace`.
    #[must_use]
    pub fn pod_in(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Pod(ObjectName::new(namespace, name))
    }
}

/// Name of node number `number`, counted from 1.
#[must_use]
pub fn node_name(number: u8) -> String {
    format!("node-{number}")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("outside"),
            Self::ControlPlane => f.write_str("control-plane"),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Pod(name) => write!(f, "pod/{name}"),
        }
    }
}

impl FromStr for Place {
    type Err = NameError;

    /// Reads `outside`, `control-plane`, `node-N`, `node/NAME`, `POD`, `NAMESPACE/POD` and `pod/…` of both.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_node = |name: &str| {
            name.strip_prefix("node-").is_some_and(|number| number.parse::<u8>().is_ok())
        };
        if text == "outside" {
            Ok(Self::Outside)
        } else if text == "control-plane" {
            Ok(Self::ControlPlane)
        } else if let Some(name) = text.strip_prefix("node/") {
            Ok(Self::Node(name.to_owned()))
        } else if is_node(text) {
            Ok(Self::Node(text.to_owned()))
        } else {
            let name = text.strip_prefix("pod/").unwrap_or(text);
            let expected = "outside, control-plane, node-N, POD or NAMESPACE/POD";
            name.parse().map(Self::Pod).map_err(|_inner: NameError| NameError::new(text, expected))
        }
    }
}

impl TryFrom<String> for Place {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_place_is_read_and_its_text_gives_it_back() {
        let rows = [
            ("outside", Place::Outside),
            ("control-plane", Place::ControlPlane),
            ("node-2", Place::node(2)),
            ("node/worker", Place::Node("worker".into())),
            ("web-0", Place::pod("web-0")),
            ("k8sdemo/backend", Place::pod_in("k8sdemo", "backend")),
            ("pod/node-1", Place::pod("node-1")),
            ("pod/magedu/nginx", Place::pod_in("magedu", "nginx")),
            ("node-exporter", Place::pod("node-exporter")),
        ];
        for (text, place) in rows {
            assert_eq!(text.parse(), Ok(place.clone()), "{text}");
            assert_eq!(place.to_string().parse(), Ok(place), "{text}");
        }
    }

    #[test]
    fn texts_that_name_nothing_are_refused() {
        for text in ["", "/x", "x/", "a/b/c"] {
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
    }
}
