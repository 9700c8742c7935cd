use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::{NodeName, ObjectName};
use podway_cluster_model::node::Pod;
use podway_cluster_model::port::Protocol;
use podway_cluster_model::snapshot::Delta;

use super::*;
use crate::config::ZoneConfig;
use crate::fixture::{NOW, address, cluster_ip, external_name, namespace};

fn pod(name: &str, node: &str, addresses: &[&str]) -> Pod {
    let (namespace, name) = name.split_once('/').unwrap();
    Pod {
        name: ObjectName::new(namespace, name).unwrap(),
        node: NodeName::new(node).ok(),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        host_network: false,
        sockets: Default::default(),
        labels: Default::default(),
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// Services `default/kubernetes`, `shop/web` and `shop/blog`, an alias, and pods of both namespaces.
fn changes() -> Vec<Change> {
    let http = [("http", Protocol::Tcp, 80)];
    let host = Pod { host_network: true, ..pod("kube-system/agent", "node-1", &["192.0.2.1"]) };
    vec![
        namespace("default"),
        namespace("shop"),
        namespace("kube-system"),
        cluster_ip(("default", "kubernetes"), &["10.96.0.1"], &http),
        cluster_ip(("shop", "web"), &["10.96.0.2"], &http),
        external_name(("shop", "blog"), "www.example.com"),
        Change::Pod(pod("default/a", "node-1", &["10.244.1.1", "fd00:244::1"])),
        Change::Pod(pod("shop/b", "node-1", &["10.244.1.2"])),
        Change::Pod(pod("shop/far", "node-2", &["10.244.2.1"])),
        Change::Pod(host),
    ]
}

fn index_of(node: Option<&str>, changes: Vec<Change>) -> ZoneIndex {
    let paths = SearchPaths {
        node: node.map(|node| NodeName::new(node).unwrap()),
        host: vec![name("corp.example.")],
    };
    let config = ZoneConfig::new("cluster.local").unwrap().with_search_paths(Some(paths));
    let (snapshot, delta) = Builder::new().apply(changes);
    ZoneIndex::new(config).update(&snapshot, &delta, NOW)
}

fn index() -> ZoneIndex {
    index_of(Some("node-1"), changes())
}

fn begin(index: &ZoneIndex, client: &str, asked: &str) -> Option<Walk> {
    Walk::begin(index, address(client), &name(asked), RecordType::A)
}

/// The steps of a walk as text, until one is found or there is none.
fn steps(index: &ZoneIndex, client: &str, asked: &str) -> Vec<String> {
    let mut walk = begin(index, client, asked).expect("a search path");
    let mut steps = Vec::new();
    loop {
        match walk.step(index) {
            Step::Found { alias, name: found, .. } => {
                assert_eq!(alias.name, name(asked));
                steps.push(format!("found {found}"));
                return steps;
            }
            Step::Outside { name, .. } => steps.push(format!("outside {name}")),
            Step::Exhausted => return steps,
        }
    }
}

#[test]
fn name_outside_is_asked_below_the_host_s_suffixes_and_then_as_it_is() {
    let asked = "www.Example.com.default.svc.cluster.local.";
    for client in ["10.244.1.1", "::ffff:10.244.1.1", "fd00:244::1"] {
        let expected = ["outside www.Example.com.corp.example.", "outside www.Example.com."];
        assert_eq!(steps(&index(), client, asked), expected, "{client}");
    }
}

#[test]
fn name_of_another_namespace_is_found_below_the_next_suffix() {
    let index = index();
    for (asked, found) in [
        ("web.shop.default.svc.cluster.local.", "web.shop.svc.cluster.local."),
        (
            "kubernetes.default.svc.default.svc.cluster.local.",
            "kubernetes.default.svc.cluster.local.",
        ),
        ("blog.shop.default.svc.cluster.local.", "blog.shop.svc.cluster.local."),
        ("WEB.Shop.DEFAULT.svc.CLUSTER.local.", "WEB.Shop.svc.cluster.local."),
    ] {
        assert_eq!(steps(&index, "10.244.1.1", asked), [format!("found {found}")], "{asked}");
    }
    // A whole name with fewer dots than ndots: asked of the host's suffixes first, as clients do.
    let whole = "web.shop.svc.cluster.local.default.svc.cluster.local.";
    let expected =
        ["outside web.shop.svc.cluster.local.corp.example.", "found web.shop.svc.cluster.local."];
    assert_eq!(steps(&index, "10.244.1.1", whole), expected);
}

#[test]
fn only_the_first_name_of_the_clients_own_path_is_taken_for_one() {
    let index = index();
    for (why, client, asked) in [
        ("another namespace", "10.244.1.1", "www.example.com.shop.svc.cluster.local."),
        ("the second name of a path", "10.244.1.1", "www.example.com.svc.cluster.local."),
        ("nothing before the suffix", "10.244.1.1", "default.svc.cluster.local."),
        ("a pod of another node", "10.244.2.1", "www.example.com.shop.svc.cluster.local."),
        ("the node's own network", "192.0.2.1", "www.example.com.kube-system.svc.cluster.local."),
        ("nobody", "10.244.9.9", "www.example.com.default.svc.cluster.local."),
    ] {
        assert_eq!(begin(&index, client, asked), None, "{why}");
    }
    let srv = name("_http._tcp.web.default.svc.cluster.local.");
    assert_eq!(Walk::begin(&index, address("10.244.1.1"), &srv, RecordType::SRV), None);
    let everywhere = index_of(None, changes());
    assert!(begin(&everywhere, "10.244.2.1", "www.example.com.shop.svc.cluster.local.").is_some());
    let off = ZoneIndex::new(ZoneConfig::new("cluster.local").unwrap());
    let (snapshot, delta) = Builder::new().apply(changes());
    let off = off.update(&snapshot, &delta, NOW);
    assert_eq!(begin(&off, "10.244.1.1", "www.example.com.default.svc.cluster.local."), None);
}

#[test]
fn address_that_pods_of_two_namespaces_have_tells_nothing_until_one_is_gone() {
    let mut changes = changes();
    changes.push(Change::Pod(pod("shop/reused", "node-1", &["10.244.1.1"])));
    changes.push(Change::Pod(pod("shop/twin", "node-1", &["10.244.1.2"])));
    let asked = "www.example.com.default.svc.cluster.local.";
    let mut builder = Builder::new();
    let config = index().config().clone();
    let (snapshot, delta) = builder.apply(changes);
    let index = ZoneIndex::new(config).update(&snapshot, &delta, NOW);
    assert_eq!(begin(&index, "10.244.1.1", asked), None);
    assert!(begin(&index, "10.244.1.2", "a.b.shop.svc.cluster.local.").is_some(), "same namespace");

    let gone = ObjectName::new("shop", "reused").unwrap();
    let (snapshot, delta) = builder.apply([Change::PodGone(gone)]);
    let after = index.update(&snapshot, &delta, NOW + 1);
    assert!(begin(&after, "10.244.1.1", asked).is_some());
    assert_eq!(after.serial(), index.serial(), "no answer of the zone changed");
    let rebuilt = after.rebuild(&snapshot, NOW + 2);
    assert!(begin(&rebuilt, "10.244.1.1", asked).is_some());
    assert_eq!(Delta::everything(&snapshot).pods.len(), 5);
}

#[test]
fn name_that_would_be_too_long_is_not_tried() {
    let label = "a".repeat(60);
    let bare = [label.as_str(); 3].join(".");
    let asked = format!("{bare}.{}.default.svc.cluster.local.", "b".repeat(40));
    assert!(asked.len() <= 254, "{}", asked.len());
    let steps = steps(&index(), "10.244.1.1", &asked);
    assert_eq!(
        steps.last().map(String::as_str),
        Some(&*format!("outside {bare}.{}.", "b".repeat(40)))
    );
}
