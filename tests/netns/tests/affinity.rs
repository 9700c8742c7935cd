//! `sessionAffinity: ClientIP`, and the spread of clients without it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use podway_tests_lab::{Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{client, clients, pod};
use podway_tests_netns::traffic::{node_port_service, programmed, service, way_outside};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab, requests_that_meet};

const PODS: [&str; 3] = ["echo-1", "echo-2", "echo-3"];

/// Affinity for `seconds`.
fn sticky(seconds: u32) -> String {
    format!(
        "sessionAffinity: ClientIP, \
         sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}"
    )
}

/// Clients, and three pods on two nodes.
fn pods() -> String {
    let echo = PODS.into_iter().zip([1, 2, 2]).map(|(name, number)| pod(name, number, ""));
    clients() + &echo.collect::<String>()
}

/// Requests that reach each of the pods, were there no affinity.
fn enough() -> usize {
    requests_that_meet(PODS.len())
}

/// The pods that answer `count` requests; every one must be answered.
fn answering(
    cluster: &Cluster,
    (from, transport, to): (&Place, Transport, SocketAddr),
    count: usize,
) -> Result<BTreeSet<String>> {
    let outcomes = cluster.call(from, transport, to, count)?;
    let pod = |outcome: podway_tests_lab::Outcome| match outcome {
        Ok(answer) => Ok(answer.pod.name),
        Err(failure) => bail!("{from} {} {to}: {failure}", transport.as_str()),
    };
    outcomes.into_iter().map(pod).collect()
}

/// The one pod that answers all of many requests.
fn only(cluster: &Cluster, from: &Place, transport: Transport, to: SocketAddr) -> Result<String> {
    let pods = answering(cluster, (from, transport, to), enough())?;
    ensure!(pods.len() == 1, "{from} {} {to}: {pods:?}", transport.as_str());
    pods.into_iter().next().context("nobody answered")
}

/// Every way to ask: transport and family.
fn ways() -> impl Iterator<Item = (Transport, Family)> {
    Transport::ALL
        .into_iter()
        .flat_map(|transport| FAMILIES.into_iter().map(move |family| (transport, family)))
}

#[test]
fn client_keeps_its_endpoint_at_every_address_of_a_port() {
    let more = format!("{}, type: LoadBalancer", sticky(10_800));
    let echo = service("echo", "echo", &more)
        .replace("port: 80}", "port: 80, nodePort: 30110}")
        .replace("port: 80, protocol: UDP}", "port: 80, protocol: UDP, nodePort: 30110}");
    in_lab(Lab::builder().manifests(pods() + &echo), |cluster| {
        programmed(cluster)?;
        for (transport, family) in ways() {
            let balancer: SocketAddr = match family {
                Family::V4 => "192.168.79.1:80".parse()?,
                Family::V6 => "[fd79::1]:80".parse()?,
            };
            for number in NODES {
                let from = client(number);
                let here = only(cluster, &from, transport, cluster.at("echo", family, 80)?)?;
                for to in [cluster.node_port(number, family, 30_110), balancer] {
                    assert_eq!(only(cluster, &from, transport, to)?, here, "{from} {to}");
                }
            }
            // What a client outside is remembered by is its own address, though it is masqueraded.
            way_outside(cluster, balancer.ip(), 1)?;
            let outside = only(cluster, &Place::Outside, transport, balancer)?;
            let to = cluster.node_port(1, family, 30_110);
            assert_eq!(only(cluster, &Place::Outside, transport, to)?, outside);
        }
        Ok(())
    });
}

