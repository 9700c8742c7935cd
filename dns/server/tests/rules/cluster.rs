//! The cluster that the rules speak of: one Service of each kind, and some of a size.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::Endpoint;
use podway_cluster_model::port::Protocol;
use podway_dns_zone::{MissingPointer, ReverseZone, ZoneConfig, ZoneIndex};

use crate::support::objects::{
    self, PortSpec, cluster_ip, endpoint, external_name, named, namespace, slice, unready,
};

/// When the index was made: the serial of SOA records.
pub(crate) const NOW: u64 = 1_700_000_000;

/// Endpoints of `fat` and `six`: more than any message holds.
pub(crate) const MANY: u16 = 5_000;

/// A headless Service with one slice.
fn headless(name: &str, port: PortSpec<'_>, endpoints: Vec<Endpoint>) -> [Change; 2] {
    let name = ("default", name);
    [objects::headless(name, &[port]), slice(name, "a", &[port], endpoints)]
}

fn alias(name: &str, target: &str) -> Change {
    external_name(("default", name), target)
}

fn changes() -> Vec<Change> {
    use Protocol::{Tcp, Udp};
    let dns = [("dns", Udp, 53), ("dns-tcp", Tcp, 53), ("metrics", Tcp, 9153)];
    let ready = |address: IpAddr| endpoint(&address.to_string());
    let mut changes = vec![
        namespace("default"),
        namespace("kube-system"),
        cluster_ip(("default", "kubernetes"), &["10.96.0.1"], &[("https", Tcp, 443)]),
        cluster_ip(("kube-system", "kube-dns"), &["10.96.0.10"], &dns),
        cluster_ip(("default", "web"), &["10.96.5.5", "fd00:96::55"], &[("http", Tcp, 80)]),
        cluster_ip(("default", "one"), &["10.96.7.7"], &[("", Tcp, 8080)]),
        cluster_ip(("default", "bare"), &["10.96.8.8"], &[]),
        objects::headless(("default", "empty"), &[("http", Tcp, 80)]),
        alias("ext", "www.example.com"),
        alias("extin", "web.default.svc.cluster.local"),
        alias("gone", "nosuch.example.com"),
        alias("down", "down.example.com"),
        alias("lost", "nosuch.default.svc.cluster.local"),
        slice(("default", "plain"), "v6", &[("http", Tcp, 80)], vec![endpoint("fd00:244::7")]),
    ];
    changes.extend(headless(
        "myapp-svc",
        ("web", Tcp, 8080),
        vec![
            named("10.244.1.10", "myapp-0"),
            named("10.244.2.11", "myapp-1"),
            unready(named("10.244.3.12", "myapp-2")),
        ],
    ));
    let plain = ["10.244.1.20", "10.244.2.21"].map(endpoint);
    changes.extend(headless("plain", ("http", Tcp, 80), plain.to_vec()));
    let mid = (0..7).map(|index| named(&format!("10.244.9.{index}"), &format!("m-{index}")));
    changes.extend(headless("mid", ("p", Tcp, 1), mid.collect()));
    let v4 = |index: u16| Ipv4Addr::from(0x0A80_0000 + u32::from(index));
    changes.extend(headless(
        "fat",
        ("p", Tcp, 1),
        (0..MANY).map(|n| ready(v4(n).into())).collect(),
    ));
    let v6 = |index: u16| Ipv6Addr::new(0xfd00, 0x128, 0, 0, 0, 0, 0, index);
    changes.extend(headless(
        "six",
        ("p", Tcp, 1),
        (0..MANY).map(|n| ready(v6(n).into())).collect(),
    ));
    changes
}

/// The usual configuration: reverse zones that are shared with others.
pub(crate) fn config() -> ZoneConfig {
    ZoneConfig::new("cluster.local").unwrap()
}

/// Reverse zones that are ours alone.
pub(crate) fn strict() -> ZoneConfig {
    let zone = |name| ReverseZone::new(name, MissingPointer::NxDomain).unwrap();
    config().with_reverse_zones([zone("10.in-addr.arpa"), zone("d.f.ip6.arpa")]).unwrap()
}

/// The index of the cluster.
pub(crate) fn index(config: ZoneConfig) -> ZoneIndex {
    ZoneIndex::new(config).rebuild(&Builder::new().apply(changes()).0, NOW)
}
