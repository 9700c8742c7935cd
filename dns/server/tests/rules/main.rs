//! The rules of cluster DNS, over real sockets: what is asked, and the whole message that comes back.
//!
//! Rows are `name type` and `RCODE / answer / authority / additional`, with `D` for
//! `default.svc.cluster.local.` and `SOA` for the record of the zone. Every row is asked by UDP with and
//! without EDNS, and by TCP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod cluster;
mod messages;
mod records;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod talk;
