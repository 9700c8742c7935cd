//! The texts of resolv.conf and hosts, as a kubelet writes them.

use std::fmt::Write as _;

use crate::address::{self, DualStack, Family};

/// resolv.conf of a pod of `namespace` with the DNS policy `ClusterFirst`.
pub(super) fn cluster_resolv_conf(namespace: &str, domain: &str) -> String {
    let server = address::service(Family::V4, 10);
    format!(
        "search {namespace}.svc.{domain} svc.{domain} {domain}\nnameserver {server}\n\
         options ndots:5\n"
    )
}

/// resolv.conf of nodes, of pods with the DNS policy `Default`, and of the client outside.
pub(super) fn outer_resolv_conf() -> String {
    format!("nameserver {}\n", address::outside().v4)
}

/// hosts of the place `name`; a pod's own name leads to its own addresses.
pub(super) fn hosts(name: &str, addresses: Option<DualStack>) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    for family in [Family::V4, Family::V6] {
        if let Some(addresses) = addresses {
            // Writing to a string cannot fail.
            writeln!(text, "{}\t{name}", addresses.of(family)).unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_searches_its_namespace_first() {
        assert_eq!(
            cluster_resolv_conf("magedu", "magedu.local"),
            "search magedu.svc.magedu.local svc.magedu.local magedu.local\n\
             nameserver 10.96.0.10\noptions ndots:5\n"
        );
    }
}
