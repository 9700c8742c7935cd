//! What happens to traffic when the daemon, its rules or the Service change under it.

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Binaries, DaemonState, Failure, Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{WEB, client, clients, pod, pod_with, service, web};
use podway_tests_netns::{
    Cluster, FAMILIES, HeldFlow, Route, all_reach, in_lab, names, undisturbed,
};

const NODE_PORT: u16 = 30001;

/// Ways over the rules of node 1: from its pods, itself, and outside.
fn routes(cluster: &Cluster) -> Result<Vec<Route<'_>>> {
    let mut routes = Vec::new();
    for transport in Transport::ALL {
        for family in FAMILIES {
            let address = cluster.at("web", family, 80)?;
            let node = cluster.node_port(1, family, NODE_PORT);
            for (from, to) in
                [(client(1), address), (Place::node(1), address), (Place::Outside, node)]
            {
                routes.push(cluster.route(&from, transport, to));
            }
        }
    }
    Ok(routes)
}

fn all_go_on(flows: &mut [HeldFlow]) -> Result<()> {
    flows.iter_mut().try_for_each(|flow| flow.goes_on().map(drop))
}

#[test]
fn open_connections_survive_every_change_of_their_service() {
    in_lab(Lab::builder().manifests(web()), |cluster| {
        let routes = routes(cluster)?;
        let mut flows = routes.iter().map(Route::hold).collect::<Result<Vec<_>>>()?;
        // More endpoints than the slots of before.
        let more = [3, 4, 5, 6, 7].map(|index| pod(&format!("web-{index}"), 1 + index % 2, ""));
        cluster.apply(&more.join(""))?;
        let seven = cluster.pod_names("web-")?;
        routes.iter().try_for_each(|route| route.reaches(&seven).map(drop))?;
        all_go_on(&mut flows)?;
        // Back to those of before.
        for index in 3..=7 {
            cluster.delete_pod(&format!("web-{index}"))?;
        }
        cluster.wait_settled()?;
        all_reach(&routes, &["web-1", "web-2"])?;
        all_go_on(&mut flows)?;
        // Another port, other names of the ports, affinity.
        let other = WEB
            .replace("stream", "http")
            .replace("ports: [", "sessionAffinity: ClientIP, ports: [{name: new, port: 81}, ");
        cluster.apply(&service("web", &other))?;
        let new = cluster.at("web", Family::V4, 81)?;
        let new = cluster.route(&client(1), Transport::Tcp, new);
        cluster.wait_until("the new port", || new.answers(1).map(|_| true))?;
        all_go_on(&mut flows)
    });
}

#[test]
fn open_connection_goes_on_with_a_pod_that_is_no_longer_ready() {
    in_lab(Lab::builder().manifests(web()), |cluster| {
        let routes: Vec<_> = routes(cluster)?;
        let tcp = routes.iter().filter(|route| route.transport() == Transport::Tcp);
        let mut flows = tcp.map(Route::hold).collect::<Result<Vec<_>>>()?;
        for (unready, left) in [("web-1", "web-2"), ("web-2", "web-1")] {
            cluster.unready(unready)?;
            all_reach(&routes, &[left])?;
            all_go_on(&mut flows)?;
            cluster.ready(unready)?;
            all_reach(&routes, &["web-1", "web-2"])?;
        }
        all_go_on(&mut flows)
    });
}

#[test]
fn open_connections_survive_restarts_kills_and_repairs() {
    in_lab(Lab::builder().manifests(web()), |cluster| {
        let routes = routes(cluster)?;
        let mut flows = routes.iter().map(Route::hold).collect::<Result<Vec<_>>>()?;
        cluster.stop_podway(1)?;
        all_go_on(&mut flows)?;
        cluster.start_podway(1)?;
        all_go_on(&mut flows)?;
        cluster.kill_podway(1)?;
        all_go_on(&mut flows)?;
        cluster.start_podway(1)?;
        all_go_on(&mut flows)?;
        cluster.nft(1, &["flush", "ruleset"])?;
        all_reach(&routes, &["web-1", "web-2"])?;
        all_go_on(&mut flows)
    });
}

#[test]
fn new_connections_are_all_answered_while_the_daemon_restarts() {
    in_lab(Lab::builder().manifests(web()), |cluster| {
        let routes = routes(cluster)?;
        undisturbed(&routes, || {
            for _ in 0..3 {
                cluster.stop_podway(1)?;
                cluster.start_podway(1)?;
                cluster.kill_podway(1)?;
                cluster.start_podway(1)?;
            }
            Ok(())
        })
    });
}

