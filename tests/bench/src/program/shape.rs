//! What kube-proxy's nftables mode would write for a cluster, as text for `nft -f`.
//!
//! Chains, rules, sets and the form of the transaction are those that kube-proxy sends to `nft`:
//! one command a line, each chain added and flushed before its rules come. Two shapes are known,
//! because the difference matters: up to 1.35 every endpoint has a chain of its own, since 1.36 a
//! Service has one rule with an anonymous map of its endpoints (kubernetes/kubernetes#136499). Only
//! what this cluster needs is written: ClusterIPs over TCP on IPv4, no endpoint on this node.

use std::io::{self, Write};

use clap::ValueEnum;
use data_encoding::BASE32;
use podway_tests_synthetic::{Cluster, NAMESPACE, SERVICE_PORT, TARGET_PORT, cluster_ip, pod_ip};
use sha2::{Digest, Sha256};

/// The table, as `nft` commands name it.
const TABLE: &str = "ip kube-proxy";

/// Length of the hash in a chain's name.
const HASH_CHARACTERS: usize = 8;

/// Sets and maps that both shapes have.
const SETS: &[&str] = &[
    "set ip kube-proxy cluster-ips { type ipv4_addr ; comment \"Active ClusterIPs\" ; }",
    "set ip kube-proxy nodeport-ips { type ipv4_addr ; comment \"IPs that accept NodePort traffic\" ; }",
    "map ip kube-proxy firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict ; comment \"destinations that are subject to LoadBalancerSourceRanges\" ; }",
    "map ip kube-proxy no-endpoint-nodeports { type inet_proto . inet_service : verdict ; comment \"vmap to drop or reject packets to service nodeports with no endpoints\" ; }",
    "map ip kube-proxy no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict ; comment \"vmap to drop or reject packets to services with no endpoints\" ; }",
    "map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; comment \"ClusterIP, ExternalIP and LoadBalancer IP traffic\" ; }",
    "map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict ; comment \"NodePort traffic\" ; }",
];

/// Chains that both shapes have, with their hooks and comments.
const CHAINS: &[(&str, &str)] = &[
    ("filter-prerouting-pre-dnat", " { type filter hook prerouting priority -110 ; }"),
    ("filter-output-pre-dnat", " { type filter hook output priority -110 ; }"),
    ("filter-input", " { type filter hook input priority 0 ; }"),
    ("filter-forward", " { type filter hook forward priority 0 ; }"),
    ("filter-output", " { type filter hook output priority 0 ; }"),
    ("nat-prerouting", " { type nat hook prerouting priority -100 ; }"),
    ("nat-output", " { type nat hook output priority -100 ; }"),
    ("nat-postrouting", " { type nat hook postrouting priority 100 ; }"),
    ("cluster-ips-check", ""),
    ("firewall-check", ""),
    ("masquerading", ""),
    ("nodeport-endpoints-check", ""),
    ("service-endpoints-check", ""),
    ("services", ""),
    (
        "reject-chain",
        " { comment \"helper for @no-endpoint-services / @no-endpoint-nodeports\" ; }",
    ),
];

/// Rules that both shapes have.
const RULES: &[&str] = &[
    "filter-prerouting-pre-dnat ct state new jump firewall-check",
    "filter-output-pre-dnat ct state new jump firewall-check",
    "filter-input ct state new jump nodeport-endpoints-check",
    "filter-input ct state new jump service-endpoints-check",
    "filter-forward ct state new jump service-endpoints-check",
    "filter-forward ct state new jump cluster-ips-check",
    "filter-output ct state new jump service-endpoints-check",
    "filter-output ct state new jump cluster-ips-check",
    "nat-prerouting jump services",
    "nat-output jump services",
    "nat-postrouting jump masquerading",
    "cluster-ips-check ip daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\"",
    "cluster-ips-check ip daddr { 10.96.0.0/12 } drop comment \"Drop traffic to unallocated ClusterIPs\"",
    "firewall-check ip daddr . meta l4proto . th dport vmap @firewall-ips",
    "nodeport-endpoints-check ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports",
    "reject-chain reject",
    "service-endpoints-check ip daddr . meta l4proto . th dport vmap @no-endpoint-services",
];

/// The rules of `services` behind what is said of masquerading, in both shapes.
const DISPATCH: &[&str] = &[
    "services ip daddr . meta l4proto . th dport vmap @service-ips",
    "services ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
];

/// A release of kube-proxy that changed the shape of its ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Release {
    /// 1.36 and 1.37: a chain for each Service, its endpoints in an anonymous map.
    #[value(name = "1.37")]
    V1_37,
    /// Up to 1.35: a chain for each Service and one for each endpoint.
    #[value(name = "1.35")]
    V1_35,
}

