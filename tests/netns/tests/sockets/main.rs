//! The eBPF back end on the real kernel: sockets of pods and nodes that are translated when they
//! are connected. The other suites run with it too, with `PODWAY_TEST_PROXY_MODE=ebpf`.

mod load;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Binaries, Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{WEB, client, clients, pod, service, web};
use podway_tests_netns::{Cluster, FAMILIES, Route, in_lab, names};

/// Labels of the gauge where eBPF is in use.
const ACTIVE: &str = "podway_ebpf_active{reason=\"\"}";

/// Ways from a pod of node 1 and from the node itself, to the ClusterIP and the node port.
fn routes(cluster: &Cluster) -> Result<Vec<Route<'_>>> {
    let mut routes = Vec::new();
    for transport in Transport::ALL {
        for family in FAMILIES {
            let address = cluster.at("web", family, 80)?;
            let node_port = cluster.node_port(1, family, 30001);
            for (from, to) in [
                (client(1), address),
                (Place::node(1), address),
                (client(1), node_port),
                (Place::node(1), node_port),
            ] {
                routes.push(cluster.route(&from, transport, to));
            }
        }
    }
    Ok(routes)
}

/// Flows that node `number` tracks to `address` as their first destination.
fn tracked(cluster: &Cluster, number: u8, address: &str) -> Result<usize> {
    let family = if address.contains(':') { "ipv6" } else { "ipv4" };
    let command = ["conntrack", "-L", "-f", family, "--orig-dst", address];
    let listed = cluster.exec(&Place::node(number), &command)?.checked()?;
    Ok(listed.lines().filter(|line| line.contains(address)).count())
}

#[test]
fn sockets_go_straight_to_the_pods_and_no_packet_has_the_service_address() {
    in_lab(Lab::builder().manifests(web()).ebpf(), |cluster| {
        ensure!(cluster.admin(1, "/proxyMode")? == "ebpf");
        cluster.metric_becomes(1, ACTIVE, 1.0)?;
        for route in routes(cluster)? {
            for answer in route.reaches(&names(&["web-1", "web-2"]))? {
                // A pod keeps its own address at node ports too, where nftables would hide it.
                let is_node = cluster.is_of_node(1, answer.client.ip())?;
                let from_pod = route.to_string().starts_with("pod");
                ensure!(is_node != from_pod, "{route}: {answer:?}");
            }
        }
        let address = cluster.cluster_ip("web", Family::V4)?.to_string();
        ensure!(tracked(cluster, 1, &address)? == 0, "a packet went to {address}");
        Ok(())
    });
}

#[test]
fn service_without_endpoints_refuses_at_the_socket() {
    let empty = service(
        "empty",
        "ipFamilyPolicy: PreferDualStack, ports: [\
        {name: stream, port: 80}, {name: datagrams, port: 80, protocol: UDP}]",
    );
    in_lab(Lab::builder().manifests(clients() + &empty).ebpf(), |cluster| {
        for transport in Transport::ALL {
            for family in FAMILIES {
                let to = cluster.at("empty", family, 80)?;
                cluster.route(&client(1), transport, to).is_refused()?;
            }
        }
        Ok(())
    });
}

#[test]
fn what_ebpf_does_not_carry_nftables_does() {
    let hashed = "{apiVersion: v1, kind: Service, metadata: {name: hashed, \
        annotations: {podway.dev/hash: client-ip}}, \
        spec: {selector: {app: web}, clusterIP: 10.96.0.77, ports: [{port: 80, targetPort: 8080}]}}";
    let manifests = web() + "---\n" + hashed + "\n";
    in_lab(Lab::builder().manifests(manifests).ebpf(), |cluster| {
        let route = cluster.route(&client(1), Transport::Tcp, "10.96.0.77:80".parse()?);
        let pods: BTreeSet<_> =
            route.answers(20)?.into_iter().map(|answer| answer.pod.name).collect();
        ensure!(pods.len() == 1, "one client, one endpoint: {pods:?}");
        ensure!(tracked(cluster, 1, "10.96.0.77")? > 0, "no packet met the rules");
        Ok(())
    });
}

#[test]
fn absent_feature_leaves_everything_to_nftables_and_is_told() {
    let builder = Lab::builder().manifests(web()).nftables();
    let builder =
        builder.podway_argument("--proxy-mode=auto").podway_argument("--cgroup-root=/proc");
    in_lab(builder, |cluster| {
        cluster.logged(1, &["ebpf=\"not in use\"", "cgroup: /proc is no folder of cgroup v2"])?;
        let reason = "podway_ebpf_active{reason=\"cgroup: /proc is no folder of cgroup v2\"}";
        cluster.metric_becomes(1, reason, 0.0)?;
        ensure!(cluster.admin(1, "/proxyMode")? == "nftables");
        routes(cluster)?
            .iter()
            .try_for_each(|route| route.reaches(&names(&["web-1", "web-2"])).map(drop))
    });
}

