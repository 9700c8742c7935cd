//! The plugins of CoreDNS in the order in which it runs them, and those it had once.

use super::Plugin;

/// Every directive of CoreDNS 1.14, in the order of execution (its `plugin.cfg`).
const ORDER: &[&str] = &[
    "root",
    "metadata",
    "geoip",
    "cancel",
    "proxyproto",
    "quic",
    "grpc_server",
    "https",
    "https3",
    "timeouts",
    "multisocket",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "shed",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "rewrite",
    "autopath",
    "acl",
    "cache",
    "header",
    "dnssec",
    "tls",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
];

/// Directives that CoreDNS has no more, and what does their work now.
const REMOVED: &[(&str, &str)] =
    &[("federation", "no federation"), ("proxy", "forward FROM TO...")];

/// What a word at the place of a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// A plugin of ours.
    Supported,
    /// A plugin of CoreDNS alone.
    CoreDnsOnly,
    /// Once a plugin; this does its work now.
    Removed(&'static str),
    /// Nothing known.
    Unknown,
}

/// Says what `name` is.
pub(crate) fn known(name: &str) -> Known {
    if Plugin::NAMES.contains(&name) {
        Known::Supported
    } else if ORDER.contains(&name) {
        Known::CoreDnsOnly
    } else if let Some((_, instead)) = REMOVED.iter().find(|(removed, _)| *removed == name) {
        Known::Removed(instead)
    } else {
        Known::Unknown
    }
}

/// The place of a plugin in the order of execution.
pub(crate) fn position(name: &str) -> usize {
    ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_plugins_is_in_the_order_of_execution() {
        let positions: Vec<usize> = Plugin::NAMES.iter().map(|name| position(name)).collect();
        assert!(positions.is_sorted(), "{positions:?}");
        assert!(positions.iter().all(|position| *position < ORDER.len()));
    }
}