#[test]
fn client_keeps_its_endpoint_under_a_local_policy_and_for_each_port_by_itself() {
    // Several pods on node 2, of which each port remembers one.
    let names: Vec<String> = (1..=8).map(|number| format!("echo-{number}")).collect();
    let echo: String = names.iter().map(|name| pod(name, 2, "")).collect();
    let many: Vec<String> = (0..8)
        .map(|index| {
            format!(
                "{{name: p{index}, port: {}, targetPort: 80, nodePort: {}}}",
                80 + index,
                30_120 + index
            )
        })
        .collect();
    let ports = format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: many}}, spec: {{\
         type: NodePort, externalTrafficPolicy: Local, ipFamilyPolicy: RequireDualStack, \
         selector: {{app: echo}}, {}, ports: [{}]}}}}\n",
        sticky(10_800),
        many.join(", ")
    );
    in_lab(Lab::builder().manifests(clients() + &echo + &ports), |cluster| {
        programmed(cluster)?;
        for family in FAMILIES {
            let mut remembered = BTreeSet::new();
            for index in 0..8 {
                let to = cluster.node_port(2, family, 30_120 + index);
                remembered.insert(only(cluster, &Place::Outside, Transport::Tcp, to)?);
            }
            // All eight ports choose the same of eight pods with a probability of 5e-7.
            ensure!(remembered.len() > 1, "ports share a memory: {remembered:?}");
        }
        Ok(())
    });
}

/// The clients that node 1 remembers in `family`, as nft lists them.
fn remembered(cluster: &Cluster, family: Family) -> Result<String> {
    let table = if family == Family::V4 { "ip" } else { "ip6" };
    let command = ["nft", "list", "map", table, "podway", "affinity"];
    let listing = cluster.exec(&Place::node(1), &command)?.checked()?;
    let elements = listing.split_once("elements = {").map(|(_, elements)| elements);
    Ok(elements.unwrap_or_default().to_owned())
}

#[test]
fn client_is_forgotten_after_the_timeout_and_each_connection_starts_it_anew() {
    let manifests = pods() + &service("echo", "echo", &sticky(2));
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        programmed(cluster)?;
        let mut chosen: BTreeMap<Family, BTreeSet<String>> = BTreeMap::new();
        // Each time each pod is as likely; twenty times the same has a probability below 1e-9.
        for _ in 0..20 {
            for family in FAMILIES {
                let to = cluster.at("echo", family, 80)?;
                let pod = only(cluster, &client(1), Transport::Tcp, to)?;
                chosen.entry(family).or_default().insert(pod);
            }
            if cluster.is_on_ebpf() {
                // Nothing takes out what is too old; it is told by its time.
                std::thread::sleep(std::time::Duration::from_secs(2));
            }
            for family in FAMILIES {
                cluster.wait_until("node 1 to forget", || {
                    Ok(remembered(cluster, family)?.is_empty())
                })?;
            }
            if chosen.values().all(|pods| pods.len() > 1) {
                break;
            }
        }
        ensure!(chosen.values().all(|pods| pods.len() > 1), "{chosen:?}");

        // While connections come, the memory outlives its first timeout.
        let to = cluster.at("echo", Family::V4, 80)?;
        let pod = only(cluster, &client(1), Transport::Tcp, to)?;
        let start = std::time::Instant::now();
        while start.elapsed().as_secs() < 5 {
            assert_eq!(only(cluster, &client(1), Transport::Tcp, to)?, pod);
        }
        Ok(())
    });
}

#[test]
fn client_is_remembered_over_restarts_and_full_writes() {
    let manifests = pods() + &service("echo", "echo", &sticky(10_800));
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        programmed(cluster)?;
        let ask = || -> Result<Vec<String>> {
            ways()
                .map(|(transport, family)| {
                    only(cluster, &client(1), transport, cluster.at("echo", family, 80)?)
                })
                .collect()
        };
        let before = ask()?;
        cluster.stop_podway(1)?;
        assert_eq!(ask()?, before, "what is programmed stays");
        cluster.start_podway(1)?;
        assert_eq!(ask()?, before, "after an orderly end");
        cluster.kill_podway(1)?;
        cluster.start_podway(1)?;
        assert_eq!(ask()?, before, "after a crash");

        // Another timeout needs a rule, so tables are written whole.
        cluster.apply(&service("other", "echo", &sticky(77)))?;
        programmed(cluster)?;
        assert_eq!(ask()?, before, "after a full write");
        Ok(())
    });
}

