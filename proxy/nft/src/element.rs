//! Elements of the sets: everything about a Service or an endpoint that the kernel is told.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use podway_proxy_plan::plan::FrontendKey;

use crate::names::{Bank, SetName};

/// One element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// A frontend in a set of frontends.
    Frontend {
        /// The set.
        set: SetName,
        /// The frontend.
        key: FrontendKey,
        /// Shown beside the element; not part of its identity in the kernel.
        comment: Option<Comment>,
    },
    /// The endpoint in a slot of a frontend.
    Backend {
        /// Which map.
        bank: Bank,
        /// The frontend.
        key: FrontendKey,
        /// Below the number of slots of the frontend.
        slot: u16,
        /// The endpoint.
        endpoint: SocketAddr,
    },
    /// An address that may reach itself through a Service.
    Hairpin(IpAddr),
    /// A range of pod addresses.
    PodCidr(IpNet),
}

impl Element {
    /// The set or map that holds it.
    #[must_use]
    pub const fn set(&self) -> SetName {
        match self {
            Self::Frontend { set, .. } => *set,
            Self::Backend { bank, .. } => SetName::Backends(*bank),
            Self::Hairpin(_) => SetName::Hairpin,
            Self::PodCidr(_) => SetName::PodCidrs,
        }
    }
}

/// Text beside an element, for people who list the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comment(Arc<str>);

impl Comment {
    /// Longest comment in octets.
    ///
    /// nft refuses to read one of 128 octets or more (`NFTNL_UDATA_COMMENT_MAXLEN`).
    const MAX_OCTETS: usize = 127;

    /// Makes a comment of `text`, cut to what nft can read.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let end = (0..=text.len().min(Self::MAX_OCTETS))
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        Self(Arc::from(&text[..end]))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A frontend's key as nft writes it.
struct Concatenated<'key>(&'key FrontendKey);

impl fmt::Display for Concatenated<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FrontendKey { address, protocol, port } = self.0;
        write!(formatter, "{address} . {protocol} . {port}")
    }
}

impl fmt::Display for Element {
    /// Writes the element as nft does in `elements = { … }`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frontend { key, comment, .. } => {
                write!(formatter, "{}", Concatenated(key))?;
                match comment {
                    Some(comment) => write!(formatter, " comment \"{}\"", comment.as_str()),
                    None => Ok(()),
                }
            }
            Self::Backend { key, slot, endpoint, .. } => write!(
                formatter,
                "{} . {slot} : {} . {}",
                Concatenated(key),
                endpoint.ip(),
                endpoint.port()
            ),
            Self::Hairpin(address) => write!(formatter, "{address} . {address}"),
            Self::PodCidr(cidr) => write!(formatter, "{cidr}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_is_cut_where_a_character_ends() {
        assert_eq!(Comment::new("shop/web:http").as_str(), "shop/web:http");
        assert_eq!(Comment::new(&"a".repeat(200)).as_str().len(), 127);
        assert_eq!(Comment::new(&"é".repeat(100)).as_str().len(), 126);
    }
}
