//! `podway cleanup`: removes what `podway run` leaves in the kernel when it ends.

use std::io::{self, Write};

use podway_proxy_nft::kernel::Kernel;
use podway_proxy_nft::names::TABLE;

use crate::environment::{explain_refusal, require_network_administration};

/// Removes our tables and says which there were.
pub(crate) fn cleanup() -> anyhow::Result<()> {
    require_network_administration("cleanup")?;
    let removed = Kernel::open()
        .and_then(|kernel| kernel.delete_tables())
        .map_err(|error| explain_refusal("cleanup", error))?;
    let mut out = io::stdout().lock();
    for family in &removed {
        writeln!(out, "removed nftables table {family} {TABLE}")?;
    }
    if removed.is_empty() {
        writeln!(out, "nothing of podway's is in the kernel")?;
    }
    Ok(())
}