impl Release {
    /// Which releases have the shape.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V1_37 => "1.36/1.37",
            Self::V1_35 => "1.33-1.35",
        }
    }

    /// What the shape is.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::V1_37 => {
                "a chain per Service whose one rule draws from an anonymous map of endpoints"
            }
            Self::V1_35 => "a chain per Service, which draws one of the chains per endpoint",
        }
    }
}

/// The ruleset of a cluster in the shape of a release.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ruleset {
    pub(crate) cluster: Cluster,
    pub(crate) release: Release,
    /// Where pods have their addresses (`--cluster-cidr`): others are masqueraded.
    pub(crate) pods: &'static str,
}

impl Ruleset {
    /// Writes the first transaction of a process: everything, from nothing.
    pub(crate) fn write_everything(self, out: &mut impl Write) -> io::Result<()> {
        self.write_base(out)?;
        for service in 0..self.cluster.services {
            self.write_service(out, service, 0)?;
        }
        for service in 0..self.cluster.services {
            let (address, chain) = (cluster_ip(service), service_chain(service));
            writeln!(out, "add element {TABLE} cluster-ips {{ {address} }}")?;
            writeln!(
                out,
                "add element {TABLE} service-ips {{ {address} . tcp . {SERVICE_PORT} : goto {chain} }}"
            )?;
        }
        Ok(())
    }

    /// Writes the transaction of a partial sync: the first endpoint of `service` went from one
    /// `incarnation` to the next.
    pub(crate) fn write_change(
        self,
        out: &mut impl Write,
        service: u32,
        incarnation: u32,
    ) -> io::Result<()> {
        self.write_service(out, service, incarnation + 1)?;
        match self.release {
            Release::V1_37 => Ok(()),
            // Its chain is deleted in another transaction, a second later at the earliest.
            Release::V1_35 => {
                let gone = endpoint_chain(service, &self.endpoint(service, 0, incarnation));
                writeln!(out, "flush chain {TABLE} {gone}")
            }
        }
    }

    fn write_base(self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "add table {TABLE} {{ comment \"rules for kube-proxy\" ; }}")?;
        for (chain, properties) in CHAINS {
            writeln!(out, "add chain {TABLE} {chain}{properties}\nflush chain {TABLE} {chain}")?;
        }
        for set in SETS {
            writeln!(out, "add {set}")?;
        }
        // Of a documentation range: the node here has no address, and needs none.
        writeln!(out, "add element {TABLE} nodeport-ips {{ 192.0.2.1 }}")?;
        let mut rule = |rule: &str| writeln!(out, "add rule {TABLE} {rule}");
        RULES.iter().try_for_each(|text| rule(text))?;
        match self.release {
            Release::V1_37 => {
                rule(&format!(
                    "services ip daddr @cluster-ips ip saddr != {} mark set mark or 0x4000 comment \"masquerade clusterIP traffic from outside cluster\"",
                    self.pods
                ))?;
                rule(
                    "masquerading mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random",
                )?;
                writeln!(
                    out,
                    "add set {TABLE} hairpin-connections {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service ; comment \"service hairpin connections\" ; }}\n\
                     add rule {TABLE} masquerading ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random"
                )?;
            }
            Release::V1_35 => {
                rule("masquerading mark and 0x4000 == 0 return")?;
                rule("masquerading mark set mark xor 0x4000")?;
                rule("masquerading masquerade fully-random")?;
                writeln!(
                    out,
                    "add chain {TABLE} mark-for-masquerade\n\
                     add rule {TABLE} mark-for-masquerade mark set mark or 0x4000"
                )?;
            }
        }
        DISPATCH.iter().try_for_each(|text| writeln!(out, "add rule {TABLE} {text}"))
    }

    /// Writes the chains of a Service whose first endpoint is the given incarnation of it.
    fn write_service(self, out: &mut impl Write, service: u32, incarnation: u32) -> io::Result<()> {
        let endpoints: Vec<String> = (0..self.cluster.endpoints)
            .map(|endpoint| self.endpoint(service, endpoint, incarnation))
            .collect();
        let chain = service_chain(service);
        writeln!(out, "add chain {TABLE} {chain}\nflush chain {TABLE} {chain}")?;
        match (self.release, endpoints.as_slice()) {
            (Release::V1_37, [only]) => {
                writeln!(
                    out,
                    "add rule {TABLE} {chain} meta l4proto tcp dnat ip to {only}:{TARGET_PORT}"
                )
            }
            (Release::V1_37, endpoints) => {
                let map = numbered(endpoints, |address| format!("{address} . {TARGET_PORT}"));
                writeln!(
                    out,
                    "add rule {TABLE} {chain} meta l4proto tcp dnat ip to numgen random mod {} map {{ {map} }}",
                    endpoints.len()
                )
            }
            (Release::V1_35, endpoints) => {
                write_endpoint_chains(out, service, endpoints)?;
                writeln!(
                    out,
                    "add rule {TABLE} {chain} ip daddr {} ip saddr != {} jump mark-for-masquerade",
                    cluster_ip(service),
                    self.pods
                )?;
                let map = numbered(endpoints, |address| {
                    format!("goto {}", endpoint_chain(service, address))
                });
                writeln!(
                    out,
                    "add rule {TABLE} {chain} numgen random mod {} vmap {{ {map} }}",
                    endpoints.len()
                )
            }
        }
    }

    fn endpoint(self, service: u32, endpoint: u32, incarnation: u32) -> String {
        pod_ip(service, endpoint, if endpoint == 0 { incarnation } else { 0 }).to_string()
    }
}

