//! The network namespaces of this machine, and work inside of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::thread;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tracing::debug;

use crate::syscall;

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

/// Cookie and addresses, but for loopback's, of every network namespace that a process is in.
pub(crate) fn addresses() -> BTreeMap<u64, BTreeSet<IpAddr>> {
    let look = |namespace: File| {
        visit(&namespace, || Ok((syscall::netns_cookie()?, addresses_here()?)))
            .inspect_err(|error| debug!(%error, "a network namespace cannot be seen"))
            .ok()
    };
    all().into_iter().filter_map(look).collect()
}

/// Addresses of the interfaces in the network namespace of the calling thread.
fn addresses_here() -> io::Result<BTreeSet<IpAddr>> {
    let addresses = getifaddrs()?.filter_map(|interface| {
        let address: SockaddrStorage = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    });
    Ok(addresses.filter(|address| !address.is_loopback()).collect())
}
