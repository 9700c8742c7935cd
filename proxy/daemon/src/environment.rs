//! The one place where the surroundings of the process are read.

use std::io;
use std::net::IpAddr;

use anyhow::Context;
use podway_dns_server::resolv_conf;

/// Where the resolver's configuration stands, resolv.conf(5).
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where the kernel tells the host name of this UTS namespace, proc_sys_kernel(5).
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Where the kernel tells this process's capabilities, proc_pid_status(5).
const STATUS: &str = "/proc/self/status";

/// Variable by which the kubelet tells every pod where the API server is.
const API_SERVER_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Bit of CAP_NET_ADMIN, `linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;

/// What defaults of flags are taken from.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The host name.
    pub(crate) host_name: io::Result<String>,
    /// Addresses on this network namespace's interfaces.
    pub(crate) interfaces: Vec<IpAddr>,
    /// The search list of /etc/resolv.conf; empty where that cannot be read.
    pub(crate) search: Vec<String>,
    /// Where we run.
    pub(crate) surroundings: Surroundings,
}

/// Where we run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// In a pod: its variables say where the API server is.
    Pod,
    /// Elsewhere.
    Host,
}

impl Environment {
    /// Reads everything once.
    pub(crate) fn read() -> anyhow::Result<Self> {
        Ok(Self {
            host_name: std::fs::read_to_string(HOST_NAME),
            interfaces: interface_addresses().context("addresses of the interfaces")?,
            surroundings: match std::env::var_os(API_SERVER_HOST) {
                Some(_) => Surroundings::Pod,
                None => Surroundings::Host,
            },
            search: std::fs::read_to_string(RESOLV_CONF)
                .map(|text| {
                    resolv_conf::search_list(&text).into_iter().map(str::to_owned).collect()
                })
                .unwrap_or_default(),
        })
    }
}

/// The addresses on the interfaces of this network namespace, each once, in the order of the
/// interfaces.
///
/// Link-local ones are left out: nobody reaches a node by them, and they come and go with each pod.
pub(crate) fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for (_, address) in interfaces()? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// The same with the names of their interfaces.
pub(crate) fn interfaces() -> io::Result<Vec<(String, IpAddr)>> {
    let mut interfaces = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let Some(address) = interface.address else { continue };
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = || address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        if let Some(address) = v4.or_else(v6).filter(|address| !is_link_local(*address)) {
            interfaces.push((interface.interface_name, address));
        }
    }
    Ok(interfaces)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Fails, with the ways out, unless this process may program some network.
pub(crate) fn require_network_administration(command: &str) -> anyhow::Result<()> {
    let status = std::fs::read_to_string(STATUS).context(STATUS)?;
    anyhow::ensure!(has_capability(&status, CAP_NET_ADMIN), privileges(command));
    Ok(())
}

/// Adds the ways out where the kernel refused for want of privileges: the capability counts only
/// for the network namespaces of one's own user namespace.
pub(crate) fn explain_refusal(command: &str, error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let refused = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::PermissionDenied);
    if refused { error.context(privileges(command)) } else { error }
}

fn privileges(command: &str) -> String {
    format!(
        "{command} needs CAP_NET_ADMIN to program nftables: run it with sudo, or for a try in a \
         network namespace of your own: unshare -rn podway {command} ..."
    )
}

/// Whether the effective set in `status` has the capability.
fn has_capability(status: &str, capability: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & (1 << capability) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_set_decides() {
        let status = "Name:\tpodway\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\n";
        assert!(has_capability(status, CAP_NET_ADMIN));
        assert!(!has_capability(status, CAP_NET_ADMIN + 1));
        assert!(!has_capability("CapPrm:\t0000000000001000\n", CAP_NET_ADMIN));
    }
}