fn write_endpoint_chains(
    out: &mut impl Write,
    service: u32,
    endpoints: &[String],
) -> io::Result<()> {
    for address in endpoints {
        let chain = endpoint_chain(service, address);
        writeln!(
            out,
            "add chain {TABLE} {chain}\nflush chain {TABLE} {chain}\n\
             add rule {TABLE} {chain} ip saddr {address} jump mark-for-masquerade\n\
             add rule {TABLE} {chain} meta l4proto tcp dnat to {address}:{TARGET_PORT}"
        )?;
    }
    Ok(())
}

/// `0 : first , 1 : second …`
fn numbered(endpoints: &[String], value: impl Fn(&str) -> String) -> String {
    let elements = endpoints.iter().enumerate();
    elements
        .map(|(number, endpoint)| format!("{number} : {}", value(endpoint)))
        .collect::<Vec<_>>()
        .join(" , ")
}

fn service_chain(service: u32) -> String {
    hashed("service", &service_port(service))
}

fn endpoint_chain(service: u32, address: &str) -> String {
    hashed("endpoint", &format!("{}__{address}/{TARGET_PORT}", service_port(service)))
}

fn service_port(service: u32) -> String {
    format!("{NAMESPACE}/s{service}/tcp/http")
}

/// `kind`, the hash of `name`, and `name`: how kube-proxy names the chains of Services.
fn hashed(kind: &str, name: &str) -> String {
    let hash = BASE32.encode(&Sha256::digest(name.as_bytes()));
    let hash = hash.get(..HASH_CHARACTERS).unwrap_or(&hash);
    format!("{kind}-{hash}-{name}")
}

#[cfg(test)]
mod tests {
    use podway_tests_synthetic::POD_CIDR;

    use super::*;

    fn text(release: Release, write: impl Fn(Ruleset, &mut Vec<u8>) -> io::Result<()>) -> String {
        let cluster = Cluster { services: 2, endpoints: 2 };
        let mut text = Vec::new();
        write(Ruleset { cluster, release, pods: POD_CIDR }, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn chains_are_named_as_kube_proxy_names_them() {
        let rows = [
            ("service", "ns1/svc1/tcp/p80", "service-ULMVA6XW-ns1/svc1/tcp/p80"),
            (
                "service",
                "kproxy-lab/backend-api/tcp/http",
                "service-YVSKLJHA-kproxy-lab/backend-api/tcp/http",
            ),
            (
                "endpoint",
                "ns1/svc1/tcp/p80__10.180.0.1/80",
                "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80",
            ),
        ];
        for (kind, name, chain) in rows {
            assert_eq!(hashed(kind, name), chain);
        }
    }

    #[test]
    fn newer_shape_has_one_rule_for_each_service() {
        let text = text(Release::V1_37, |ruleset, out| ruleset.write_everything(out));
        assert_eq!(text.matches("add chain ip kube-proxy service-").count(), 3);
        assert!(!text.contains("chain ip kube-proxy endpoint-"));
        assert!(text.contains(
            "meta l4proto tcp dnat ip to numgen random mod 2 map \
             { 0 : 11.0.0.1 . 8080 , 1 : 11.0.0.2 . 8080 }"
        ));
    }

    #[test]
    fn older_shape_has_a_chain_for_each_endpoint() {
        let text = text(Release::V1_35, |ruleset, out| ruleset.write_everything(out));
        assert_eq!(text.matches("add chain ip kube-proxy endpoint-").count(), 4);
        assert_eq!(text.matches(" vmap { 0 : goto endpoint-").count(), 2);
    }

    #[test]
    fn change_touches_the_chains_of_one_service() {
        for release in Release::value_variants() {
            let text = text(*release, |ruleset, out| ruleset.write_change(out, 1, 0));
            assert!(text.contains("/s1/") && !text.contains("/s0/"), "{text}");
            let moved = pod_ip(1, 0, 1).to_string();
            assert!(text.contains(&moved), "{text} lacks {moved}");
        }
    }
}
