//! Whose address servers see: when the client's own, when the node's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use podway_tests_lab::{Binaries, Lab, Place};
use podway_tests_netns::manifests::{client, clients, pod};
use podway_tests_netns::traffic::{
    Seen, Traffic, node_port_service, programmed, service, way_outside,
};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab};

/// A pod on each node behind a Service, clients, and a pod alone behind its own Service.
fn manifests() -> String {
    [
        clients(),
        pod("echo-1", 1, ""),
        pod("echo-2", 2, ""),
        service("echo", "echo", ""),
        node_port_service("ports", "echo", 30_090, ""),
        pod("alone-1", 1, ""),
        node_port_service("alone", "alone", 30_091, "externalTrafficPolicy: Local"),
    ]
    .concat()
}

const ALL: [&str; 2] = ["echo-1", "echo-2"];

/// Holds that servers behind the ClusterIP of `echo` see of pods what `of_pods` says, and of others
/// the node.
fn at_the_cluster_ip(cluster: &Cluster, of_pods: fn(u8) -> Seen) -> anyhow::Result<()> {
    programmed(cluster)?;
    for number in NODES {
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let to = cluster.at("echo", family, 80)?;
            // Somebody who routes the Service range to a node.
            way_outside(cluster, to.ip(), number)?;
            traffic.reaches(&client(number), to, &ALL, of_pods(number));
            for from in [Place::node(number), Place::Outside] {
                traffic.reaches(&from, to, &ALL, Seen::Node(number));
            }
        }
        traffic.check()?;
    }
    Ok(())
}

#[test]
fn pods_keep_their_address_on_the_way_to_a_cluster_ip_and_others_get_the_nodes() {
    in_lab(Lab::builder().manifests(manifests()), |cluster| {
        at_the_cluster_ip(cluster, |_| Seen::Client)
    });
}

#[test]
fn everybody_gets_the_nodes_address_when_all_is_masqueraded() {
    let builder = Lab::builder().podway_argument("--masquerade-all").manifests(manifests());
    in_lab(builder, |cluster| at_the_cluster_ip(cluster, Seen::Node));
}

#[test]
fn everybody_keeps_their_address_when_pods_cannot_be_told() {
    // The lab always names the pods' ranges.
    let Ok(found) = Binaries::find() else { panic!("the daemon cannot be built") };
    let folder = tempfile::tempdir().unwrap();
    let wrapper = folder.path().join("podway");
    let script = format!(
        "#!/bin/sh\nfor word; do shift; case $word in --cluster-cidr) skip=1;; \
         *) [ \"$skip\" ] && skip= || set -- \"$@\" \"$word\";; esac; done\nexec {} \"$@\"\n",
        found.podway.display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    in_lab(Lab::builder().podway(&wrapper).manifests(manifests()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let to = cluster.at("echo", family, 80)?;
            traffic.reaches(&client(1), to, &ALL, Seen::Client);
            // A socket that is translated has the address that leads to the endpoint.
            let own = if cluster.is_on_ebpf() { Seen::Node(1) } else { Seen::Client };
            traffic.reaches(&Place::node(1), to, &ALL, own);
            // Only the endpoint's own node can translate its answers back.
            let to = cluster.at("alone", family, 80)?;
            way_outside(cluster, to.ip(), 1)?;
            traffic.reaches(&Place::Outside, to, &["alone-1"], Seen::Client);
            // Pods count as clients from outside under a Local policy.
            let node_port = |number| cluster.node_port(number, family, 30_091);
            traffic.reaches(&client(1), node_port(1), &["alone-1"], Seen::Client);
            traffic.dropped(&client(2), node_port(2));
            traffic.reaches(&Place::node(2), node_port(2), &["alone-1"], Seen::Node(2));
        }
        traffic.check()
    });
}

/// Holds what is the same for every way to tell the pods of this node from all others.
fn only_pods_of_the_node_are_pods(arguments: &[&str]) {
    let builder = Lab::builder().manifests(manifests());
    let builder = arguments.iter().fold(builder, |builder, one| builder.podway_argument(*one));
    in_lab(builder, |cluster| {
        at_the_cluster_ip(cluster, |_| Seen::Client)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let local = |number| cluster.node_port(number, family, 30_091);
            // As if it had gone out to the load balancer and come back to the right node.
            traffic.reaches(&client(2), local(2), &["alone-1"], Seen::Client);
            // A pod of another node is anybody.
            traffic.dropped(&client(1), local(2));
            traffic.dropped(&Place::Outside, local(2));
        }
        traffic.check()
    });
}

#[test]
fn pods_are_told_by_the_ranges_of_their_node() {
    only_pods_of_the_node_are_pods(&["--detect-local-mode=NodeCIDR"]);
}

