//! What the daemon itself serves at node ports: health checks, and loopback addresses.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Family, Lab, Place};
use podway_tests_netns::manifests::{client, clients, pod, pod_that_stays};
use podway_tests_netns::traffic::{
    Seen, Traffic, at, node_port_service, programmed, service, terminate, way_outside,
};
use podway_tests_netns::{Cluster, FAMILIES, NODES, in_lab};

/// Where load balancers ask.
const CHECK_PORT: u16 = 32_100;

const BALANCED: &str = "type: LoadBalancer, externalTrafficPolicy: Local, \
                        healthCheckNodePort: 32100";

/// The answer to a health check.
#[derive(Debug)]
struct Told {
    status: String,
    /// By name in small letters.
    headers: BTreeMap<String, String>,
    body: String,
}

/// What a health check from outside is told; `None` where nobody listens.
fn check(cluster: &Cluster, number: u8, family: Family) -> Result<Option<Told>> {
    let url = format!("http://{}/any/path", cluster.node_port(number, family, CHECK_PORT));
    let command = ["curl", "-gsS", "-i", "--max-time", "5", &url];
    let output = cluster.exec(&Place::Outside, &command)?;
    /// What curl returns when it cannot connect.
    const NOT_CONNECTED: i32 = 7;
    if output.code == NOT_CONNECTED {
        return Ok(None);
    }
    let text = output.checked()?.replace('\r', "");
    let (head, body) = text.split_once("\n\n").context("no body")?;
    let (status, headers) = head.split_once('\n').context("no headers")?;
    let headers = headers.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let status = status.split(' ').nth(1).context("no status")?.to_owned();
    Ok(Some(Told { status, headers, body: body.to_owned() }))
}

/// Waits until health checks of every node say so many ready endpoints; `None`: nobody listens.
fn checks_say(cluster: &Cluster, ready: [Option<u32>; 2]) -> Result<()> {
    for family in FAMILIES {
        for (number, ready) in NODES.into_iter().zip(ready) {
            let what = format!("health checks of node {number} to say {ready:?}");
            cluster.wait_until(&what, || {
                let found = check(cluster, number, family)?;
                let told = found.as_ref().map(|told| {
                    let weight = told.headers.get("x-load-balancing-endpoint-weight");
                    (told.status.clone(), weight.cloned().unwrap_or_default())
                });
                let expected = ready.map(|count| {
                    let status = if count > 0 { "200" } else { "503" };
                    (status.to_owned(), count.to_string())
                });
                ensure!(told == expected, "{found:?}");
                Ok(true)
            })?;
        }
    }
    Ok(())
}

#[test]
fn health_checks_pass_where_ready_endpoints_are_and_close_with_the_type() {
    let manifests =
        [clients(), pod_that_stays("echo-1", 1), service("echo", "echo", BALANCED)].concat();
    in_lab(Lab::builder().manifests(manifests), |cluster| {
        programmed(cluster)?;
        checks_say(cluster, [Some(1), Some(0)])?;
        let Told { headers, body, .. } = check(cluster, 1, Family::V4)?.context("no answer")?;
        let header = |name: &str| headers.get(name).map(String::as_str);
        ensure!(header("content-type") == Some("application/json"), "{headers:?}");
        ensure!(header("x-content-type-options") == Some("nosniff"), "{headers:?}");
        let told: serde_json::Value = serde_json::from_str(&body)?;
        let expected = serde_json::json!({
            "service": {"namespace": "default", "name": "echo"},
            "localEndpoints": 1,
            "serviceProxyHealthy": true,
        });
        ensure!(told == expected, "{body}");

        // On its way out the endpoint is no reason any more to send new clients here; those who
        // come are served.
        terminate(cluster, "echo-1")?;
        checks_say(cluster, [Some(0), Some(0)])?;
        let balancer = |family| match family {
            Family::V4 => at([192, 168, 79, 1].into(), 80),
            Family::V6 => at([0xfd79, 0, 0, 0, 0, 0, 0, 1].into(), 80),
        };
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            way_outside(cluster, balancer(family).ip(), 1)?;
            traffic.reaches(&Place::Outside, balancer(family), &["echo-1"], Seen::Client);
        }
        traffic.check()?;

        // Another endpoint elsewhere, then another type, and back.
        cluster.apply(&pod("echo-2", 2, ""))?;
        checks_say(cluster, [Some(0), Some(1)])?;
        cluster.apply(&service("echo", "echo", "type: ClusterIP"))?;
        checks_say(cluster, [None, None])?;
        cluster.apply(&service("echo", "echo", &BALANCED.replace("Local", "Cluster")))?;
        programmed(cluster)?;
        checks_say(cluster, [None, None])?;
        cluster.apply(&service("echo", "echo", BALANCED))?;
        checks_say(cluster, [Some(0), Some(1)])?;
        cluster.delete_object("service/echo")?;
        checks_say(cluster, [None, None])
    });
}

#[test]
fn node_ports_at_loopback_reach_endpoints_of_every_node_as_their_policy_says() {
    let affinity = "sessionAffinity: ClientIP";
    let manifests = [
        clients(),
        pod("echo-1", 1, ""),
        pod("echo-2", 2, ""),
        node_port_service("all", "echo", 30_130, ""),
        node_port_service("near", "echo", 30_131, "externalTrafficPolicy: Local"),
        node_port_service("nobody", "nobody", 30_132, ""),
        node_port_service("sticky", "echo", 30_133, affinity),
    ];
    let builder = Lab::builder()
        .podway_argument("--nodeport-addresses=primary,localhost")
        .manifests(manifests.concat());
    in_lab(builder, |cluster| {
        programmed(cluster)?;
        let loopback = |family, port| match family {
            Family::V4 => at([127, 0, 0, 1].into(), port),
            Family::V6 => at([0, 0, 0, 0, 0, 0, 0, 1].into(), port),
        };
        for number in NODES {
            let from = Place::node(number);
            for family in FAMILIES {
                // Listeners are opened beside the rules, which `programmed` waits for.
                let route =
                    |port, transport| cluster.route(&from, transport, loopback(family, port));
                for transport in podway_tests_lab::Transport::ALL {
                    route(30_130, transport)
                        .reaches(&["echo-1", "echo-2"].map(str::to_owned).into())?;
                    route(30_131, transport).reaches_pod(&format!("echo-{number}"))?;
                    route(30_132, transport).is_refused()?;
                    let first = route(30_133, transport).answers(1)?.remove(0).pod.name;
                    let pods: BTreeSet<_> = route(30_133, transport)
                        .answers(40)?
                        .into_iter()
                        .map(|answer| answer.pod.name)
                        .collect();
                    ensure!(pods == [first.clone()].into(), "{first}, then {pods:?}");
                }
            }
        }
        let mut traffic = Traffic::new(cluster);
        for family in FAMILIES {
            // To a pod its own loopback is another one.
            traffic.refused(&client(1), loopback(family, 30_130));
        }
        traffic.check()
    });
}
