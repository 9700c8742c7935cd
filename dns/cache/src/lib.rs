//! Answers of upstreams, kept no longer than they may be and in no more memory than is allowed.
//!
//! A reply is read once into a [`Response`], a form of its own: the question's name in small
//! letters, every name compressed, OPT and what belongs to the upstream's hop left out, times to
//! live clamped. Writing it for a client is a copy and a few patches. Nothing here knows sockets,
//! clocks or upstreams; the caller passes the time. Rules: RFC 1035, 2181 §8, 2308 §5, 3597 §4,
//! 4035 §3.2.1, 8767, 9520.
//!
//! | module | owns |
//! |---|---|
//! | [`key`] | what tells two questions apart |
//! | `name`, `layout` | names in messages, and where they stand in records |
//! | `records` | the records of a reply, one by one |
//! | `compose` | laying records out anew |
//! | [`response`] | a reply as it is kept, and how long it may be |
//! | `render` | a reply as a client gets it |
//! | [`store`] | what is kept, what goes first, what is stale or due for renewal |
//! | [`policy`] | what the operator chose |
#![forbid(unsafe_code)]

pub mod key;
pub mod policy;
pub mod response;
pub mod store;

mod compose;
mod layout;
mod name;
mod records;
mod render;
#[cfg(test)]
mod tests;

pub use key::{Key, KeyFlags};
pub use policy::{CachePolicy, Preference, Prefetch, ServeStale, TtlRange};
pub use render::{OptOut, Request, Ttls};
pub use response::{Kind, ReadError, Response};
pub use store::{Lookup, Moment, Removed, Store};
