//! Traffic policies: which endpoints serve whom, what is refused and what is dropped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use podway_tests_lab::{Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients, pod, pod_that_stays};
use podway_tests_netns::traffic::{
    Seen, Traffic, at, labelled_service, node_port_service, programmed, service, terminate,
    way_outside,
};
use podway_tests_netns::{FAMILIES, NODES, in_lab};

/// An external address of each family that `--allow-external-ips` lets through.
const EXTERNAL: [&str; 2] = ["203.0.113.10", "2001:db8::10"];
const ALLOW_EXTERNAL: &str = "--allow-external-ips=203.0.113.0/24,2001:db8::/32";

/// The load balancer's first address in each family.
const BALANCER: [&str; 2] = ["192.168.79.1", "fd79::1"];

fn of(addresses: [&str; 2], family: Family) -> IpAddr {
    addresses[usize::from(family == Family::V6)].parse().unwrap()
}

#[test]
fn internal_policy_local_serves_the_nodes_own_clients_and_drops_the_others() {
    let host = "hostNetwork: true";
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        pod("host-1", 1, host),
        pod("asker-1", 1, host),
        pod("asker-2", 2, host),
        service("echo", "echo", "internalTrafficPolicy: Local"),
        service("cluster", "echo", "internalTrafficPolicy: Cluster"),
    ];
    let of_host = "---\n{apiVersion: v1, kind: Service, metadata: {name: host}, spec: {\
                   ipFamilyPolicy: RequireDualStack, selector: {app: host}, \
                   internalTrafficPolicy: Local, ports: [{name: tcp, port: 80, targetPort: 8080}, \
                   {name: udp, protocol: UDP, port: 80, targetPort: 8080}]}}";
    let builder = Lab::builder().manifests(manifests.concat() + of_host);
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let (echo, host) = (cluster.at("echo", family, 80)?, cluster.at("host", family, 80)?);
            traffic.reaches(&client(1), echo, &["echo-1"], Seen::Client);
            traffic.reaches(&Place::pod("asker-1"), echo, &["echo-1"], Seen::Node(1));
            traffic.reaches(&Place::node(1), echo, &["echo-1"], Seen::Node(1));
            traffic.reaches(&client(1), host, &["host-1"], Seen::Client);
            traffic.reaches(&Place::node(1), host, &["host-1"], Seen::Node(1));
            for from in [client(2), Place::pod("asker-2"), Place::node(2)] {
                traffic.dropped(&from, echo);
                traffic.dropped(&from, host);
            }
            let everywhere = cluster.at("cluster", family, 80)?;
            traffic.reaches(&client(2), everywhere, &["echo-1"], Seen::Client);
        }
        traffic.check()
    });
}

#[test]
fn every_address_refuses_when_no_endpoint_is_usable_whatever_the_policy() {
    let external = format!("externalIPs: [{}, '{}'], ", EXTERNAL[0], EXTERNAL[1]);
    let local = "type: LoadBalancer, externalTrafficPolicy: Local, internalTrafficPolicy: Local";
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        node_port_service("cluster", "nobody", 30_080, ""),
        service("local", "nobody", &format!("{external}{local}")),
        service("evicted", "echo", ""),
    ];
    let builder = Lab::builder().podway_argument(ALLOW_EXTERNAL).manifests(manifests.concat());
    in_lab(builder, |cluster| {
        // Its pod fails its readiness and is not ready again.
        cluster.unready("echo-1")?;
        for family in FAMILIES {
            way_outside(cluster, of(EXTERNAL, family), 2)?;
        }
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            for from in [client(1), client(2), Place::node(1), Place::node(2)] {
                for name in ["cluster", "local", "evicted"] {
                    traffic.refused(&from, cluster.at(name, family, 80)?);
                }
            }
            for from in [client(1), Place::node(2), Place::Outside] {
                traffic.refused(&from, cluster.node_port(2, family, 30_080));
                traffic.refused(&from, at(of(BALANCER, family), 80));
                traffic.refused(&from, at(of(EXTERNAL, family), 80));
            }
        }
        traffic.check()
    });
}

