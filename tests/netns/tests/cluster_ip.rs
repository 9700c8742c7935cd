//! ClusterIPs: whom requests reach, on which port, and which client address the pods see.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use podway_tests_lab::{Answer, Family, Lab, Place, Transport, node_name};
use podway_tests_netns::manifests::{client, clients, deployment, pod, pod_with, service, slice};
use podway_tests_netns::{Cluster, FAMILIES, NODES, ensure_even, in_lab, requests_that_meet};

/// One port number for TCP and UDP, in both families.
const WEB: &str = "ipFamilyPolicy: PreferDualStack, ports: [\
    {name: stream, port: 80, targetPort: 8080}, \
    {name: datagrams, port: 80, targetPort: 8080, protocol: UDP}]";

/// Calls `test` for each family and transport.
fn each(mut test: impl FnMut(Family, Transport) -> Result<()>) -> Result<()> {
    for family in FAMILIES {
        for transport in Transport::ALL {
            test(family, transport)?;
        }
    }
    Ok(())
}

fn counts(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.pod.name.clone()).or_default() += 1;
    }
    counts
}

#[test]
fn every_pod_of_both_nodes_is_reached_from_pods_and_nodes() {
    let manifests = deployment("web", 4) + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        let nodes: BTreeSet<_> = cluster.pods("web-")?.into_iter().map(|pod| pod.node).collect();
        ensure!(nodes.len() == 2, "all pods on {nodes:?}");
        each(|family, transport| {
            let to = cluster.at("web", family, 80)?;
            for from in [client(1), client(2), Place::node(1), Place::node(2)] {
                cluster.route(&from, transport, to).reaches(&pods)?;
            }
            Ok(())
        })
    });
}

#[test]
fn requests_spread_evenly_whatever_the_number_of_pods() {
    // Three endpoints in four slots of the dataplane, five in eight.
    let manifests = ["three", "five"].map(|name| service(name, WEB)).join("")
        + &deployment("three", 3)
        + &deployment("five", 5)
        + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        for name in ["three", "five"] {
            let pods = cluster.pod_names(&format!("{name}-"))?;
            each(|family, transport| {
                let route = cluster.route(&client(1), transport, cluster.at(name, family, 80)?);
                route.reaches(&pods)?;
                ensure_even(&counts(&route.answers(600)?))
            })?;
        }
        Ok(())
    });
}

#[test]
fn pods_keep_their_address_and_nodes_do_not_appear_as_the_service() {
    let manifests = pod("web-1", 1, "") + &pod("web-2", 2, "") + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        each(|family, transport| {
            let to = cluster.at("web", family, 80)?;
            for number in NODES {
                let own = cluster.pod_addresses(&format!("client-{number}"))?.of(family);
                for answer in cluster.route(&client(number), transport, to).reaches(&pods)? {
                    ensure!(answer.client.ip() == own, "pod {own} was seen as {answer:?}");
                }
                let from = Place::node(number);
                let of_node = cluster.node_addresses(number)?;
                for answer in cluster.route(&from, transport, to).reaches(&pods)? {
                    let client = answer.client.ip();
                    ensure!(of_node.contains(&client), "{from} was seen as {client}");
                }
            }
            Ok(())
        })
    });
}

#[test]
fn pod_reaches_itself_through_its_own_service() {
    let manifests = pod("lone-1", 1, "")
        + &service("lone", WEB)
        + &pod("pair-1", 1, "")
        + &pod("pair-2", 2, "")
        + &service("pair", WEB);
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pair = cluster.pod_names("pair-")?;
        let of_node = cluster.node_addresses(1)?;
        each(|family, transport| {
            let lone = cluster.at("lone", family, 80)?;
            cluster.route(&Place::pod("lone-1"), transport, lone).reaches_pod("lone-1")?;

            let to = cluster.at("pair", family, 80)?;
            let own = cluster.pod_addresses("pair-1")?.of(family);
            for answer in cluster.route(&Place::pod("pair-1"), transport, to).reaches(&pair)? {
                let client = answer.client.ip();
                if answer.pod.name == "pair-1" && !cluster.is_on_ebpf() {
                    // An answer to its own address would not leave the pod and find no socket; one
                    // that was translated at the socket never left it.
                    ensure!(of_node.contains(&client), "hairpin from {client}");
                } else {
                    ensure!(client == own, "pod {own} was seen as {client}");
                }
            }
            Ok(())
        })
    });
}