#[test]
fn client_moves_at_once_when_its_endpoint_goes_and_no_other_client_does() {
    let manifests = pods() + &service("echo", "echo", &sticky(10_800));
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        programmed(cluster)?;
        for (transport, family) in ways() {
            let to = cluster.at("echo", family, 80)?;
            let ask = |from: Place| only(cluster, &from, transport, to);
            let clients = [client(1), client(2), Place::node(1), Place::node(2)];
            let before = clients.each_ref().map(|from| ask(from.clone()));
            let before = before.into_iter().collect::<Result<Vec<_>>>()?;
            let gone = before[0].clone();
            cluster.unready(&gone)?;
            programmed(cluster)?;
            for (from, pod) in clients.into_iter().zip(before) {
                let now = ask(from.clone())?;
                if pod == gone {
                    assert_ne!(now, gone, "{from}");
                } else {
                    assert_eq!(now, pod, "{from}");
                }
            }
            cluster.ready(&gone)?;
            cluster.wait_settled()?;
        }
        Ok(())
    });
}

#[test]
fn affinity_is_switched_on_and_off_in_a_running_service() {
    // Over TCP: a datagram from a port that was used before belongs to a flow that goes on.
    let (off, on) = (node_port_service("echo", "echo", 30_111, ""), sticky(10_800));
    let on = node_port_service("echo", "echo", 30_111, &on);
    in_lab(Lab::builder().manifests(pods() + &off), |cluster| {
        for (manifests, is_sticky) in [(&off, false), (&on, true), (&off, false), (&on, true)] {
            cluster.apply(manifests)?;
            programmed(cluster)?;
            for family in FAMILIES {
                let cluster_ip = cluster.at("echo", family, 80)?;
                let node_port = cluster.node_port(2, family, 30_111);
                for (from, to) in [(client(1), cluster_ip), (Place::Outside, node_port)] {
                    let pods = answering(cluster, (&from, Transport::Tcp, to), enough())?;
                    let expected = if is_sticky { 1 } else { PODS.len() };
                    assert_eq!(pods.len(), expected, "{from} {to}: {pods:?}");
                }
            }
        }
        Ok(())
    });
}

/// The chi-square statistic of `counts` against an even spread.
fn chi_square(counts: &BTreeMap<String, usize>) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let share = number(counts.values().sum()) / number(counts.len());
    counts.values().map(|count| (number(*count) - share).powi(2) / share).sum()
}

#[test]
fn connections_spread_evenly_over_endpoints_whose_number_is_no_power_of_two() {
    // Probability 1e-9 to lie above, for one degree of freedom less than pods.
    const BOUNDS: [(usize, f64); 3] = [(3, 41.45), (5, 48.93), (6, 51.66)];
    const REQUESTS: usize = 1_200;
    let names: Vec<String> = (1..=6).map(|number| format!("echo-{number}")).collect();
    let echo: String = (1..).zip(&names).map(|(n, name)| pod(name, 1 + n % 2, "")).collect();
    let manifests = clients() + &echo + &node_port_service("echo", "echo", 30_112, "");
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        // Slots with holes, of several sizes: pods go one after the other.
        for (pods, bound) in BOUNDS.into_iter().rev() {
            for (index, name) in names.iter().enumerate() {
                // The first ones go, so that holes are not at the end.
                if index < names.len() - pods {
                    cluster.unready(name)?;
                }
            }
            programmed(cluster)?;
            for (transport, family) in ways() {
                let cluster_ip = cluster.at("echo", family, 80)?;
                let node_port = cluster.node_port(2, family, 30_112);
                for (from, to) in [(client(1), cluster_ip), (Place::Outside, node_port)] {
                    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
                    for outcome in cluster.call(&from, transport, to, REQUESTS)? {
                        let Ok(answer) = outcome else { bail!("{from} {to}: {outcome:?}") };
                        *counts.entry(answer.pod.name).or_default() += 1;
                    }
                    assert_eq!(counts.len(), pods, "{counts:?}");
                    let statistic = chi_square(&counts);
                    assert!(statistic < bound, "{from} {to}: {statistic} of {counts:?}");
                }
            }
        }
        Ok(())
    });
}
