//! What the plugins of a Corefile do to questions and replies.
//!
//! Input is the typed configuration of `dns/corefile` and a question or a reply; output is an
//! answer, a changed message, or that the next plugin is to be asked. Contents of files, addresses
//! of clients and random numbers are arguments: nothing here reads, waits or draws. In which order
//! plugins see a query, and what a reply looks like in octets, is for `dns/server`.
//!
//! Plugins that answer give a [`Reply`], or an [`Outcome`] where the next plugin may be asked
//! instead; those that change give their change to a message. The question stays as asked, in its
//! letter case: owner names that are the name asked are spelled as it was.
//!
//! | module | plugin | does |
//! |---|---|---|
//! | [`acl`] | `acl` | decides who may ask what |
//! | [`any`] | `any` | answers questions of type ANY by one short record |
//! | [`chaos`] | `chaos` | answers questions about the server |
//! | [`dns64`] | `dns64` | makes IPv6 addresses of IPv4 addresses |
//! | [`header`] | `header` | changes flags of queries and replies |
//! | [`hosts`] | `hosts` | answers addresses and their names |
//! | [`local`] | `local` | answers names of this machine |
//! | [`load_balance`] | `loadbalance` | orders addresses |
//! | [`minimal`] | `minimal` | leaves out what was not asked |
//! | [`nsid`] | `nsid` | says who answered |
//! | [`rewrite`] | `rewrite` | changes questions, and replies back |
//! | [`template`] | `template` | makes answers of questions |
//! | [`whoami`] | `whoami` | shows a client to itself |
//! | [`zone_file`] | `file` | answers from zone files |
//! | `reply` | | replies before they become messages |
//! | `master`, `presentation` | | records and names in the form of master files |
//! | `address` | | names of addresses |
#![forbid(unsafe_code)]

pub mod acl;
pub mod any;
pub mod chaos;
pub mod dns64;
pub mod header;
pub mod hosts;
pub mod load_balance;
pub mod local;
pub mod minimal;
pub mod nsid;
pub mod rewrite;
pub mod template;
pub mod whoami;
pub mod zone_file;

mod address;
mod master;
mod presentation;
mod reply;
#[cfg(test)]
mod testing;

pub use reply::{Follow, Outcome, Reply};
