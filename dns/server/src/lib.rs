//! Serves the cluster's names over UDP and TCP and forwards what is not ours.
//!
//! Which names exist is decided in `dns/zone`; this crate owns the protocol: messages, transports,
//! truncation, forwarding. Rules: RFC 1035, 2181, 3597, 5452, 6891, 7766, and where Kubernetes's
//! clients depend on more, what CoreDNS does.
//!
//! ```text
//! datagram or stream --> handler --> respond (pure) --> reply
//!                           |            |
//!                           +-- forward <+ not ours, or an alias that leads outside
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
//! | `clients` | pure: what each client may ask |
//! | `handler`, `server` | what ties them together |
//! | [`metrics`] | counters under CoreDNS's names |
//!
//! The listeners of hickory-server are not used (0.26.3 was read): its UDP loop replies with
//! whatever source address the kernel picks, its TCP loop answers one query after the other and
//! drops connections at the stop, a handler there can only give records, so that a forwarded reply
//! would have to be decoded and encoded anew, and it logs two lines per query at INFO. hickory-proto
//! reads names and rare record types here.
#![deny(unsafe_code)]

mod alias;
mod clients;
mod config;
mod direct;
mod endpoint;
mod forward;
mod frames;
mod handler;
mod listen;
pub mod metrics;
mod mmsg;
mod query;
mod reply;
pub mod resolv_conf;
pub mod respond;
mod server;
mod tcp;
mod udp;
mod wire;

pub use config::{ClientLimits, ServerConfig, StreamLimits};
pub use forward::TlsError;
pub use forward::config::{
    AllUnhealthy, ForwardConfig, ForwardLimits, HealthCheck, MixedCase, Protocol, Selection,
    StreamReuse, Target, TlsIdentity, TlsTrust, Upstream, UpstreamError,
};
pub use listen::ListenError;
pub use metrics::Metrics;
pub use podway_dns_cache::{CachePolicy, Prefetch, ServeStale, TtlRange};
pub use query::{Query, QueryOpt, Question};
pub use reply::Policy;
pub use respond::{Outcome, Transport, respond};
pub use server::{BindError, ListenErrors, Server};
