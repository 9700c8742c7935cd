//! Elements that come and go beside the plan: clients that are remembered, and frontends that are
//! answered on the node.

use std::time::Duration;

use podway_cluster_model::builder::Change;
use podway_cluster_model::port::{Port, Protocol};
use podway_proxy_nft::element::Element;
use podway_proxy_nft::kernel::BackendError;
use podway_proxy_nft::program::Options;
use podway_proxy_nft::schema::NodeLocal;
use podway_proxy_plan::plan::{Family, FrontendKey};
use podway_tests_netns::isolated;
use podway_tests_synthetic::{Cluster, pod_ip};

use super::{Node, list, nft, service_with_everything};

#[test]
fn clients_remembered_outlive_a_full_write_and_not_their_endpoint() {
    if !isolated("kept::clients_remembered_outlive_a_full_write_and_not_their_endpoint") {
        return;
    }
    let cluster = Cluster { services: 2, endpoints: 2 };
    let mut node = Node::with(cluster);
    node.apply(vec![Change::Service(service_with_everything(cluster))]);
    let listing = list(Family::Ip);
    let id = listing
        .lines()
        .find_map(|line| line.trim().strip_prefix("elements = { 10.96.0.1 . tcp . 80 : 0x"));
    let id = id.unwrap().split([' ', ',']).next().unwrap();
    for (client, endpoint) in [("11.9.9.1", pod_ip(0, 0, 0)), ("11.9.9.2", pod_ip(0, 1, 0))] {
        let element = format!("{client} . tcp . 0x{id} timeout 10800s : {endpoint} . 8080");
        nft(&["add", "element", "ip", "podway", "affinity", "{", &element, "}"], "");
    }
    let clients = |node: &Node| {
        let learned = node.kernel.learned(Family::Ip).unwrap();
        let mut clients: Vec<_> = learned.iter().map(|one| one.client.to_string()).collect();
        clients.sort();
        clients
    };
    assert_eq!(clients(&node), ["11.9.9.1", "11.9.9.2"]);
    node.write_everything();
    assert_eq!(clients(&node), ["11.9.9.1", "11.9.9.2"], "a full write forgets nobody");
    let left = node.kernel.learned(Family::Ip).unwrap()[0];
    assert!(left.expires_ms <= left.timeout_ms && left.timeout_ms == 10_800_000, "{left:?}");

    // The first endpoint moves: its client is free to go elsewhere, the other stays.
    node.apply(vec![Change::Slice(cluster.slice(0, 1).unwrap())]);
    assert_eq!(clients(&node), ["11.9.9.2"]);
    node.apply(vec![Change::ServiceGone(cluster.service(0).unwrap().name)]);
    assert_eq!(clients(&node), [] as [&str; 0]);
}

#[test]
fn frontend_answered_on_the_node_is_forgotten_unless_it_is_renewed() {
    if !isolated("kept::frontend_answered_on_the_node_is_forgotten_unless_it_is_renewed") {
        return;
    }
    let mut node = Node::with(Cluster { services: 2, endpoints: 2 });
    let options = Options { node_local: NodeLocal::On, ..node.program.options().clone() };
    node.program.set_options(options);
    let key = FrontendKey {
        address: "10.96.0.1".parse().unwrap(),
        protocol: Protocol::Udp,
        port: Port::new(53).unwrap(),
    };
    let element = |timeout_ms| [Element::NodeLocalDns { key, timeout_ms }];
    let error = node.kernel.renew(Family::Ip, &element(60_000)).unwrap_err();
    let BackendError::Rejected { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound, "there is no such set yet");

    node.write_everything();
    let is_there = || {
        let listing = nft(&["list", "set", "ip", "podway", "node-local-dns"], "");
        listing.contains("10.96.0.1 . udp . 53 timeout")
    };
    // Whether or not it is there already, and again and again.
    for _ in 0..3 {
        node.kernel.renew(Family::Ip, &element(60_000)).unwrap();
        assert!(is_there());
    }
    // A full write keeps what it is told to keep, and nothing else.
    node.kernel.commit_with(&node.program.full(Family::Ip), &element(60_000)).unwrap();
    assert!(is_there());
    node.kernel.commit(&node.program.full(Family::Ip)).unwrap();
    assert!(!is_there());
    for _ in 0..2 {
        node.kernel.renew(Family::Ip, &element(60_000)).unwrap();
        node.kernel.withdraw(Family::Ip, &element(60_000)).unwrap();
        assert!(!is_there());
        node.kernel.withdraw(Family::Ip, &element(60_000)).unwrap();
    }
    // Nobody renews it: the kernel takes it out by itself.
    node.kernel.renew(Family::Ip, &element(500)).unwrap();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while is_there() {
        assert!(std::time::Instant::now() < patience, "the element does not expire");
        std::thread::yield_now();
    }
    node.kernel.renew(Family::Ip, &element(60_000)).unwrap();
    assert!(is_there());
}
