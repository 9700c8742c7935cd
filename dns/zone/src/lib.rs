//! The names of the cluster zone and what each of them answers.
//!
//! Input is a [`Snapshot`](podway_cluster_model::snapshot::Snapshot) and what changed in it; output
//! is a [`ZoneIndex`], and of that and a question an [`Answer`]. Nothing here knows sockets,
//! messages or time. Rules: Kubernetes DNS-Based Service Discovery 1.1.0, and where that is silent
//! what CoreDNS does, except where RFC 1034, RFC 4592 or RFC 8020 say otherwise.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | which zones, which names in them, how long they live |
//! | `zones` | forward and reverse zones |
//! | [`index`] | the immutable index and its update from a delta |
//! | [`mod@answer`] | name and type in, answer out |
//! | [`mod@direct`] | the same answer, borrowed from the index |
//! | `service` | what one Service contributes, precomputed |
//! | `imports` | what one Service of other clusters contributes |
//! | `table` | the map from names to Services |
//! | `endpoints` | its ready endpoints and what they are called |
//! | `qname` | the name asked, and the grammar of names |
//! | `locate` | whether a name exists, and what stands there |
//! | `dashed` | addresses as labels |
//! | `reverse` | names of addresses: `in-addr.arpa` and `ip6.arpa` |
//! | `pointers` | which Services an address belongs to |
//! | `ports` | ports as names below a Service have them |
//! | `pods` | addresses of pods: for the verified mode, and to tell who asks |
//! | [`search`] | the search path of a pod, walked for it |
//! | `records` | resource records and their times to live |
//! | `dump` | the whole zone as text |
#![forbid(unsafe_code)]

pub mod answer;
pub mod config;
pub mod direct;
pub mod index;

mod dashed;
mod dump;
mod endpoints;
#[cfg(test)]
mod fixture;
mod imports;
mod locate;
mod pods;
mod pointers;
mod ports;
mod qname;
mod records;
mod reverse;
pub mod search;
mod service;
mod table;
mod zones;

pub use answer::{Answer, answer};
pub use config::{
    ConfigError, EmptyServices, EndpointUse, Exposure, PodMode, PodNames, ServiceRules, Ttl,
    ZonalNames, ZoneConfig,
};
// Names of the configuration are made by its readers.
pub use direct::{AskedName, Direct, Found, direct};
pub use hickory_proto::rr::Name;
pub use index::ZoneIndex;
pub use records::{HOSTMASTER_LABEL, NAMESERVER_LABELS, SoaNumbers};
pub use search::{SearchPaths, Step, Walk};
pub use zones::{MissingPointer, ReverseZone};
