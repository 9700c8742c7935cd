//! The zone of every test.
#![allow(dead_code, clippy::unwrap_used, reason = "not every test file uses every helper")]

#[path = "../../../zone/tests/support/objects.rs"]
pub(crate) mod objects;

use std::net::Ipv4Addr;

use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::endpoint::Endpoint;
use podway_cluster_model::port::Protocol;
use podway_dns_zone::{ZoneConfig, ZoneIndex};

use self::objects::{
    PortSpec, cluster_ip, endpoint, external_name, headless, named, namespace, slice,
};

/// Endpoints of the Service `big`.
pub(crate) const BIG: u16 = 2000;

/// The only port of every Service, and that of every endpoint.
const PORT: PortSpec<'_> = ("http", Protocol::Tcp, 80);
const TARGET_PORT: PortSpec<'_> = ("http", Protocol::Tcp, 8080);

fn web(addresses: &[&str]) -> Change {
    cluster_ip(("default", "web"), addresses, &[PORT])
}

/// A headless Service with its slice.
fn with_endpoints(name: &str, endpoints: impl Iterator<Item = Endpoint>) -> [Change; 2] {
    let name = ("default", name);
    [headless(name, &[PORT]), slice(name, "1", &[TARGET_PORT], endpoints.collect())]
}

fn alias(name: &str, target: &str) -> Change {
    external_name(("default", name), target)
}

/// Address of an endpoint of `big`.
pub(crate) fn big_address(index: u16) -> Ipv4Addr {
    let [high, low] = index.to_be_bytes();
    Ipv4Addr::new(10, 244, high, low)
}

/// The objects of every test.
fn changes() -> Vec<Change> {
    let address = |index| big_address(index).to_string();
    let big = (0..BIG).map(|index| endpoint(&address(index)));
    let few = (0..12).map(|index| named(&address(index), &format!("few-{index}")));
    let mut changes = vec![
        namespace("default"),
        web(&["10.96.5.5", "fd00:96::55"]),
        alias("ext", "www.example.com"),
        alias("inside", "web.default.svc.cluster.local"),
        alias("missing", "nowhere.default.svc.cluster.local"),
        alias("far", "inside.default.svc.cluster.local"),
        alias("stub", "db.acme.local"),
        alias("self", "self.default.svc.cluster.local"),
        alias("ping", "pong.default.svc.cluster.local"),
        alias("pong", "ping.default.svc.cluster.local"),
    ];
    changes.extend(with_endpoints("big", big));
    changes.extend(with_endpoints("few", few));
    changes.extend((0..12).map(|step| {
        alias(&format!("step-{step}"), &format!("step-{}.default.svc.cluster.local", step + 1))
    }));
    changes
}

/// An index that knows nothing yet.
pub(crate) fn unsynced() -> ZoneIndex {
    ZoneIndex::new(ZoneConfig::new("cluster.local").unwrap())
}

/// The index of every test.
pub(crate) fn zone() -> ZoneIndex {
    unsynced().rebuild(&Builder::new().apply(changes()).0, 1_700_000_000)
}

/// The same objects with another configuration.
pub(crate) fn index(config: ZoneConfig) -> ZoneIndex {
    ZoneIndex::new(config).rebuild(&Builder::new().apply(changes()).0, 1_700_000_000)
}

/// The index with `web` at another address.
pub(crate) fn changed_zone(address: &str) -> ZoneIndex {
    let changes = changes().into_iter().chain([web(&[address])]);
    unsynced().rebuild(&Builder::new().apply(changes).0, 1_700_000_001)
}
