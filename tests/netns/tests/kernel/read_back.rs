//! What nft lists of the table, beside what it lists of our text.

use podway_cluster_model::builder::Change;
use podway_cluster_model::name::LocalName;
use podway_cluster_model::service::{Affinity, Choice, ServiceKind};
use podway_proxy_nft::program::Options;
use podway_proxy_nft::schema::NodeLocal;
use podway_proxy_plan::interface::InterfaceName;
use podway_proxy_plan::plan::Family;
use podway_proxy_plan::policy::{ConntrackBypass, DeadTcp, UnknownPorts};
use podway_tests_netns::isolated;
use podway_tests_synthetic::Cluster;

use super::{Node, list, nft, service_with_everything};

#[test]
fn table_reads_back_as_the_plan_prints_it() {
    if !isolated("read_back::table_reads_back_as_the_plan_prints_it") {
        return;
    }
    let cluster = Cluster { services: 5, endpoints: 3 };
    let mut node = Node::with(cluster);
    let mut service = service_with_everything(cluster);
    service.affinity = Affinity::None;
    let mut hashed = cluster.service(1).unwrap();
    hashed.spread.choice = Choice::ClientHash;
    node.apply(vec![Change::Service(service), Change::Service(hashed)]);
    for family in Family::ALL {
        assert_reads_back(&mut node, family);
    }
    // Version 1.0.6 of nft aborts when it is to write, not when it is to list, a rule that learns
    // IPv6 clients: it uses too few registers.
    let mut service = service_with_everything(cluster);
    let addresses = ["10.96.0.1", "fd00:96::1"].map(|text| text.parse().unwrap());
    service.kind = ServiceKind::ClusterIp(addresses.to_vec());
    let mut six = cluster.slice(0, 0).unwrap();
    six.name.name = LocalName::new("six").unwrap();
    six.endpoints = six.endpoints[..1].to_vec().into();
    six.endpoints[0].address = "fd00:244::5".parse().unwrap();
    node.apply(vec![Change::Service(service), Change::Slice(six)]);
    assert_reads_back(&mut node, Family::Ip);
    assert!(list(Family::Ip6).contains("update @affinity { ip6 saddr . meta l4proto . ct mark"));
}

#[test]
fn every_choice_of_the_operator_reads_back() {
    if !isolated("read_back::every_choice_of_the_operator_reads_back") {
        return;
    }
    let cluster = Cluster { services: 2, endpoints: 3 };
    let mut node = Node::with(cluster);
    let base = Options::default();
    let interface = |name| Options { pod_interface: name, ..base.clone() };
    let pods: Vec<_> =
        ["10.244.0.0/16", "fd00:10:244::/48"].iter().map(|cidr| cidr.parse().unwrap()).collect();
    let choices = [
        Options { dead_tcp: DeadTcp::Reset, ..base.clone() },
        Options { unknown_ports: UnknownPorts::Ignore, masquerade_bit: 31, ..base.clone() },
        Options { service_cidrs: vec!["10.96.0.0/12".parse().unwrap()], ..base.clone() },
        Options { node_local: NodeLocal::On, ..base.clone() },
        Options { cluster_cidrs: pods.clone(), bypass: ConntrackBypass::On, ..base.clone() },
        Options {
            cluster_cidrs: pods.clone(),
            bypass: ConntrackBypass::On,
            node_local: NodeLocal::On,
            ..base.clone()
        },
        interface(InterfaceName::exactly("cni0")),
        interface(InterfaceName::beginning_with("veth")),
    ];
    for options in choices {
        node.program.set_options(options);
        node.write_everything();
        for family in Family::ALL {
            assert_reads_back(&mut node, family);
        }
    }
}

/// Fails unless nft lists the table as it does one that it made itself from our text.
fn assert_reads_back(node: &mut Node, family: Family) {
    let written = list(family);
    node.kernel.delete_tables().unwrap();
    nft(&["-f", "-"], &node.program.full(family).to_string());
    let expected = list(family);
    assert_eq!(sorted_lines(&written), sorted_lines(&expected));
    assert!(expected.contains("typeof"), "the keys are typed:\n{expected}");
    node.write_everything();
}

/// Lines with the elements of each set apart and sorted: a hash table has no order.
fn sorted_lines(listing: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut elements: Vec<String> = Vec::new();
    for line in listing.lines().map(str::trim) {
        let content = line.trim_start_matches("elements = {").trim_end_matches('}').trim();
        if line.contains("elements = {") || !elements.is_empty() && !line.ends_with(['{', '}']) {
            elements.extend(content.split(',').map(|part| part.trim().to_owned()));
            continue;
        }
        if !elements.is_empty() && line.contains(" . ") && line.ends_with('}') {
            elements.extend(content.split(',').map(|part| part.trim().to_owned()));
            continue;
        }
        elements.sort();
        lines.append(&mut elements);
        lines.push(line.to_owned());
    }
    lines.retain(|line| !line.is_empty());
    lines
}
