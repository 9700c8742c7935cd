//! Names of objects, checked when they are made.
//!
//! Rules: RFC 1123 §2.1 as Kubernetes applies it (a label has at most 63 octets, a subdomain at
//! most 253; both are lower case). Text is shared, so a clone costs a reference count.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest DNS label in octets (RFC 1035 §2.3.4).
const MAX_LABEL_OCTETS: usize = 63;

/// Longest DNS subdomain in octets, as Kubernetes limits object names.
const MAX_SUBDOMAIN_OCTETS: usize = 253;

/// Longest port name in octets (RFC 6335 §5.1, `IANA_SVC_NAME`; a Service port may be a DNS label).
const MAX_PORT_NAME_OCTETS: usize = 63;

/// Why a text is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum NameError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text is longer than its kind of name may be.
    #[error("has {octets} octets, at most {limit} are allowed")]
    TooLong {
        /// Octets found.
        octets: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// The text has a character that its kind of name may not have at that place.
    #[error(
        "{text:?} must be lower-case letters, digits and '-', starting and ending with a letter or digit"
    )]
    Malformed {
        /// The text found.
        text: String,
    },
}

/// Checks one RFC 1123 label.
fn check_label(text: &str) -> Result<(), NameError> {
    check_octets(text, MAX_LABEL_OCTETS)?;
    if is_well_formed(text) { Ok(()) } else { Err(NameError::Malformed { text: text.to_owned() }) }
}

/// Checks dot-separated labels.
///
/// Kubernetes limits the whole and not each label, so a Pod's name may be a label that is too long
/// for DNS; who makes a DNS name of it has to look.
fn check_subdomain(text: &str) -> Result<(), NameError> {
    check_octets(text, MAX_SUBDOMAIN_OCTETS)?;
    if text.split('.').all(is_well_formed) {
        Ok(())
    } else {
        Err(NameError::Malformed { text: text.to_owned() })
    }
}

/// Checks that `text` has at least one octet and at most `limit`.
fn check_octets(text: &str, limit: usize) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        octets if octets > limit => Err(NameError::TooLong { octets, limit }),
        _ => Ok(()),
    }
}

/// Whether `label` is letters, digits and inner hyphens.
fn is_well_formed(label: &str) -> bool {
    let alphanumeric = |octet: &u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    let octets = label.as_bytes();
    octets.iter().all(|octet| alphanumeric(octet) || *octet == b'-')
        && octets.first().is_some_and(alphanumeric)
        && octets.last().is_some_and(alphanumeric)
}

/// Checks a port name; the empty name is the one of an unnamed port.
fn check_port_name(text: &str) -> Result<(), NameError> {
    if text.len() > MAX_PORT_NAME_OCTETS {
        return Err(NameError::TooLong { octets: text.len(), limit: MAX_PORT_NAME_OCTETS });
    }
    if text.is_empty() { Ok(()) } else { check_label(text) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "&str")]
        pub struct $name(Arc<str>);

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl $name {
            /// Checks `text` and makes the name.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with the text.
            pub fn new(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text itself, so that an equal one can take its place.
            pub(crate) const fn shared_mut(&mut self) -> &mut Arc<str> {
                &mut self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }
    };
}

name_type! {
    /// Name of a Namespace.
    Namespace, check_label
}
name_type! {
    /// Host name that a pod claims under its governing Service.
    Hostname, check_label
}
name_type! {
    /// Name of a Node.
    NodeName, check_subdomain
}
name_type! {
    /// Name of a port; empty for the single unnamed port of a Service.
    PortName, check_port_name
}
name_type! {
    /// Name of an object within its namespace, where Kubernetes allows a subdomain.
    LocalName, check_subdomain
}

/// Namespace and name of a Service.
///
/// Ordered by namespace first, so that a namespace is one contiguous range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceName {
    /// Namespace of the Service.
    pub namespace: Namespace,
    /// Name within it; a DNS label, since it becomes one.
    pub name: Hostname,
}

impl ServiceName {
    /// Checks both parts and makes the name.
    ///
    /// # Errors
    /// [`NameError`] of the first part that is wrong.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        Ok(Self { namespace: Namespace::new(namespace)?, name: Hostname::new(name)? })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// Namespace and name of an object other than a Service (an `EndpointSlice`, a Pod).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// Namespace of the object.
    pub namespace: Namespace,
    /// Name within it.
    pub name: LocalName,
}

impl ObjectName {
    /// Checks both parts and makes the name.
    ///
    /// # Errors
    /// [`NameError`] of the first part that is wrong.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        Ok(Self { namespace: Namespace::new(namespace)?, name: LocalName::new(name)? })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_of_63_octets_is_a_name_and_of_64_is_not() {
        assert!(Hostname::new(&"a".repeat(63)).is_ok());
        assert_eq!(
            Hostname::new(&"a".repeat(64)),
            Err(NameError::TooLong { octets: 64, limit: 63 })
        );
    }

    #[test]
    fn malformed_labels_are_refused() {
        for text in ["-a", "a-", "A", "a_b", "a.b", "é", "a b"] {
            assert!(
                matches!(Hostname::new(text), Err(NameError::Malformed { .. })),
                "{text:?} was accepted"
            );
        }
        assert_eq!(Hostname::new(""), Err(NameError::Empty));
    }

    #[test]
    fn subdomain_has_dots_but_no_empty_label() {
        assert!(NodeName::new("node-1.example.com").is_ok());
        assert!(NodeName::new("node..example").is_err());
        assert!(NodeName::new(".node").is_err());
        assert!(LocalName::new(&"a".repeat(64)).is_ok(), "a Pod's name may be long");
    }

    #[test]
    fn unnamed_port_has_the_empty_name() {
        assert!(PortName::new("").is_ok());
        assert!(PortName::new("http").is_ok());
        assert!(PortName::new("Http").is_err());
    }

    #[test]
    fn services_of_one_namespace_sort_together() {
        let mut names = [
            ServiceName::new("b", "a").unwrap(),
            ServiceName::new("a", "z").unwrap(),
            ServiceName::new("a", "b").unwrap(),
        ];
        names.sort();
        assert_eq!(names.map(|name| name.to_string()), ["a/b", "a/z", "b/a"]);
    }
}
