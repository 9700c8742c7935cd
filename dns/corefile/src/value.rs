//! The values that options take, each checked when it is made.

mod address;
mod dns;
mod pattern;
mod reach;
mod replacement;
mod time;
mod zone;

pub use address::{ListenAddress, ListenHost};
pub use pattern::Pattern;
pub use reach::Reach;
pub use replacement::Replacement;
pub use time::Ttl;
pub use zone::Zone;

pub(crate) use address::{host_and_port, network};
pub(crate) use dns::{class, rcode, rcode_name, record_type};
pub(crate) use pattern::pattern;
pub(crate) use time::{duration, duration_or_seconds, shown};

/// Why a word is not the value it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Goes on from the word: `is no whole number`.
    pub(crate) problem: String,
    /// What is accepted; empty for the form of the line.
    pub(crate) accepted: String,
}

impl Refusal {
    /// A refusal.
    pub(crate) fn new(problem: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self { problem: problem.into(), accepted: accepted.into() }
    }
}
