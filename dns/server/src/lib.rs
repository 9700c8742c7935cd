//! Serves the cluster's names over UDP and TCP and forwards what is not ours.
//!
//! Which names exist is decided in `dns/zone`; this crate owns the protocol: messages, transports,
//! truncation, forwarding. Rules: RFC 1035, 2181, 3597, 5452, 6891, 7766, and where Kubernetes's
//! clients depend on more, what CoreDNS does.
//!
//! ```text
//! datagram or stream --> handler --> site: the block of the longest zone
//!                           |          |
//!                           |          +--> direct, respond: only the index and upstreams have a say
//!                           |          +--> chain: every other plugin of the block, in order
//!                           +-- forward: not ours, or an alias that leads outside
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `query`, `wire`, `reply` | pure: reading a query, writing a message, laying out a reply |
//! | [`respond`](mod@respond), `alias` | pure: what to do about a message |
//! | `direct` | pure: the replies to plain questions, without records and allocation |
//! | `forward` | upstreams: tries, fail-over, which replies count, what is kept of them |
//! | [`resolv_conf`] | pure: upstreams from `resolv.conf` |
//! | `listen`, `endpoint`, `mmsg`, `udp`, `frames`, `tcp` | sockets and the loops over them |
//! | `tls` | what clients are shown by TLS |
//! | `clients`, `allowed` | pure: what each client may ask, and who is a client |
//! | `site` | the server blocks of an address, and the one that a name belongs to |
//! | `chain` | the plugins of a block as stages, one after the other |
//! | `blueprint` | from a Corefile to server blocks at work; what is not served |
//! | `keeper` | files of plugins, followed |
//! | `observe` | the lines of `log` and `errors` |
//! | `handler`, `server`, `control` | what ties them together; what changes while it runs |
//! | [`metrics`] | counters under CoreDNS's names |
//!
//! The listeners of hickory-server are not used (0.26.3 was read): its UDP loop replies with
//! whatever source address the kernel picks, its TCP loop answers one query after the other and
//! drops connections at the stop, a handler there can only give records, so that a forwarded reply
//! would have to be decoded and encoded anew, and it logs two lines per query at INFO. hickory-proto
//! reads names and rare record types here.
#![deny(unsafe_code)]

mod alias;
mod allowed;
mod blueprint;
mod chain;
mod clients;
mod config;
mod control;
mod direct;
mod endpoint;
mod forward;
mod frames;
mod handler;
mod keeper;
mod listen;
pub mod metrics;
mod mmsg;
mod observe;
mod query;
mod reply;
pub mod resolv_conf;
pub mod respond;
mod server;
mod site;
mod tcp;
mod tls;
mod udp;
mod wire;

pub use allowed::Allowed;
pub use blueprint::{Blueprint, Ground, NotServed};
pub use config::{ClientLimits, ServerConfig, StreamLimits};
pub use control::{Control, Listening};
pub use forward::config::{
    AllUnhealthy, ForwardConfig, ForwardLimits, HealthCheck, Keep, LoopDetection, MixedCase,
    NextOn, Protocol, Selection, ShownTtl, StreamReuse, Target, TlsIdentity, TlsTrust, Upstream,
    UpstreamError,
};
pub use forward::{Follow, TlsError};
pub use listen::ListenError;
pub use metrics::Metrics;
pub use podway_dns_cache::{CachePolicy, Preference, Prefetch, ServeStale, TtlRange};
pub use query::{Query, QueryOpt, Question};
pub use reply::Policy;
pub use respond::{Outcome, Transport, respond};
pub use server::{BindError, ListenErrors, Server};
pub use tls::{ClientCertificates, TlsListen};