#[test]
fn sockets_are_translated_while_the_daemon_is_away_and_not_after_cleanup() {
    in_lab(Lab::builder().manifests(web()).ebpf(), |cluster| {
        let to = cluster.at("web", Family::V4, 80)?;
        let route = cluster.route(&client(1), Transport::Tcp, to);
        cluster.kill_podway(1)?;
        // Without rules only what is translated at the socket arrives.
        cluster.nft(1, &["flush", "ruleset"])?;
        route.reaches(&names(&["web-1", "web-2"]))?;
        let program = Binaries::find()?.podway;
        let pins = "--bpffs-root=/run/podway-lab/bpf-1";
        let cleanup = [program.to_str().context("path")?, "cleanup", pins];
        let said = cluster.exec(&Place::node(1), &cleanup)?.checked()?;
        ensure!(said.contains("removed eBPF programs and maps"), "{said}");
        route.ends_with(podway_tests_lab::Failure::Silent)?;
        cluster.start_podway(1)?;
        route.reaches(&names(&["web-1", "web-2"])).map(drop)
    });
}

#[test]
fn datagram_client_and_affinity_client_keep_their_endpoints() {
    let sticky = service("web", &WEB.replace("ports: [", "sessionAffinity: ClientIP, ports: ["));
    let manifests = pod("web-1", 1, "") + &pod("web-2", 2, "") + &sticky + &clients();
    in_lab(Lab::builder().manifests(manifests).ebpf(), |cluster| {
        for route in routes(cluster)? {
            let pods: BTreeSet<_> =
                route.answers(20)?.into_iter().map(|answer| answer.pod.name).collect();
            ensure!(pods.len() == 1, "{route}: {pods:?}");
        }
        Ok(())
    });
}

#[test]
fn sockets_of_a_pod_that_opts_out_are_left_to_nftables() {
    let mesh = "---\n{apiVersion: v1, kind: Pod, metadata: {name: mesh-1, \
        annotations: {podway.dev/sockets: untranslated}}, \
        spec: {nodeName: node-1, containers: [{name: main}]}}\n";
    in_lab(Lab::builder().manifests(web() + mesh).ebpf(), |cluster| {
        cluster.logged(1, &["sockets of so many pods are left to nftables", "pods=1"])?;
        for family in FAMILIES {
            let to = cluster.at("web", family, 80)?;
            let address = to.ip().to_string();
            cluster.route(&client(1), Transport::Tcp, to).reaches(&names(&["web-1", "web-2"]))?;
            ensure!(tracked(cluster, 1, &address)? == 0, "the other pod is as before");
            for transport in [Transport::Tcp, Transport::Udp] {
                let route = cluster.route(&Place::pod("mesh-1"), transport, to);
                route.reaches(&names(&["web-1", "web-2"]))?;
            }
            ensure!(tracked(cluster, 1, &address)? > 0, "no packet had the address {address}");
        }
        cluster.delete_pod("mesh-1")?;
        cluster.logged(1, &["sockets of so many pods are left to nftables", "pods=0"]).map(drop)
    });
}

#[test]
fn sockets_are_counted_by_service_and_connections_only_where_they_are_carried() {
    let empty = service("empty", "ports: [{port: 80}]");
    in_lab(Lab::builder().manifests(web() + &empty).ebpf(), |cluster| {
        let counted = |name: &str, service: &str| {
            let labels = format!("{{namespace=\"default\",service=\"{service}\"}}");
            cluster.metric(1, &format!("podway_ebpf_service_{name}_total{labels}"))
        };
        let route = cluster.route(&client(1), Transport::Tcp, cluster.at("web", Family::V4, 80)?);
        route.answers(30)?;
        ensure!((counted("connects", "web")? - 30.0).abs() < f64::EPSILON);
        ensure!(counted("refusals", "web")?.abs() < f64::EPSILON);
        let to = cluster.at("empty", Family::V4, 80)?;
        cluster.route(&client(1), Transport::Tcp, to).is_refused()?;
        ensure!(counted("refusals", "empty")? > 0.0);
        // The counts outlive the daemon: they are with the programs.
        cluster.kill_podway(1)?;
        route.answers(5)?;
        cluster.start_podway(1)?;
        ensure!((counted("connects", "web")? - 35.0).abs() < f64::EPSILON);
        // What comes from outside meets the rules.
        let to = cluster.node_port(1, Family::V4, 30001);
        cluster.route(&Place::Outside, Transport::Tcp, to).answers(5)?;
        ensure!((counted("connects", "web")? - 35.0).abs() < f64::EPSILON);
        Ok(())
    });
}
