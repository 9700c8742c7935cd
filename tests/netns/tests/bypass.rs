//! `--conntrack-bypass`: what pods send each other goes untracked, and who is translated by rules is
//! told apart and served as ever.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use podway_tests_lab::{Builder, Lab, Place, Transport};
use podway_tests_netns::manifests::{client, clients, pod};
use podway_tests_netns::traffic::{
    Seen, Traffic, node_port_service, programmed, service, terminate,
};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab};

/// A pod that wants its sockets left alone, so that rules translate what it sends.
const MESH: &str = "---\n{apiVersion: v1, kind: Pod, metadata: {name: mesh-1, \
    labels: {app: mesh}, annotations: {podway.dev/sockets: untranslated}}, \
    spec: {nodeName: node-1, containers: [{name: main, \
    ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]}]}}\n";

/// A Service that eBPF does not carry, in both families.
const HASHED: &str = "---\n{apiVersion: v1, kind: Service, metadata: {name: hashed, \
    annotations: {podway.dev/hash: client-ip}}, spec: {selector: {app: web}, \
    ipFamilyPolicy: RequireDualStack, ports: [{name: tcp, port: 80}, \
    {name: udp, port: 80, protocol: UDP}]}}\n";

/// Both pods of the Service `web`.
const BOTH: [&str; 2] = ["web-1", "web-2"];

fn lab() -> Builder {
    let pods =
        pod("web-1", 1, "") + &pod("web-2", 2, "") + &pod("alone-1", 1, "") + &clients() + MESH;
    let hosts = pod("host-1", 1, "hostNetwork: true") + &pod("host-2", 2, "hostNetwork: true");
    let services = service("web", "web", "")
        + &node_port_service("everywhere", "web", 30_001, "")
        + &node_port_service("local", "alone", 30_002, "externalTrafficPolicy: Local")
        + &service("mesh", "mesh", "")
        + &service("host", "host", "")
        + HASHED;
    let manifests = pods + &hosts + &services;
    Lab::builder().manifests(manifests).ebpf().podway_argument("--conntrack-bypass")
}

/// What nft lists of `set` on node `number`, in both families.
fn listed(cluster: &Cluster, number: u8, set: &str) -> Result<String> {
    let list = |family| cluster.nft(number, &["list", "set", family, "podway", set]);
    Ok(list("ip")? + &list("ip6")?)
}

/// Waits until pods of every node go untracked, and rules for everything are there.
fn bypassed(cluster: &Cluster) -> Result<()> {
    programmed(cluster)?;
    for number in NODES {
        cluster.wait_until(&format!("pods of node {number} to go untracked"), || {
            let listed = listed(cluster, number, "untracked-pods")?;
            Ok(listed.contains("10.244.0.0/16") && listed.contains("fd00:10:244::/"))
        })?;
    }
    let opted_out = ["sockets of so many pods are left to nftables", "pods=1"];
    cluster.logged(1, &opted_out).map(drop)
}

/// How many flows node `number` tracks that have something to do with `address`.
fn tracked(cluster: &Cluster, number: u8, address: IpAddr) -> Result<usize> {
    let family = if address.is_ipv6() { "ipv6" } else { "ipv4" };
    let command = ["conntrack", "-L", "-f", family];
    let flows = cluster.exec(&Place::node(number), &command)?.checked()?;
    let word = format!("={address} ");
    Ok(flows.lines().filter(|line| line.contains(&word)).count())
}

/// Whether node `number` remembers `pod` as one that is translated by rules.
fn is_remembered(cluster: &Cluster, number: u8, pod: &str) -> Result<bool> {
    let clients = listed(cluster, number, "translated-clients")?;
    let addresses = cluster.pod_addresses(pod)?;
    let all = FAMILIES.map(|family| clients.contains(&format!("{} timeout", addresses.of(family))));
    ensure!(all[0] == all[1], "{pod} is remembered in one family: {clients}");
    Ok(all[0])
}

#[test]
fn sockets_between_pods_go_untracked_and_whoever_is_translated_by_rules_is_tracked() {
    in_lab(lab(), |cluster| {
        bypassed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            traffic.reaches(&client(1), cluster.at("web", family, 80)?, &BOTH, Seen::Client);
        }
        traffic.check()?;
        for family in FAMILIES {
            let address = cluster.pod_addresses("client-1")?.of(family);
            for number in NODES {
                let flows = tracked(cluster, number, address)?;
                ensure!(flows == 0, "node {number} tracks {flows} flows of {address}");
            }
        }

        // Left alone by eBPF: the pod, a Service, an address of another node.
        let mesh = Place::pod("mesh-1");
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            traffic.reaches(&mesh, cluster.at("web", family, 80)?, &BOTH, Seen::Client);
            // Who reaches itself is masqueraded.
            traffic.reaches(&mesh, cluster.at("mesh", family, 80)?, &["mesh-1"], Seen::Node(1));
            let local = cluster.node_port(1, family, 30_002);
            traffic.reaches(&client(2), local, &["alone-1"], Seen::Client);
        }
        traffic.check()?;
        ensure!(is_remembered(cluster, 1, "mesh-1")?, "it was translated on node 1");
        ensure!(is_remembered(cluster, 1, "client-2")?, "it was translated on node 1");
        ensure!(!is_remembered(cluster, 2, "client-2")?, "its own node has translated nothing");
        ensure!(!is_remembered(cluster, 1, "client-1")?, "eBPF has translated its sockets");
        ensure!(!is_remembered(cluster, 1, "web-1")?, "it has only answered");

        // What they send to pods themselves goes on, now tracked.
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let addresses = cluster.pod_addresses("web-2")?;
            let direct = (addresses.of(family), 80).into();
            for place in [mesh.clone(), client(2), client(1)] {
                traffic.reaches(&place, direct, &["web-2"], Seen::Client);
            }
            let address = cluster.pod_addresses("mesh-1")?.of(family);
            ensure!(tracked(cluster, 1, address)? > 0, "a pod that is translated is tracked");
        }
        traffic.check()
    });
}