#[test]
fn pods_are_told_by_how_the_names_of_their_interfaces_begin() {
    only_pods_of_the_node_are_pods(&[
        "--detect-local-mode=InterfaceNamePrefix",
        "--pod-interface-name-prefix=veth",
    ]);
}

#[test]
fn pods_are_told_by_the_one_interface_that_they_come_in_by() {
    // In place of a bridge: the cable of the first pod after the one that the lab brings itself.
    let cable = "veth2";
    let builder = Lab::builder()
        .podway_argument("--detect-local-mode=BridgeInterface")
        .podway_argument(format!("--pod-bridge-interface={cable}"))
        .manifests(pod("inside-1", 1, ""));
    in_lab(builder, |cluster| {
        cluster.apply(&manifests())?;
        programmed(cluster)?;
        let inside = Place::pod("inside-1");
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let address = cluster.pod_addresses("inside-1")?.of(family).to_string();
            let route = cluster.exec(&Place::node(1), &["ip", "route", "get", &address])?;
            let route = route.checked()?;
            anyhow::ensure!(route.contains(&format!("dev {cable} ")), "{route}");
            let to = cluster.at("echo", family, 80)?;
            traffic.reaches(&inside, to, &ALL, Seen::Client);
            for number in NODES {
                traffic.reaches(&client(number), to, &ALL, Seen::Entered(number));
                traffic.reaches(&Place::node(number), to, &ALL, Seen::Node(number));
            }
        }
        traffic.check()
    });
}

#[test]
fn external_traffic_gets_the_nodes_address_unless_its_policy_is_local() {
    in_lab(Lab::builder().manifests(manifests()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            for number in NODES {
                let to = cluster.node_port(number, family, 30_090);
                for from in [Place::Outside, client(1), client(2), Place::node(number)] {
                    traffic.reaches(&from, to, &ALL, Seen::Entered(number));
                }
            }
            let local = cluster.node_port(1, family, 30_091);
            for from in [Place::Outside, client(1), client(2)] {
                traffic.reaches(&from, local, &["alone-1"], Seen::Client);
            }
            traffic.reaches(&Place::node(1), local, &["alone-1"], Seen::Node(1));
        }
        traffic.check()
    });
}

#[test]
fn pod_that_reaches_itself_through_its_service_sees_the_node() {
    let host = "---\n{apiVersion: v1, kind: Service, metadata: {name: host}, spec: {\
                ipFamilyPolicy: RequireDualStack, selector: {app: host}, \
                ports: [{name: tcp, port: 80, targetPort: 8080}, \
                {name: udp, protocol: UDP, port: 80, targetPort: 8080}]}}\n";
    let host = [pod("host-1", 1, "hostNetwork: true"), host.to_owned()].concat();
    in_lab(Lab::builder().manifests(manifests() + &host), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let alone = Place::pod("alone-1");
            let to = cluster.at("alone", family, 80)?;
            traffic.reaches(&alone, to, &["alone-1"], Seen::Entered(1));
            traffic.reaches(
                &alone,
                cluster.node_port(1, family, 30_091),
                &["alone-1"],
                Seen::Entered(1),
            );
            // Its neighbor is no hairpin.
            traffic.reaches(&client(1), to, &["alone-1"], Seen::Client);
            let to = cluster.at("host", family, 80)?;
            traffic.reaches(&Place::pod("host-1"), to, &["host-1"], Seen::Node(1));
        }
        traffic.check()
    });
}

#[test]
fn masquerading_works_by_the_bit_that_is_asked_for_and_with_random_ports() {
    let builder = Lab::builder().podway_argument("--masquerade-bit=3").manifests(manifests());
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        for family in ["ip", "ip6"] {
            let command = ["nft", "list", "table", family, "podway"];
            let listing = cluster.exec(&Place::node(1), &command)?.checked()?;
            assert!(listing.contains("0x00000008"), "{listing}");
            assert!(!listing.contains("0x00004000"), "{listing}");
            let masquerading =
                |line: &&str| line.contains("masquerade") && !line.contains("mark-for-masquerade");
            let lines: Vec<_> = listing.lines().filter(masquerading).collect();
            assert!(!lines.is_empty(), "{listing}");
            let ours =
                lines.iter().filter(|line| !line.contains("chain ") && !line.contains("set "));
            for line in ours {
                assert!(line.contains("fully-random") || line.contains("masqueraded"), "{line}");
            }
        }
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            traffic.reaches(
                &Place::Outside,
                cluster.node_port(1, family, 30_090),
                &ALL,
                Seen::Node(1),
            );
            traffic.reaches(&client(1), cluster.at("echo", family, 80)?, &ALL, Seen::Client);
        }
        traffic.check()
    });
}