#[test]
fn external_policy_local_keeps_outside_clients_to_their_node_and_lets_pods_and_nodes_everywhere() {
    let external = format!("externalIPs: [{}, '{}'], ", EXTERNAL[0], EXTERNAL[1]);
    let policy = "type: LoadBalancer, externalTrafficPolicy: Local";
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        service("echo", "echo", &format!("{external}{policy}")),
        node_port_service("ports", "echo", 30_081, "externalTrafficPolicy: Local"),
    ];
    let builder = Lab::builder().podway_argument(ALLOW_EXTERNAL).manifests(manifests.concat());
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        for number in NODES {
            let mut traffic = Traffic::new(cluster);
            for family in FAMILIES {
                let balancer = at(of(BALANCER, family), 80);
                let external = at(of(EXTERNAL, family), 80);
                let node_port = cluster.node_port(number, family, 30_081);
                for to in [balancer, external] {
                    way_outside(cluster, to.ip(), number)?;
                }
                for to in [balancer, external, node_port] {
                    if number == 1 {
                        traffic.reaches(&Place::Outside, to, &["echo-1"], Seen::Client);
                    } else {
                        traffic.dropped(&Place::Outside, to);
                    }
                    // As if it had gone out to the load balancer and come back to the right node.
                    traffic.reaches(&client(number), to, &["echo-1"], Seen::Client);
                    let node = Place::node(number);
                    traffic.reaches(&node, to, &["echo-1"], Seen::Node(number));
                }
            }
            traffic.check()?;
        }
        Ok(())
    });
}

#[test]
fn external_policy_cluster_reaches_everybody_from_everywhere() {
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        pod("echo-2", 2, ""),
        node_port_service("echo", "echo", 30_082, "externalTrafficPolicy: Cluster"),
    ];
    let all = ["echo-1", "echo-2"];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            for number in NODES {
                let to = cluster.node_port(number, family, 30_082);
                for from in [client(1), client(2), Place::Outside, Place::node(number)] {
                    traffic.reaches(&from, to, &all, Seen::Entered(number));
                }
                // The other node's packets arrive like anybody's.
                traffic.reaches(&Place::node(3 - number), to, &all, Seen::Node(number));
            }
        }
        traffic.check()
    });
}

#[test]
fn terminating_endpoints_serve_while_nobody_else_does() {
    let manifests = [
        clients(),
        pod_that_stays("echo-1", 1),
        service("internal-cluster", "echo", ""),
        service("internal-local", "echo", "internalTrafficPolicy: Local"),
        node_port_service("external-cluster", "echo", 30_083, ""),
        node_port_service("external-local", "echo", 30_084, "externalTrafficPolicy: Local"),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        terminate(cluster, "echo-1")?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let everywhere = cluster.at("internal-cluster", family, 80)?;
            let here = cluster.at("internal-local", family, 80)?;
            let node = |number, port| cluster.node_port(number, family, port);
            for number in NODES {
                traffic.reaches(&client(number), everywhere, &["echo-1"], Seen::Client);
                let from = Place::node(number);
                traffic.reaches(&from, everywhere, &["echo-1"], Seen::Node(number));
                for from in [client(1), client(2), Place::Outside] {
                    let to = node(number, 30_083);
                    traffic.reaches(&from, to, &["echo-1"], Seen::Entered(number));
                }
            }
            traffic.reaches(&client(1), here, &["echo-1"], Seen::Client);
            traffic.dropped(&client(2), here);

            traffic.reaches(&client(1), node(1, 30_084), &["echo-1"], Seen::Client);
            traffic.reaches(&client(2), node(1, 30_084), &["echo-1"], Seen::Client);
            traffic.reaches(&Place::Outside, node(1, 30_084), &["echo-1"], Seen::Client);
            traffic.dropped(&Place::Outside, node(2, 30_084));
            traffic.reaches(&client(2), node(2, 30_084), &["echo-1"], Seen::Client);
        }
        traffic.check()?;

        // A ready one takes over; under a Local policy each node has its own fallback.
        cluster.apply(&pod("echo-2", 2, ""))?;
        cluster.wait_until("echo-2 to be ready", || Ok(cluster.pod("echo-2")?.ready))?;
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let everywhere = cluster.at("internal-cluster", family, 80)?;
            let here = cluster.at("internal-local", family, 80)?;
            traffic.reaches(&client(1), everywhere, &["echo-2"], Seen::Client);
            traffic.reaches(&client(1), here, &["echo-1"], Seen::Client);
            traffic.reaches(&client(2), here, &["echo-2"], Seen::Client);
            for number in NODES {
                let to = cluster.node_port(number, family, 30_084);
                let pod = format!("echo-{number}");
                traffic.reaches(&Place::Outside, to, &[&pod], Seen::Client);
            }
        }
        traffic.check()
    });
}

