//! `podway cleanup`: removes what `podway run` leaves in the kernel when it ends.

use std::io::{self, Write};

use podway_proxy_nft::kernel::Kernel;
use podway_proxy_nft::names::TABLE;

use crate::args::CleanupArgs;
use crate::environment::{explain_refusal, require_network_administration};
use crate::node_local::addresses::Addresses;
use crate::sockets;

/// Removes our eBPF programs, maps, tables and local routes and says which there were.
pub(crate) fn cleanup(args: &CleanupArgs) -> anyhow::Result<()> {
    require_network_administration("cleanup")?;
    let pins = sockets::remove(args.bpffs_root.as_deref())?;
    let removed = Kernel::open()
        .and_then(|kernel| kernel.delete_tables())
        .map_err(|error| explain_refusal("cleanup", error))?;
    let mut out = io::stdout().lock();
    if let Some(pins) = &pins {
        writeln!(out, "removed eBPF programs and maps below {}", pins.display())?;
    }
    for family in &removed {
        writeln!(out, "removed nftables table {family} {TABLE}")?;
    }
    let addresses = Addresses::open().map_err(|error| explain_refusal("cleanup", error))?;
    let ours = addresses.ours()?;
    for address in &ours {
        addresses.remove(*address).map_err(|error| explain_refusal("cleanup", error))?;
        writeln!(out, "removed local route to {address}")?;
    }
    if removed.is_empty() && ours.is_empty() && pins.is_none() {
        writeln!(out, "nothing of podway's is in the kernel")?;
    }
    Ok(())
}
