//! The network namespaces of this machine, and work inside of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Every network namespace that a process is in, once.
pub(crate) fn all() -> Vec<File> {
    let mut seen = BTreeSet::new();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|entry| {
            let path = entry.path().join("ns/net");
            let inode = fs::metadata(&path).ok()?.ino();
            if seen.insert(inode) { File::open(path).ok() } else { None }
        })
        .collect()
}

/// Does `work` inside of `namespace`.
///
/// A thread may leave its namespace only for good, so each visit has one of its own.
pub(crate) fn visit<T: Send>(
    namespace: &File,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let visit = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    };
    let visited = thread::scope(|scope| scope.spawn(visit).join());
    visited.unwrap_or_else(|_| Err(io::Error::other("the visit broke down")))
}
