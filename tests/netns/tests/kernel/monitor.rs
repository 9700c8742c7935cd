//! Who changes the table: ourselves, or somebody else.

use std::time::Duration;

use podway_cluster_model::builder::Change;
use podway_proxy_nft::kernel::Kernel;
use podway_proxy_nft::monitor::{Alone, Monitor};
use podway_proxy_plan::plan::Family;
use podway_tests_netns::isolated;
use podway_tests_synthetic::Cluster;

use super::{Node, nft};

#[test]
fn own_changes_are_not_told_and_those_of_others_are() {
    if !isolated("monitor::own_changes_are_not_told_and_those_of_others_are") {
        return;
    }
    let cluster = Cluster { services: 3, endpoints: 2 };
    let mut node = Node::with(cluster);
    let mut monitor = Monitor::open(&node.kernel).unwrap();
    node.apply(vec![Change::Slice(cluster.slice(1, 1).unwrap())]);
    nft(&["add", "table", "ip", "other"], "");
    assert_eq!(monitor.wait(Duration::from_millis(200)).unwrap(), None);

    nft(&["flush", "table", "ip", "podway"], "");
    let intrusion = monitor.wait(Duration::from_secs(5)).unwrap().expect("the flush is told");
    assert_eq!(intrusion.families, [Family::Ip].into());
    assert_eq!(intrusion.process.map(|process| process.name), Some("nft".to_owned()));

    nft(&["delete", "table", "ip6", "podway"], "");
    let intrusion = monitor.wait(Duration::from_secs(5)).unwrap().expect("the deletion is told");
    assert_eq!(intrusion.families, [Family::Ip6].into());
}

#[test]
fn full_write_is_unheard_and_knows_whether_it_was_alone() {
    if !isolated("monitor::full_write_is_unheard_and_knows_whether_it_was_alone") {
        return;
    }
    let mut node = Node::with(Cluster { services: 3, endpoints: 2 });
    let mut monitor = Monitor::open(&node.kernel).unwrap();
    let silencer = monitor.silencer();
    // Counts commits, whoever's they are.
    let kernel = Kernel::open().unwrap();
    let ((), alone) = silencer.unheard(&kernel, 2, || node.write_everything()).unwrap();
    assert_eq!(alone, Alone::Yes);
    let ((), alone) = silencer
        .unheard(&kernel, 2, || {
            node.write_everything();
            nft(&["flush", "table", "ip", "podway"], "");
        })
        .unwrap();
    assert_eq!(alone, Alone::No);
    assert_eq!(monitor.wait(Duration::from_millis(200)).unwrap(), None);
    node.write_everything();
    nft(&["flush", "table", "ip", "podway"], "");
    assert!(monitor.wait(Duration::from_secs(5)).unwrap().is_some(), "it listens again");
}
