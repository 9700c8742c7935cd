//! Which pods a Service may use: readiness, termination, and none at all.

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Failure, Family, Lab, Place, PodPhase, Transport};
use podway_tests_netns::manifests::{
    WEB, client, clients, deployment, pod, pod_that_stays, service,
};
use podway_tests_netns::{Cluster, FAMILIES, NODES, Route, in_lab, names};

/// Every way to the Service `web`: from pods and nodes to its address, from outside, pods and nodes
/// to its node ports.
fn routes(cluster: &Cluster) -> Result<Vec<Route<'_>>> {
    let mut routes = Vec::new();
    for transport in Transport::ALL {
        for family in FAMILIES {
            let address = cluster.at("web", family, 80)?;
            for from in [client(1), client(2), Place::node(1)] {
                routes.push(cluster.route(&from, transport, address));
            }
            for number in NODES {
                let node = cluster.node_port(number, family, 30001);
                for from in [Place::Outside, client(1), Place::node(2)] {
                    routes.push(cluster.route(&from, transport, node));
                }
            }
        }
    }
    Ok(routes)
}

#[test]
fn unready_pod_gets_nothing_until_it_is_ready_again() {
    let pods = [("web-1", 1), ("web-2", 2), ("web-3", 2)].map(|(name, node)| pod(name, node, ""));
    let manifests = pods.join("") + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let routes = routes(cluster)?;
        let all_reach = |pods: &[&str]| {
            let pods = names(pods);
            routes.iter().try_for_each(|route| route.reaches(&pods).map(drop))
        };
        all_reach(&["web-1", "web-2", "web-3"])?;
        cluster.unready("web-2")?;
        all_reach(&["web-1", "web-3"])?;
        cluster.unready("web-3")?;
        all_reach(&["web-1"])?;
        cluster.ready("web-2")?;
        cluster.ready("web-3")?;
        all_reach(&["web-1", "web-2", "web-3"])
    });
}

#[test]
fn without_endpoints_everybody_is_refused_at_once() {
    let manifests = deployment("web", 2) + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        cluster.lift_icmp_limits()?;
        let routes = routes(cluster)?;
        let pods = cluster.pod_names("web-")?;
        for pod in &pods {
            cluster.unready(pod)?;
        }
        routes.iter().try_for_each(Route::is_refused)?;
        for pod in &pods {
            cluster.ready(pod)?;
        }
        routes.iter().try_for_each(|route| route.reaches(&pods).map(drop))?;
        // The same without any pod.
        cluster.scale("deployment/web", 0)?;
        routes.iter().try_for_each(Route::is_refused)
    });
}

/// SYNs that were sent again from `place`, so far.
fn repeated_syns(cluster: &Cluster, place: &Place) -> Result<u64> {
    let text = cluster.exec(place, &["cat", "/proc/net/netstat"])?.checked()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "TCPSynRetrans");
    Ok(found.context("no TCPSynRetrans")?.1.parse()?)
}

#[test]
fn first_syn_is_refused_however_many_come() {
    let manifests = service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        for family in FAMILIES {
            let (address, node) =
                (cluster.at("web", family, 80)?, cluster.node_port(1, family, 30001));
            // A port that the Service does not have is refused as well.
            let unknown = cluster.at("web", family, 81)?;
            for (from, to) in [
                (client(1), address),
                (client(1), unknown),
                (Place::node(1), address),
                (Place::node(1), unknown),
                (client(2), node),
                (Place::Outside, node),
            ] {
                let before = repeated_syns(cluster, &from)?;
                let outcomes = cluster.route(&from, Transport::Tcp, to).ask(20)?;
                let refused = outcomes.iter().all(|outcome| *outcome == Err(Failure::Refused));
                ensure!(refused, "{from} to {to}: {outcomes:?}");
                let repeated = repeated_syns(cluster, &from)? - before;
                ensure!(repeated == 0, "{from} to {to}: {repeated} of 20 SYNs were sent again");
            }
        }
        Ok(())
    });
}

#[test]
fn unready_pods_serve_where_the_service_wants_them() {
    let spec = format!("publishNotReadyAddresses: true, {WEB}");
    let manifests = deployment("web", 2) + &service("web", &spec) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = cluster.pod_names("web-")?;
        for pod in &pods {
            cluster.unready(pod)?;
        }
        cluster.wait_until("pods to be unready", || {
            Ok(cluster.pods("web-")?.iter().all(|pod| !pod.ready))
        })?;
        routes(cluster)?.iter().try_for_each(|route| route.reaches(&pods).map(drop))
    });
}

#[test]
fn terminating_pods_serve_only_while_there_is_no_other() {
    let manifests = pod_that_stays("web-1", 1)
        + &pod_that_stays("web-2", 2)
        + &service("web", WEB)
        + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        cluster.lift_icmp_limits()?;
        let routes = routes(cluster)?;
        let all_reach = |pods: &[&str]| {
            let pods = names(pods);
            routes.iter().try_for_each(|route| route.reaches(&pods).map(drop))
        };
        all_reach(&["web-1", "web-2"])?;
        cluster.delete_pod("web-1")?;
        all_reach(&["web-2"])?;
        ensure!(cluster.pod("web-1")?.phase == PodPhase::Terminating, "it still serves");

        // Both terminate, both still serve.
        cluster.delete_pod("web-2")?;
        all_reach(&["web-1", "web-2"])?;

        // One of them serves no more.
        cluster.unready("web-1")?;
        all_reach(&["web-2"])?;
        cluster.unready("web-2")?;
        routes.iter().try_for_each(Route::is_refused)?;

        // A ready one comes and is preferred.
        cluster.ready("web-1")?;
        all_reach(&["web-1"])?;
        cluster.apply(&pod("web-3", 2, ""))?;
        all_reach(&["web-3"])
    });
}

#[test]
fn pod_on_the_network_of_its_node_is_an_endpoint_and_a_client() {
    let host = |name: &str, node| pod(name, node, "hostNetwork: true");
    let manifests = host("web-1", 1) + &host("web-2", 2) + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        let pods = names(&["web-1", "web-2"]);
        routes(cluster)?.iter().try_for_each(|route| route.reaches(&pods).map(drop))?;
        for family in FAMILIES {
            for transport in Transport::ALL {
                let to = cluster.at("web", family, 80)?;
                for answer in cluster.route(&Place::pod("web-1"), transport, to).reaches(&pods)? {
                    let node: u8 = if answer.pod.name == "web-1" { 1 } else { 2 };
                    ensure!(answer.server.ip() == cluster.node_ip(node, family), "{answer:?}");
                }
            }
        }
        let v4 = cluster.addresses("web-", Family::V4)?;
        ensure!(v4 == NODES.map(|number| cluster.node_ip(number, Family::V4)).into(), "{v4:?}");
        Ok(())
    });
}
