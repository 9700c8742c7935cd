//! The committed eBPF object was made from the sources that are there.

use std::path::Path;

use anyhow::Result;

use super::Outcome;
use crate::ebpf::record;

/// Compares sources and object with what was recorded when the object was made.
pub(super) fn check(root: &Path) -> Result<Outcome> {
    Ok(match record::difference(root)? {
        None => Outcome::Passed,
        Some(what) => Outcome::Failed(format!(
            "ebpf/prog: {what} changed since the object was made: run cargo xtask ebpf and commit"
        )),
    })
}
