//! Flags of `podway snapshot`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ApiArgs, ClusterArgs, PlanArgs};

/// What to do with a view of a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Write the view of the API server, or of manifests, to a file.
    Save(Box<SaveArgs>),
    /// Print what is in a file.
    Show {
        /// The file.
        file: PathBuf,
    },
    /// Print what would be programmed for the view in a file.
    Replay(Box<ReplayArgs>),
}

/// Flags of `podway snapshot save`.
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// The file to write.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// Flags of `podway snapshot replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The file to read.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
}
