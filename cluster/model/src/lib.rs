//! What Kubernetes says, in our own types.
//!
//! Everything here is plain data: parsed once at the edge (`cluster/watch`), valid by construction,
//! ordered and printable. Nothing knows Kubernetes' wire format, the kernel or the network.
//!
//! | module | owns |
//! |---|---|
//! | [`name`] | names of objects, checked when made |
//! | [`port`] | protocols and port numbers |
//! | [`service`] | Services |
//! | [`label`] | labels that somebody selects by, and selectors |
//! | [`endpoint`] | `EndpointSlice`s and their endpoints |
//! | [`import`] | Services of other clusters |
//! | [`node`] | Nodes and Pods, as far as this node needs them |
//! | [`service_cidr`] | ranges that ClusterIPs are given out of |
//! | [`snapshot`] | one whole, immutable view of the cluster |
//! | [`builder`] | changes in, snapshots out |
//! | [`chain`] | errors with their causes |
//! | [`intern`] | texts that many objects share |
//!
//! With the feature `arbitrary`, the module of that name has strategies for property tests.
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
pub mod builder;
pub mod chain;
pub mod endpoint;
pub mod import;
pub mod intern;
pub mod label;
pub mod name;
pub mod node;
pub mod port;
pub mod service;
pub mod service_cidr;
pub mod snapshot;