#[test]
fn new_connections_are_all_answered_while_endpoints_come_and_go() {
    let manifests = web() + &pod("web-3", 1, "");
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let routes = routes(cluster)?;
        // A pod that is not ready answers as well as any, so that only a lost packet is a failure.
        let watched = cluster.route(&client(1), Transport::Tcp, cluster.at("web", Family::V4, 80)?);
        undisturbed(&routes, || {
            for _ in 0..5 {
                cluster.unready("web-3")?;
                watched.reaches(&names(&["web-1", "web-2"]))?;
                cluster.ready("web-3")?;
                watched.reaches(&names(&["web-1", "web-2", "web-3"]))?;
            }
            Ok(())
        })
    });
}

/// The ways over TCP.
///
/// A datagram from a port that was used a moment ago belongs to the flow of then, whose pod may end
/// before that is told: the suite `flows` shows that such flows move on.
fn over_tcp(cluster: &Cluster) -> Result<Vec<Route<'_>>> {
    let mut routes = routes(cluster)?;
    routes.retain(|route| route.transport() == Transport::Tcp);
    Ok(routes)
}

/// A pod that takes three seconds from its deletion to the end of its server, as pods do that are
/// meant to go without a trace.
fn graceful(name: &str, number: u8) -> String {
    let stop = "lifecycle: {preStop: {exec: {command: [sleep, '3']}}}";
    pod_with(name, number, &format!("containers: [{{name: main, {stop}}}]"))
}

#[test]
fn new_connections_are_all_answered_while_pods_are_replaced_whatever_the_external_policy() {
    let near = WEB.replace("30001", "30002") + ", externalTrafficPolicy: Local";
    let near = service("web", &near).replace("name: web}", "name: near}");
    let manifests =
        [graceful("web-1", 1), graceful("web-2", 2), service("web", WEB), near, clients()];
    in_lab(Lab::builder().manifests(manifests.concat()), |cluster| {
        let mut routes = over_tcp(cluster)?;
        for number in podway_tests_netns::NODES {
            let to = cluster.node_port(number, Family::V4, 30002);
            for from in [Place::Outside, client(number)] {
                routes.push(cluster.route(&from, Transport::Tcp, to));
            }
        }
        undisturbed(&routes, || {
            for round in 1..=2 {
                for number in podway_tests_netns::NODES {
                    let (old, new) =
                        (10 * (round - 1) + u32::from(number), 10 * round + u32::from(number));
                    cluster.apply(&graceful(&format!("web-{new}"), number))?;
                    cluster.wait_settled()?;
                    cluster.delete_pod(&format!("web-{old}"))?;
                }
            }
            cluster.wait_settled()
        })
    });
}

#[test]
fn new_connections_are_all_answered_in_a_rolling_update() {
    let web = |version: u8| {
        format!(
            "---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}, spec: {{\
             replicas: 4, selector: {{matchLabels: {{app: web}}}}, \
             strategy: {{rollingUpdate: {{maxSurge: 25%, maxUnavailable: 25%}}}}, \
             template: {{metadata: {{labels: {{app: web, version: v{version}}}}}, spec: {{\
             containers: [{{name: main, lifecycle: {{preStop: {{exec: {{\
             command: [sleep, '3']}}}}}}}}]}}}}}}}}\n"
        )
    };
    in_lab(Lab::builder().manifests(web(1) + &service("web", WEB) + &clients()), |cluster| {
        let routes = over_tcp(cluster)?;
        let before = cluster.pod_names("web-")?;
        undisturbed(&routes, || {
            cluster.apply(&web(2))?;
            cluster.wait_until("the update", || {
                let pods = cluster.pod_names("web-")?;
                Ok(pods.is_disjoint(&before) && pods.len() == 4 && cluster.status()?.settled)
            })
        })
    });
}

#[test]
fn killed_daemon_leaves_its_rules_and_the_next_one_catches_up() {
    let gone = service("gone", "clusterIP: 10.96.0.66, ports: [{port: 80, targetPort: 8080}]");
    let manifests = web() + &pod("gone-1", 1, "") + &gone;
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let routes = routes(cluster)?;
        let table = || cluster.nft(1, &["list", "table", "ip", "podway"]);
        let before = table()?;
        ensure!(before.contains("10.96.0.66"), "{before}");
        cluster.kill_podway(1)?;
        ensure!(table()? == before, "a kill changes nothing");
        cluster.unready("web-2")?;
        cluster.delete(&gone)?;
        cluster.apply(&(pod("new-1", 2, "") + &service("new", "ports: [{port: 80}]")))?;
        // Node 2 follows, node 1 goes on with what it has.
        let to = cluster.at("web", Family::V4, 80)?;
        cluster.route(&client(2), Transport::Tcp, to).reaches_pod("web-1")?;
        all_reach(&routes, &["web-1", "web-2"])?;
        ensure!(table()? == before, "nobody writes");

        cluster.start_podway(1)?;
        all_reach(&routes, &["web-1"])?;
        ensure!(!table()?.contains("10.96.0.66"), "what was there before is gone");
        let new = cluster.at("new", Family::V4, 80)?;
        cluster.route(&client(1), Transport::Tcp, new).reaches_pod("new-1")?;
        Ok(())
    });
}

