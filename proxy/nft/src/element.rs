//! Elements of the sets: everything about a Service or an endpoint that the kernel is told.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use podway_cluster_model::port::Protocol;
use podway_proxy_plan::plan::{Family, FrontendKey};

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
    /// An endpoint of this node, which may reach itself through a Service.
    Hairpin(SocketAddr, Protocol),
    /// An address that is a Service's ClusterIP.
    ClusterIp(IpAddr),
    /// A range of addresses in a set of ranges.
    Range {
        /// The set.
        set: SetName,
        /// The range.
        cidr: IpNet,
    },
    /// A source that may use a guarded frontend.
    AllowedSource {
        /// The frontend.
        key: FrontendKey,
        /// The sources.
        source: IpNet,
    },
    /// The number that the clients of a frontend are remembered under.
    AffinityId {
        /// Which map.
        bank: Bank,
        /// The frontend.
        key: FrontendKey,
        /// The number.
        id: AffinityId,
    },
    /// For how long the clients under a number are remembered.
    AffinityTimeout {
        /// In seconds.
        timeout_s: u32,
        /// The number.
        id: AffinityId,
    },
    /// A client that is remembered.
    Learned(Learned),
    /// A frontend that a DNS server on this node answers at.
    NodeLocalDns {
        /// The frontend.
        key: FrontendKey,
        /// How long that holds unless it is said again, in milliseconds.
        timeout_ms: u64,
    },
    /// A pod that replies are sent to which have to be translated.
    TranslatedClient {
        /// Its address.
        address: IpAddr,
        /// How long that holds unless it is seen again, in milliseconds.
        timeout_ms: u64,
    },
}

impl Element {
    /// Whether all of its addresses are of `family`; a mere number is of both.
    #[must_use]
    pub fn is_of_family(&self, family: Family) -> bool {
        let addresses = match self {
            Self::Frontend { key, .. }
            | Self::AffinityId { key, .. }
            | Self::NodeLocalDns { key, .. } => [key.address; 2],
            Self::Backend { key, endpoint, .. } => [key.address, endpoint.ip()],
            Self::Hairpin(endpoint, _) => [endpoint.ip(); 2],
            Self::ClusterIp(address) | Self::TranslatedClient { address, .. } => [*address; 2],
            Self::Range { cidr, .. } => [cidr.addr(); 2],
            Self::AllowedSource { key, source } => [key.address, source.addr()],
            Self::AffinityTimeout { .. } => return true,
            Self::Learned(learned) => [learned.client, learned.endpoint.ip()],
        };
        addresses.into_iter().all(|address| Family::of(address) == family)
    }
}

/// The number that the clients of a Service port's pool are remembered under; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AffinityId(pub NonZeroU32);

/// A client that is remembered, as the rules learned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Learned {
    /// The client's address.
    pub client: IpAddr,
    /// Protocol of the Service port.
    pub protocol: Protocol,
    /// The number it is remembered under.
    pub id: AffinityId,
    /// Where it was sent.
    pub endpoint: SocketAddr,
    /// How long it is remembered after each connection, in milliseconds.
    pub timeout_ms: u64,
    /// How long it is remembered from now, in milliseconds.
    pub expires_ms: u64,
}

impl Element {
    /// The set or map that holds it.
    #[must_use]
    pub const fn set(&self) -> SetName {
        match self {
            Self::Frontend { set, .. } => *set,
            Self::Backend { bank, .. } => SetName::Backends(*bank),
            Self::Hairpin(..) => SetName::Hairpin,
            Self::ClusterIp(_) => SetName::ClusterIps,
            Self::Range { set, .. } => *set,
            Self::AllowedSource { .. } => SetName::AllowedSources,
            Self::AffinityId { bank, .. } => SetName::AffinityIds(*bank),
            Self::AffinityTimeout { timeout_s, .. } => SetName::AffinityTimeout(*timeout_s),
            Self::Learned(_) => SetName::Affinity,
            Self::NodeLocalDns { .. } => SetName::NodeLocalDns,
            Self::TranslatedClient { .. } => SetName::TranslatedClients,
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

impl fmt::Display for AffinityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "0x{:08x}", self.0)
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
            Self::Hairpin(endpoint, protocol) => {
                let (address, port) = (endpoint.ip(), endpoint.port());
                write!(formatter, "{address} . {address} . {protocol} . {port}")
            }
            Self::ClusterIp(address) => write!(formatter, "{address}"),
            Self::Range { cidr, .. } => write!(formatter, "{cidr}"),
            Self::AllowedSource { key, source } => {
                write!(formatter, "{} . {source}", Concatenated(key))
            }
            Self::AffinityId { key, id, .. } => write!(formatter, "{} : {id}", Concatenated(key)),
            Self::AffinityTimeout { id, .. } => write!(formatter, "{id}"),
            Self::NodeLocalDns { key, timeout_ms } => {
                write!(formatter, "{} timeout {timeout_ms}ms", Concatenated(key))
            }
            Self::TranslatedClient { address, timeout_ms } => {
                write!(formatter, "{address} timeout {timeout_ms}ms")
            }
            Self::Learned(Learned { client, protocol, id, endpoint, timeout_ms, expires_ms }) => {
                let (address, port) = (endpoint.ip(), endpoint.port());
                write!(
                    formatter,
                    "{client} . {protocol} . {id} timeout {timeout_ms}ms expires {expires_ms}ms \
                     : {address} . {port}"
                )
            }
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
