//! The Corefile of a daemon that is given none: what kubeadm's does, at the addresses of the flags.
//!
//! Health, readiness and metrics are at the daemon's own addresses, so their plugins are not there;
//! what is kept of the answers of others also bridges a time without upstreams (RFC 8767).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

/// Whether search paths of pods are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Autopath {
    /// They are not.
    Off,
    /// They are; this needs to know the pods.
    On,
}

/// The Corefile for a cluster with the domain `domain`.
///
/// Names outside are asked of `upstreams`, or where there are none of the servers of `resolv_conf`.
pub(crate) fn built_in(
    domain: &str,
    listen: &[SocketAddr],
    (upstreams, resolv_conf): (&[SocketAddr], &str),
    autopath: Autopath,
) -> String {
    let (autopath, pods) = match autopath {
        Autopath::Off => ("", "insecure"),
        Autopath::On => ("    autopath @kubernetes\n", "verified"),
    };
    let mut by_port = BTreeMap::<u16, Vec<String>>::new();
    for address in listen {
        by_port.entry(address.port()).or_default().push(address.ip().to_string());
    }
    let to = match upstreams {
        [] => resolv_conf.to_owned(),
        upstreams => upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let mut text = String::new();
    for (port, addresses) in by_port {
        let bind = addresses.join(" ");
        let block = format_args!(
            ".:{port} {{
    bind {bind}
    errors
{autopath}    kubernetes {domain} in-addr.arpa ip6.arpa {{
        pods {pods}
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    forward . {to} {{
        max_concurrent 1000
    }}
    cache 30 {{
        serve_stale 1h verify 1800ms 30s
        prefetch 10 1m 10%
    }}
    loop
    reload
    loadbalance
}}
"
        );
        // Writing to a string cannot fail.
        text.write_fmt(block).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use podway_dns_corefile::{Lenience, MemorySources, read};

    use super::*;

    #[test]
    fn built_in_corefile_has_no_mistake_and_says_what_kubeadms_says() {
        let listen =
            ["127.0.0.1:53", "[::1]:53", "192.0.2.1:1053"].map(|text| text.parse().unwrap());
        let text = built_in("cluster.local", &listen, (&[], "/etc/resolv.conf"), Autopath::Off);
        let sources = MemorySources::default();
        let reading = read("built-in", text.as_bytes(), &sources, Lenience::Strict).unwrap();
        assert_eq!(reading.warnings, []);
        let meaning = reading.config.to_string();
        for line in [
            "server dns://.:53",
            "  kubernetes: names of the cluster in cluster.local, in-addr.arpa, ip6.arpa are \
             answered for 30 s",
            "  kubernetes: any address in a namespace has the name of a pod",
            "  kubernetes: names that do not exist fall through in in-addr.arpa, ip6.arpa",
            "  forward: names in . are asked of the servers in /etc/resolv.conf, in random order",
            "server dns://.:1053",
        ] {
            assert!(meaning.lines().any(|found| found == line), "no {line:?} in\n{meaning}");
        }
    }
}