#[test]
fn each_port_leads_to_its_own_target() {
    let ports = "ipFamilyPolicy: PreferDualStack, ports: [\
        {name: http, port: 80, targetPort: 8080}, \
        {name: admin, port: 81, targetPort: 9090}, \
        {name: same, port: 82}, \
        {name: datagrams, port: 80, targetPort: 5353, protocol: UDP}]";
    let manifests = deployment("web", 2) + &service("web", ports) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        cluster.lift_icmp_limits()?;
        let pods = cluster.pod_names("web-")?;
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        for family in FAMILIES {
            for (transport, port, target) in
                [(tcp, 80, 8080), (tcp, 81, 9090), (tcp, 82, 82), (udp, 80, 5353)]
            {
                let route = cluster.route(&client(1), transport, cluster.at("web", family, port)?);
                for answer in route.reaches(&pods)? {
                    ensure!(answer.server.port() == target, "{route} reached {answer:?}");
                }
            }
            // What the Service does not have is refused, by whichever node.
            for (transport, port) in [(tcp, 8080), (udp, 81), (udp, 5353)] {
                let to = cluster.at("web", family, port)?;
                for from in [client(2), Place::node(1)] {
                    cluster.route(&from, transport, to).is_refused()?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn named_target_port_is_the_number_that_each_pod_gives_it() {
    let with_ports = |name: &str, node, http, dns| {
        let containers = format!(
            "containers: [{{name: main, ports: [{{name: http, containerPort: {http}}}, \
             {{name: dns, containerPort: {dns}, protocol: UDP}}]}}]"
        );
        pod_with(name, node, &containers)
    };
    let ports = "ipFamilyPolicy: PreferDualStack, ports: [\
        {name: web, port: 80, targetPort: http}, \
        {name: names, port: 53, targetPort: dns, protocol: UDP}]";
    let manifests = with_ports("web-1", 1, 8001, 5301)
        + &with_ports("web-2", 2, 8002, 5302)
        + &with_ports("web-3", 2, 8002, 5301)
        + &service("web", ports)
        + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        let expected = [
            (Transport::Tcp, 80, [("web-1", 8001), ("web-2", 8002), ("web-3", 8002)]),
            (Transport::Udp, 53, [("web-1", 5301), ("web-2", 5302), ("web-3", 5301)]),
        ];
        for family in FAMILIES {
            for (transport, port, targets) in &expected {
                let to = cluster.at("web", family, *port)?;
                for answer in cluster.route(&client(1), *transport, to).reaches(&pods)? {
                    let target = (&*answer.pod.name, answer.server.port());
                    ensure!(targets.contains(&target), "{to} led to {target:?}");
                }
            }
        }
        Ok(())
    });
}

/// Addresses that one pod answers on, beside its own.
fn lent(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("10.200.{}.{}", index / 200, index % 200 + 1)).collect()
}

/// Lets the pod answer on the lent addresses, and every node send them there.
fn lend(cluster: &Cluster, pod: &str) -> Result<()> {
    const RANGE: &str = "10.200.0.0/16";
    let run = |place: &Place, words: &[&str]| cluster.exec(place, words)?.checked();
    run(&Place::pod(pod), &["ip", "route", "add", "local", RANGE, "dev", "lo"])?;
    let status = cluster.pod(pod)?;
    let address = cluster.pod_addresses(pod)?.of(Family::V4).to_string();
    for number in NODES {
        let next = if status.node == Some(node_name(number)) {
            address.clone()
        } else {
            cluster.node_ip(3 - number, Family::V4).to_string()
        };
        // A pod is a neighbor by its own cable, which its address alone leads to.
        let hop = ["ip", "route", "add", RANGE, "via", &next];
        run(&Place::node(number), &hop)?;
    }
    Ok(())
}

#[test]
fn endpoints_of_several_slices_are_one_set() {
    // 105 endpoints in three slices that the user wrote, with different target ports; one endpoint
    // stands in two of them, as it does while a controller moves it.
    let addresses = lent(105);
    let port = |number: u16| format!("[{{name: http, port: {number}, protocol: TCP}}]");
    let own = "{apiVersion: v1, kind: Service, metadata: {name: far}, \
        spec: {ports: [{name: http, port: 80}]}}\n";
    let containers =
        "containers: [{name: main, ports: [{containerPort: 8001}, {containerPort: 8002}]}]";
    let manifests = pod_with("host-1", 1, containers)
        + "---\n"
        + own
        + &slice("far-a", "far", &port(8001), &addresses[..50])
        + &slice("far-b", "far", &port(8002), &addresses[50..100])
        + &slice("far-c", "far", &port(8002), &addresses[99..])
        + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        lend(cluster, "host-1")?;
        let expected: BTreeSet<String> = addresses
            .iter()
            .enumerate()
            .map(|(index, address)| format!("{address}:{}", if index < 50 { 8001 } else { 8002 }))
            .collect();
        let to = cluster.at("far", Family::V4, 80)?;
        let route = cluster.route(&client(1), Transport::Tcp, to);
        let answers = route.answers(requests_that_meet(addresses.len()))?;
        let reached: BTreeSet<_> = answers.iter().map(|answer| answer.server.to_string()).collect();
        let missed: Vec<_> = expected.symmetric_difference(&reached).collect();
        ensure!(missed.is_empty(), "{route} missed, or reached beside: {missed:?}");
        // The first slice goes, the others stay.
        cluster.delete_object("endpointslice/far-a")?;
        let left: BTreeSet<_> = expected.iter().filter(|one| one.ends_with("2")).collect();
        ensure!(left.len() == 55);
        let route = cluster.route(&client(2), Transport::Tcp, to);
        cluster.wait_until("the other slices to be left", || {
            let answers = route.answers(requests_that_meet(left.len()))?;
            let reached: BTreeSet<_> = answers.iter().map(|a| a.server.to_string()).collect();
            Ok(reached.iter().eq(left.iter().copied()))
        })
    });
}