#[test]
fn terminating_pod_that_stops_serving_is_nobodys_fallback() {
    let manifests = [
        clients(),
        pod_that_stays("echo-1", 1),
        service("plain", "echo", ""),
        node_port_service("ports", "echo", 30_085, "publishNotReadyAddresses: false"),
        service("published", "echo", "publishNotReadyAddresses: true"),
        node_port_service("both", "echo", 30_086, "publishNotReadyAddresses: true"),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        cluster.unready("echo-1")?;
        terminate(cluster, "echo-1")?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            traffic.refused(&client(1), cluster.at("plain", family, 80)?);
            traffic.refused(&client(2), cluster.at("plain", family, 80)?);
            let published = cluster.at("published", family, 80)?;
            traffic.reaches(&client(2), published, &["echo-1"], Seen::Client);
            for number in NODES {
                traffic.refused(&client(1), cluster.node_port(number, family, 30_085));
                let to = cluster.node_port(number, family, 30_086);
                traffic.reaches(&client(2), to, &["echo-1"], Seen::Entered(number));
            }
        }
        traffic.check()
    });
}

#[test]
fn pod_that_is_not_ready_yet_serves_where_the_service_publishes_it() {
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        pod("echo-2", 2, ""),
        service("plain", "echo", ""),
        service("published", "echo", "publishNotReadyAddresses: true"),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        cluster.unready("echo-2")?;
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let (plain, published) =
                (cluster.at("plain", family, 80)?, cluster.at("published", family, 80)?);
            traffic.reaches(&client(1), plain, &["echo-1"], Seen::Client);
            traffic.reaches(&client(1), published, &["echo-1", "echo-2"], Seen::Client);
        }
        traffic.check()
    });
}

#[test]
fn labels_of_other_proxies_take_a_service_away_and_give_it_back() {
    let labels = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];
    let names = ["named", "headless"];
    let labelled = |labels: [&str; 2]| {
        let one = |name: &str, label: &str| labelled_service(name, "echo", label, "");
        one(names[0], labels[0]) + &one(names[1], labels[1])
    };
    let plain = labelled(["", ""]);
    let taken = labelled([&format!("{}: other", labels[0]), &format!("{}: ''", labels[1])]);
    let manifests = [clients(), pod("echo-1", 1, ""), taken.clone()];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        for (manifests, is_ours) in [("", false), (&plain, true), (&taken, false)] {
            if !manifests.is_empty() {
                cluster.apply(manifests)?;
            }
            programmed(cluster)?;
            let mut traffic = Traffic::new(cluster);
            for family in FAMILIES {
                for name in names {
                    let to = cluster.at(name, family, 80)?;
                    for from in [client(1), client(2)] {
                        if is_ours {
                            traffic.reaches(&from, to, &["echo-1"], Seen::Client);
                        } else {
                            traffic.untouched(&from, to);
                        }
                    }
                }
            }
            traffic.check()?;
        }
        Ok(())
    });
}

#[test]
fn port_that_a_service_does_not_have_is_refused_and_its_others_serve() {
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        service("echo", "echo", ""),
        service("empty", "nobody", ""),
        "---\n{apiVersion: v1, kind: Service, metadata: {name: tcp-only}, spec: {\
         ipFamilyPolicy: RequireDualStack, selector: {app: echo}, ports: [{port: 80}]}}\n"
            .to_owned(),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let (echo, empty) = (cluster.at("echo", family, 80)?, cluster.at("empty", family, 80)?);
            for from in [client(1), client(2), Place::node(1), Place::node(2)] {
                traffic.refused(&from, SocketAddr::new(echo.ip(), 81));
                traffic.refused(&from, SocketAddr::new(empty.ip(), 81));
            }
            traffic.reaches(&client(2), echo, &["echo-1"], Seen::Client);
        }
        traffic.check()?;
        let mut traffic = Traffic::over(cluster, podway_tests_lab::Transport::Udp);
        for family in FAMILIES {
            traffic.refused(&client(1), cluster.at("tcp-only", family, 80)?);
        }
        traffic.check()
    });
}