#[test]
fn terminated_daemon_exits_in_order_and_leaves_its_rules() {
    in_lab(Lab::builder().manifests(web()), |cluster| {
        let routes = routes(cluster)?;
        cluster.stop_podway(1)?;
        let state = cluster.daemon_state(1)?;
        ensure!(state == DaemonState::Stopped("exit code 0".to_owned()), "{state:?}");
        cluster.logged(1, &["stopping; rules stay in the kernel", "SIGTERM"])?;
        // It stops within its time: the daemon says when it has to break off.
        let log = cluster.podway_log(1)?;
        ensure!(!log.contains("not everything was finished in time"), "{log}");
        all_reach(&routes, &["web-1", "web-2"])?;
        // Its DNS server and its health are gone with it.
        let health = cluster.node_port(1, Family::V4, 10256);
        cluster.route(&Place::Outside, Transport::Tcp, health).is_refused()
    });
}

#[test]
fn rules_that_somebody_removes_are_back_and_that_is_told() {
    in_lab(Lab::builder().manifests(web()), |cluster| {
        let routes = routes(cluster)?;
        let repairs = |family: &str| {
            cluster.metric(1, &format!("podway_table_repairs_total{{ip_family=\"{family}\"}}"))
        };
        let ours = |line: &&str| line.contains("was changed by another process");
        for (damage, families) in [
            (&["flush", "table", "ip", "podway"][..], &["IPv4"][..]),
            (&["flush", "table", "ip6", "podway"], &["IPv6"]),
            (&["delete", "table", "ip", "podway"], &["IPv4"]),
            (&["delete", "table", "ip6", "podway"], &["IPv6"]),
            (&["flush", "chain", "ip", "podway", "services"], &["IPv4"]),
            (&["flush", "map", "ip6", "podway", "backends"], &["IPv6"]),
            (&["flush", "ruleset"], &["IPv4", "IPv6"]),
        ] {
            let counted =
                families.iter().map(|family| repairs(family)).collect::<Result<Vec<_>>>()?;
            let logged = cluster.podway_log(1)?.lines().filter(ours).count();
            cluster.nft(1, damage)?;
            all_reach(&routes, &["web-1", "web-2"]).with_context(|| format!("{damage:?}"))?;
            for (family, before) in families.iter().zip(counted) {
                cluster.wait_until(&format!("{damage:?} to be counted"), || {
                    Ok(repairs(family)? > before)
                })?;
            }
            let log = cluster.podway_log(1)?;
            let new: Vec<_> = log.lines().filter(ours).skip(logged).collect();
            for family in families {
                let line = format!("family=\"{family}\" by=\"nft (pid ");
                ensure!(new.iter().any(|one| one.contains(&line)), "{damage:?}: {new:#?}");
            }
        }
        ensure!(!cluster.podway_log(2)?.contains("another process"), "node 2 was not touched");
        Ok(())
    });
}

#[test]
fn cleanup_removes_what_is_ours_and_nothing_else() {
    in_lab(Lab::builder().manifests(web()), |cluster| {
        let tables = || cluster.nft(1, &["list", "ruleset"]);
        let routes = routes(cluster)?;
        cluster.stop_podway(1)?;
        cluster.nft(1, &["add", "table", "ip", "podway-not"])?;
        cluster.nft(1, &["add", "table", "inet", "podway"])?;
        cluster.nft(1, &["add", "chain", "inet", "podway", "of-somebody-else"])?;
        cluster.nft(1, &["add", "set", "inet", "podway", "frontends", "{ type ipv4_addr; }"])?;
        let program = Binaries::find()?.podway;
        let mut cleanup = vec![program.to_str().context("path")?, "cleanup"];
        if cluster.is_on_ebpf() {
            cleanup.push("--bpffs-root=/run/podway-lab/bpf-1");
        }
        let said = cluster.exec(&Place::node(1), &cleanup)?.checked()?;
        ensure!(said.contains("table ip podway") && said.contains("table ip6 podway"), "{said}");
        let left = tables()?;
        ensure!(
            left.contains("table ip podway-not {")
                && left.contains("table inet podway {")
                && left.contains("chain of-somebody-else")
                && left.contains("set frontends")
                && left.matches("table ").count() == 2,
            "{left}"
        );
        cluster.exec(&Place::node(1), &cleanup)?.checked()?;
        ensure!(tables()? == left, "a second time changes nothing");
        let to = cluster.at("web", Family::V4, 80)?;
        cluster.route(&client(1), Transport::Tcp, to).ends_with(Failure::Silent)?;

        cluster.start_podway(1)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        ensure!(tables()?.starts_with(&left) || tables()?.contains("chain of-somebody-else"));
        Ok(())
    });
}