#[test]
fn large_requests_arrive_whole() {
    let manifests = pod("web-1", 2, "") + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        for family in FAMILIES {
            let to = cluster.at("web", family, 80)?;
            for transport in Transport::ALL {
                cluster.route(&client(1), transport, to).reaches_pod("web-1")?;
            }
            // 4 MB by HTTP; the server answers when it has all of it.
            let script = format!(
                "head -c 4000000 /dev/zero | \
                 curl -gsS --max-time 30 -H Expect: --data-binary @- http://{to}/"
            );
            let answer = cluster.exec(&client(1), &["bash", "-c", &script])?.checked()?;
            let answer: Answer = answer.trim_end().parse()?;
            ensure!(answer.pod.name == "web-1", "{answer:?}");
            // As much as a packet takes, and what only fragments can.
            for bytes in [1_400, 8_000] {
                let address = to.ip();
                let script = format!(
                    "exec 3<>/dev/udp/{address}/80; head -c {bytes} /dev/zero | dd bs={bytes} \
                     iflag=fullblock status=none >&3; timeout 10 head -n 1 <&3"
                );
                let answer = cluster.exec(&client(1), &["bash", "-c", &script])?.checked()?;
                ensure!(answer.contains(&format!("bytes={bytes}")), "{answer}");
            }
        }
        Ok(())
    });
}