#[test]
fn port_that_a_service_does_not_have_is_left_to_routing_where_that_is_asked_for() {
    let manifests = [clients(), pod("echo-1", 1, ""), service("echo", "echo", "")];
    let builder = Lab::builder()
        .podway_argument("--unknown-service-ports=ignore")
        .manifests(manifests.concat());
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            let echo = cluster.at("echo", family, 80)?;
            for number in NODES {
                let node = Place::node(number);
                traffic.untouched(&client(number), SocketAddr::new(echo.ip(), 81));
                traffic.untouched(&node, SocketAddr::new(echo.ip(), 81));
                traffic.reaches(&client(number), echo, &["echo-1"], Seen::Client);
                traffic.reaches(&node, echo, &["echo-1"], Seen::Node(number));
            }
        }
        traffic.check()
    });
}

/// A slice of `service` whose endpoints have these addresses, nodes and hints.
fn hinted(service: &str, family: Family, endpoints: &[(IpAddr, &str)]) -> String {
    let list: Vec<_> = endpoints
        .iter()
        .map(|(address, hints)| {
            format!("{{addresses: ['{address}'], conditions: {{ready: true}}{hints}}}")
        })
        .collect();
    format!(
        "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: {family}, \
         metadata: {{name: '{service}-{lower}', labels: {{kubernetes.io/service-name: {service}}}}}, \
         ports: [{{name: tcp, port: 80}}, {{name: udp, port: 80, protocol: UDP}}], \
         endpoints: [{}]}}\n",
        list.join(", "),
        family = family.as_str(),
        lower = family.as_str().to_lowercase(),
    )
}

#[test]
fn hints_keep_traffic_near_while_every_endpoint_has_one_and_some_are_meant_for_the_node() {
    let bare = |name: &str, node_port: u16| {
        node_port_service(name, "x", node_port, "").replace("selector: {app: x}, ", "")
    };
    // Somebody has to make the pods listen.
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        pod("echo-2", 2, ""),
        pod("echo-3", 2, ""),
        service("all", "echo", ""),
        bare("hinted", 30_087),
    ];
    let zone = |letter: &str| format!(", hints: {{forZones: [{{name: zone-{letter}}}]}}");
    let node = |number: u8| format!(", hints: {{forNodes: [{{name: node-{number}}}]}}");
    let (a, b, c, none) = (zone("a"), zone("b"), zone("c"), String::new());
    let (n1, n2, n3) = (node(1), node(2), node(3));
    let both = ", hints: {forZones: [{name: zone-a}], forNodes: [{name: node-2}]}".to_owned();
    let everybody: &[&str] = &["echo-1", "echo-2", "echo-3"];
    // Hints of the three endpoints; whom clients on node 1 reach, and those on node 2.
    let rows: [([&String; 3], [&[&str]; 2]); 8] = [
        ([&a, &b, &b], [&["echo-1"], &["echo-2", "echo-3"]]),
        ([&b, &a, &b], [&["echo-2"], &["echo-1", "echo-3"]]),
        // Node 2 has no endpoint in its zone.
        ([&a, &c, &c], [&["echo-1"], everybody]),
        // One without a hint switches hints off.
        ([&a, &b, &none], [everybody, everybody]),
        ([&n1, &n2, &n2], [&["echo-1"], &["echo-2", "echo-3"]]),
        ([&n1, &n3, &n3], [&["echo-1"], everybody]),
        // Nodes count before zones.
        ([&both, &both, &both], [everybody, everybody]),
        ([&none, &none, &none], [everybody, everybody]),
    ];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        for (hints, reached) in rows {
            for family in FAMILIES {
                let address = |index: usize| -> Result<IpAddr> {
                    Ok(cluster.pod_addresses(&format!("echo-{}", index + 1))?.of(family))
                };
                let endpoints = [0, 1, 2].map(|index| Ok((address(index)?, hints[index].as_str())));
                let endpoints = endpoints.into_iter().collect::<Result<Vec<_>>>()?;
                cluster.apply(&hinted("hinted", family, &endpoints))?;
            }
            programmed(cluster)?;
            let mut traffic = Traffic::new(cluster);
            for family in FAMILIES {
                for (number, pods) in NODES.into_iter().zip(reached) {
                    let to = cluster.at("hinted", family, 80)?;
                    traffic.reaches(&client(number), to, pods, Seen::Client);
                    let to = cluster.node_port(number, family, 30_087);
                    traffic.reaches(&Place::Outside, to, pods, Seen::Node(number));
                }
            }
            traffic.check().map_err(|error| error.context(format!("hints {hints:?}")))?;
        }
        Ok(())
    });
}
