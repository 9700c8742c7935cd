//! Flags of `podway events`.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags of `podway events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Tell one connection or datagram of so many, by lot.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(crate) sample: NonZeroU32,
    /// End after so many events; without it when interrupted.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<NonZeroU64>,
    /// How to print an event.
    #[arg(long, short, value_enum, default_value_t = EventOutput::Text)]
    pub(crate) output: EventOutput,
    /// The bpffs where the running podway has pinned its maps, in a folder "podway".
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf")]
    pub(crate) bpffs_root: PathBuf,
    /// Where the running podway serves /debug, which has the names of Services and pods; empty to
    /// print addresses alone.
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "127.0.0.1:10249")]
    pub(crate) metrics_bind_address: String,
}

/// How `podway events` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventOutput {
    /// A line for people.
    Text,
    /// An object on a line, for programs.
    Json,
}
