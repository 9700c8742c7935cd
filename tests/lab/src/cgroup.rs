//! The lab's own cgroups, one for each node: what programs of eBPF are attached to.
//!
//! A node of a real cluster attaches them to the root of its cgroups. Here all nodes share one
//! machine, so each has a folder of its own below one of the lab's, and every process of the node
//! and of its pods runs in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::place::node_name;

/// Prefix of the folders of labs below the root of cgroup v2.
const PREFIX: &str = "podway-lab-";

/// The cgroups of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroups(PathBuf);

impl Cgroups {
    /// Those of the lab `name`, whether they are there or not.
    ///
    /// # Errors
    /// When cgroup v2 is not mounted.
    pub(crate) fn of(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let folder = words.next()?;
            (words.next()? == "cgroup2").then_some(folder)
        });
        let root = root.context("cgroup v2 is not mounted, which eBPF needs")?;
        Ok(Self(Path::new(root).join(format!("{PREFIX}{name}"))))
    }

    /// Makes one for each of `nodes` nodes.
    pub(crate) fn create(&self, nodes: u8) -> Result<()> {
        for number in 1..=nodes {
            let folder = self.0.join(node_name(number));
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        Ok(())
    }

    /// The folder of all of them.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes them once all processes in them have ended; whether they are gone.
    pub(crate) fn remove(&self) -> bool {
        remove_tree(&self.0).is_ok() || !self.0.exists()
    }
}

/// The folder of node `number` below those of its lab.
pub(crate) fn of_node(lab: &Path, number: u8) -> PathBuf {
    lab.join(node_name(number))
}

/// Removes `folder` and what is below; the files in it are the kernel's.
fn remove_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}
