//! What is wrong with an object, said so that a person finds the place.

use std::fmt;
use std::net::IpAddr;

use podway_cluster_model::name::NameError;
use podway_cluster_model::port::{PortOutOfRange, UnknownProtocol};
use thiserror::Error;

/// Longest text of an object that a reason repeats, in characters.
///
/// 64: a name or an address fits; a certificate pasted into the wrong field does not fill the log.
const MAX_QUOTED_CHARACTERS: usize = 64;

/// The kinds of objects that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `multicluster.x-k8s.io` `ServiceImport`.
    Import,
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `networking.k8s.io/v1` `ServiceCIDR`.
    ServiceCidr,
}

impl ObjectKind {
    /// Every kind that is read.
    pub const ALL: [Self; 7] = [
        Self::Service,
        Self::EndpointSlice,
        Self::Import,
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::ServiceCidr,
    ];

    /// Its name in lower case, as `kubectl` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::EndpointSlice => "endpointslice",
            Self::Import => "serviceimport",
            Self::Namespace => "namespace",
            Self::Node => "node",
            Self::Pod => "pod",
            Self::ServiceCidr => "servicecidr",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// An object, or a part of one, that is not used.
///
/// What is lost is the smallest part that is safe to lose: a port, an endpoint, an address; the
/// whole object only where the rest would mean something else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("{kind} {object}: {field}: {reason}")]
pub struct Rejection {
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Namespace and name of the object, or its name where it has no namespace, as written.
    pub object: String,
    /// The field, such as `spec.ports[0].port`.
    pub field: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Reason {
    /// The field must be there.
    #[error("is missing")]
    Missing,
    /// The field holds a value of another type.
    #[error("{found} is not {expected}")]
    WrongType {
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: Found,
    },
    /// The text is no name of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The number is no port.
    #[error(transparent)]
    Port(#[from] PortOutOfRange),
    /// The text is no protocol.
    #[error(transparent)]
    Protocol(UnknownProtocol),
    /// The number is out of the field's range.
    #[error("{number} is not in {least}..={most}")]
    OutOfRange {
        /// The number found.
        number: i64,
        /// Smallest number allowed.
        least: i64,
        /// Largest number allowed.
        most: i64,
    },
    /// The text is none of those the field may have.
    #[error("{text:?} is not one of {accepted}")]
    UnknownValue {
        /// The text found.
        text: String,
        /// The texts accepted.
        accepted: &'static str,
    },
    /// The text is no IP address.
    #[error("{text:?} is not an IP address")]
    NotAnAddress {
        /// The text found.
        text: String,
    },
    /// An octet of an IPv4 address has a leading zero, which some programs read as octal.
    #[error("{text:?} has an octet with a leading zero")]
    LeadingZero {
        /// The text found.
        text: String,
    },
    /// An IPv6 address that stands for an IPv4 address.
    #[error("{address} is an IPv4-mapped IPv6 address")]
    Ipv4Mapped {
        /// The address found.
        address: IpAddr,
    },
    /// An address that cannot stand for what it should.
    #[error("{address} is {range} and cannot be used here")]
    SpecialAddress {
        /// The address found.
        address: IpAddr,
        /// Which kind of address it is.
        range: &'static str,
    },
    /// An address of the other family.
    #[error("{address} is not of address type {expected}")]
    WrongFamily {
        /// The address found.
        address: IpAddr,
        /// The address type of the slice.
        expected: &'static str,
    },
    /// The text is no network.
    #[error("{text:?} is not an address range such as 192.0.2.0/24")]
    NotARange {
        /// The text found.
        text: String,
    },
    /// The text is no time.
    #[error("{text:?} is not a time such as 2026-01-31T12:00:00Z")]
    NotATime {
        /// The text found.
        text: String,
    },
    /// A value that may stand once stands again.
    #[error("{what} stands twice; the first is used")]
    Duplicate {
        /// The value.
        what: String,
    },
    /// Two addresses or networks of one family, where there may be one.
    #[error("{value} is the second of its family")]
    SecondOfFamily {
        /// The second.
        value: String,
    },
    /// Two fields that must agree do not.
    #[error("{found:?} is not {expected:?}, the first of clusterIPs")]
    Disagrees {
        /// The text found.
        found: String,
        /// The text of the other field.
        expected: String,
    },
    /// A Service that needs a virtual address has none.
    #[error("is missing; only an API server allocates one")]
    NotAllocated,
    /// An alias must be a name.
    #[error("{address} is an address, not a name")]
    AliasIsAddress {
        /// The address found.
        address: IpAddr,
    },
    /// The slice belongs to no Service.
    #[error("is missing, so the slice belongs to no service")]
    NoService,
    /// The slice holds names instead of addresses.
    #[error("slices of type FQDN are not used")]
    NamesInSlice,
}

impl From<UnknownProtocol> for Reason {
    fn from(UnknownProtocol { text }: UnknownProtocol) -> Self {
        Self::Protocol(UnknownProtocol { text: quotable(&text) })
    }
}

/// A value of a type that does not belong there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// True or false.
    Boolean(bool),
    /// A number, as text.
    Number(String),
    /// A text, its first characters.
    Text(String),
    /// A list.
    List,
    /// A mapping.
    Mapping,
}

impl Found {
    /// A text that was found.
    #[must_use]
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(quotable(text))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => fmt::Display::fmt(value, formatter),
            Self::Number(number) => formatter.write_str(number),
            Self::Text(text) => fmt::Debug::fmt(text, formatter),
            Self::List => formatter.write_str("a list"),
            Self::Mapping => formatter.write_str("a mapping"),
        }
    }
}

/// As much of `text` as a reason repeats.
pub(crate) fn quotable(text: &str) -> String {
    quotable_at(text, MAX_QUOTED_CHARACTERS)
}

/// The first `most` characters of `text`.
pub(crate) fn quotable_at(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
