//! The texts of resolv.conf and hosts, as a kubelet writes them.

use std::fmt;
use std::fmt::Write as _;

use crate::address::{self, DualStack, Family};
use crate::cluster::DnsConfig;

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolver {
    search: Vec<String>,
    servers: Vec<String>,
    options: Vec<String>,
}

/// The resolver of a pod of `namespace` with the DNS policy `ClusterFirst`.
pub(super) fn cluster_resolver(namespace: &str, domain: &str) -> Resolver {
    Resolver {
        search: vec![
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain.to_owned(),
        ],
        servers: vec![address::service(Family::V4, 10).to_string()],
        options: vec!["ndots:5".to_owned()],
    }
}

/// The resolver of nodes, of pods with the DNS policy `Default`, and of the client outside.
pub(super) fn outer_resolver() -> Resolver {
    Resolver { servers: vec![address::outside().v4.to_string()], ..Resolver::default() }
}

impl Resolver {
    /// Adds what a pod's own configuration says; its options take the place of others.
    pub(super) fn with(mut self, own: &DnsConfig) -> Self {
        self.search.extend_from_slice(&own.searches);
        self.servers.extend_from_slice(&own.nameservers);
        for option in &own.options {
            let name = |text: &String| text.split(':').next() == Some(option.name.as_str());
            self.options.retain(|before| !name(before));
            let value = option.value.as_ref().map(|value| format!(":{value}")).unwrap_or_default();
            self.options.push(format!("{}{value}", option.name));
        }
        self
    }
}

impl fmt::Display for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.search.is_empty() {
            writeln!(f, "search {}", self.search.join(" "))?;
        }
        for server in &self.servers {
            writeln!(f, "nameserver {server}")?;
        }
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
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
    use crate::cluster::DnsOption;

    #[test]
    fn a_pod_searches_its_namespace_first() {
        assert_eq!(
            cluster_resolver("magedu", "magedu.local").to_string(),
            "search magedu.svc.magedu.local svc.magedu.local magedu.local\n\
             nameserver 10.96.0.10\noptions ndots:5\n"
        );
    }

    #[test]
    fn a_pods_own_configuration_comes_behind_and_its_options_win() {
        let option = |name: &str, value: Option<&str>| DnsOption {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let own = DnsConfig {
            nameservers: vec!["192.0.2.1".to_owned()],
            searches: vec!["own.example".to_owned()],
            options: vec![option("ndots", Some("2")), option("edns0", None)],
        };
        assert_eq!(
            cluster_resolver("a", "x").with(&own).to_string(),
            "search a.svc.x svc.x x own.example\nnameserver 10.96.0.10\nnameserver 192.0.2.1\n\
             options ndots:2 edns0\n"
        );
        assert_eq!(
            Resolver::default().with(&own).to_string(),
            "search own.example\nnameserver 192.0.2.1\noptions ndots:2 edns0\n"
        );
    }
}