#[test]
fn everybody_else_reaches_services_as_ever() {
    in_lab(lab(), |cluster| {
        bypassed(cluster)?;
        let hosts = ["host-1", "host-2"];
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let at = |name| cluster.at(name, family, 80);
            let node_port = |port| cluster.node_port(1, family, port);
            for place in [Place::node(1), Place::pod("host-1")] {
                traffic.reaches(&place, at("web")?, &BOTH, Seen::Node(1));
                traffic.reaches(&place, at("host")?, &hosts, Seen::Node(1));
            }
            // Endpoints that are no pods' addresses, by sockets and by rules.
            traffic.reaches(&client(1), at("host")?, &hosts, Seen::Client);
            traffic.reaches(&Place::pod("mesh-1"), at("host")?, &hosts, Seen::Client);
            traffic.reaches(&Place::Outside, node_port(30_001), &BOTH, Seen::Node(1));
            traffic.reaches(&Place::Outside, node_port(30_002), &["alone-1"], Seen::Client);
            traffic.reaches(&client(1), node_port(30_001), &BOTH, Seen::Client);
            traffic.reaches(&client(2), node_port(30_001), &BOTH, Seen::Node(1));
            // A pod that reaches itself, by its socket.
            traffic.reaches(&Place::pod("web-1"), at("web")?, &BOTH, Seen::Client);
        }
        traffic.check()?;
        for family in FAMILIES {
            for transport in [Transport::Tcp, Transport::Udp] {
                let route = cluster.route(&client(1), transport, cluster.at("hashed", family, 80)?);
                for answer in route.answers(5)? {
                    ensure!(BOTH.contains(&answer.pod.name.as_str()), "{route}: {answer:?}");
                }
            }
        }
        ensure!(is_remembered(cluster, 1, "client-1")?, "rules have translated what it sent");
        Ok(())
    });
}

#[test]
fn flows_that_rules_translate_go_on_when_the_table_is_written_anew() {
    in_lab(lab(), |cluster| {
        bypassed(cluster)?;
        let mut flows = Vec::new();
        for family in FAMILIES {
            for transport in [Transport::Tcp, Transport::Udp] {
                let to = cluster.at("web", family, 80)?;
                for place in [Place::pod("mesh-1"), client(1)] {
                    flows.push(cluster.route(&place, transport, to).hold()?);
                }
            }
        }
        for family in ["ip", "ip6"] {
            cluster.nft(1, &["delete", "table", family, "podway"])?;
        }
        // Nobody has sent anything since: it is known from the flows that are tracked.
        cluster.wait_until("the pod to be known again", || {
            Ok(listed(cluster, 1, "untracked-pods").is_ok_and(|one| one.contains("10.244.0.0/16"))
                && is_remembered(cluster, 1, "mesh-1").unwrap_or(false))
        })?;
        ensure!(!is_remembered(cluster, 1, "client-1")?, "eBPF has translated its sockets");
        flows.iter_mut().try_for_each(|flow| flow.goes_on().map(drop))?;
        cluster.kill_podway(1)?;
        flows.iter_mut().try_for_each(|flow| flow.goes_on().map(drop))?;
        cluster.start_podway(1)?;
        flows.iter_mut().try_for_each(|flow| flow.goes_on().map(drop))?;
        // An endpoint that is gone is noticed as ever.
        terminate(cluster, "web-2")?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            for place in [Place::pod("mesh-1"), client(1)] {
                traffic.reaches(&place, cluster.at("web", family, 80)?, &["web-1"], Seen::Client);
            }
        }
        traffic.check()
    });
}

#[test]
fn a_changed_configuration_switches_it_on_and_off() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("podway.yaml");
    let write = |switch: &str| {
        let text = format!(
            "apiVersion: podway.dev/v1alpha1\nkind: PodwayConfiguration\n\
             conntrack-bypass: {switch}\n"
        );
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    write("false");
    let config = format!("--config={}", path.display());
    in_lab(Lab::builder().manifests(clients()).ebpf().podway_argument(config), |cluster| {
        let becomes = |untracked: bool| {
            cluster.wait_until(&format!("untracked pods: {untracked}"), || {
                let table = cluster.nft(1, &["list", "table", "ip", "podway"])?;
                Ok(table.contains("set untracked-pods") == untracked)
            })
        };
        becomes(false)?;
        write("true");
        becomes(true)?;
        cluster.wait_until("pods to go untracked", || {
            Ok(listed(cluster, 1, "untracked-pods")?.contains("10.244.0.0/16"))
        })?;
        write("false");
        becomes(false)
    });
}
