//! The second back end: the plan as map entries, and the edge that loads, attaches, pins and writes.
//!
//! ```text
//! plan delta --> entries --> Batch --> maps        detect --> load --> pinned maps and links
//!                 PURE               EDGE            EDGE      EDGE
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`carry`] | pure: which back end carries a frontend |
//! | [`entries`] | pure: what is in the maps, and what to write when plans change |
//! | `wanted`, `ranges`, `indices`, [`found`] | pure: parts of that |
//! | [`backend`] | edge: keeps the maps at the newest plan, looks after them |
//! | [`detect`], [`trial`] | edge: whether eBPF can be used, tried out on real sockets |
//! | [`load`] | edge: programs, links and pins |
//! | [`maps`], `shared` | edge: the maps, written and read |
//! | [`events`], `sampler` | edge: decisions about single sockets, told while somebody listens |
//! | [`opt_out`] | edge: pods whose sockets are left alone |
//! | `netns` | edge: network namespaces, and work inside of them |
//! | `destroy` | edge: sockets of endpoints that are gone |
//! | `diag` | pure: messages about sockets |
//! | `syscall` | edge: calls that the libraries lack |

pub mod backend;
pub mod carry;
mod destroy;
pub mod detect;
mod diag;
pub mod entries;
pub mod events;
pub mod found;
mod indices;
pub mod load;
pub mod maps;
mod netns;
pub mod opt_out;
mod ranges;
mod sampler;
mod shared;
mod syscall;
pub mod trial;
mod wanted;

pub use wanted::{PoolName, address};
