//! What happens to traffic and names when something happens to the API server.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use podway_tests_conformance::{Blocked, answers, in_api_lab, web, web_routes};
use podway_tests_lab::{API_PORT, Component, ComponentAction, Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{client, pod, service};
use podway_tests_netns::{Cluster, NODES, all_reach, undisturbed};
use serde_json::json;

/// Services of a burst.
const BURST: usize = 5_000;

/// Age of a view that has not been told anything for so long that it matters.
const OLD_SECONDS: f64 = 60.0;

/// Services that a slow connection has to bring, each with so many octets that do not compress.
const SLOW_SERVICES: usize = 200;
const NOISE_OCTETS: usize = 4096;

/// What a slow connection lets through in a second: a quarter of a minute at best for those Services.
const SLOW_KILOBYTES: u32 = 64;

/// Text without pattern, always the same for a number.
fn noise(number: usize) -> String {
    let mut state = u64::try_from(number).unwrap_or_default() + 1;
    let letter = |_| {
        // Xorshift by Marsaglia.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'A' + u8::try_from(state >> 32 & 0x1f).unwrap_or_default())
    };
    (0..NOISE_OCTETS).map(letter).collect()
}

/// Every node answers for the Service `name` with its address.
fn all_answer(cluster: &Cluster, name: &str) -> Result<()> {
    let address = cluster.cluster_ip(name, Family::V4)?.to_string();
    let question = format!("{name}.default.svc.cluster.local");
    NODES
        .into_iter()
        .try_for_each(|number| answers(cluster, number, &question, std::slice::from_ref(&address)))
}

/// Lets etcd forget every version but the newest.
fn compact(cluster: &Cluster) -> Result<()> {
    let ask = |path: &str, body: &str| -> Result<serde_json::Value> {
        let url = format!("http://127.0.0.1:2379/v3/{path}");
        let command = ["curl", "-gsSf", "--max-time", "20", "-d", body, &url];
        let text = cluster.exec(&Place::ControlPlane, &command)?.checked()?;
        Ok(serde_json::from_str(&text)?)
    };
    let status = ask("maintenance/status", "{}")?;
    let revision = status["header"]["revision"].as_str().context("no revision")?;
    ask("kv/compaction", &json!({"revision": revision, "physical": true}).to_string()).map(drop)
}

/// Waits until node 1 has its last view on disk, which is written a moment after it came.
fn on_disk(cluster: &Cluster) -> Result<()> {
    cluster.wait_until("the last view to be on disk", || {
        Ok(cluster.metric(1, "podway_state_writes_total")? >= 1.0)
    })
}

#[test]
fn an_api_server_that_is_away_changes_nothing_and_is_followed_when_it_is_back() {
    in_api_lab(web(), |cluster| {
        let routes = web_routes(cluster)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        undisturbed(&routes, || {
            cluster.control_plane(Component::ApiServer, ComponentAction::Kill)?;
            for number in NODES {
                cluster.metric_becomes(number, "podway_api_connected{kind=\"service\"}", 0.0)?;
                cluster.wait_until(&format!("the view of node {number} to be old"), || {
                    Ok(cluster.metric(number, "podway_view_age_seconds")? >= OLD_SECONDS)
                })?;
                let lookup = cluster.lookup(&client(number), &["web.default.svc.cluster.local"]);
                lookup.answers([cluster.cluster_ip("web", Family::V4)?])?;
            }
            cluster.start_api_server()
        })?;
        cluster.unready("web-2")?;
        cluster.apply(&(pod("new-1", 2, "") + &service("new", "ports: [{port: 80}]")))?;
        all_reach(&routes, &["web-1"])?;
        let new = cluster.at("new", Family::V4, 80)?;
        cluster.route(&client(1), Transport::Tcp, new).reaches_pod("new-1")?;
        all_answer(cluster, "new")
    });
}

#[test]
fn a_watch_whose_version_is_compacted_away_is_begun_anew() {
    in_api_lab(web(), |cluster| {
        let routes = web_routes(cluster)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        let blocked = Blocked::cut(cluster, 1)?;
        // What node 1 does not hear: one Service goes, another comes, an endpoint leaves.
        cluster.apply(&(pod("new-1", 2, "") + &service("new", "ports: [{port: 80}]")))?;
        cluster.unready("web-2")?;
        all_reach(&routes[1..], &["web-1"])?;
        compact(cluster)?;
        // Its memory of what happened goes with the process.
        cluster.control_plane(Component::ApiServer, ComponentAction::Kill)?;
        cluster.start_api_server()?;
        all_reach(&routes[..1], &["web-1", "web-2"])?;
        blocked.open()?;
        all_reach(&routes, &["web-1"])?;
        all_answer(cluster, "new")
    });
}

#[test]
fn connections_that_are_open_and_dead_are_noticed() {
    in_api_lab(web(), |cluster| {
        let routes = web_routes(cluster)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        // The kernel goes on to acknowledge, and nobody ever answers.
        cluster.control_plane(Component::ApiServer, ComponentAction::Freeze)?;
        undisturbed(&routes, || all_answer(cluster, "web"))?;
        cluster.control_plane(Component::ApiServer, ComponentAction::Thaw)?;
        cluster.unready("web-2")?;
        all_reach(&routes, &["web-1"])?;
        // Packets vanish, in the middle of a watch, and the connection with them.
        let blocked = Blocked::cut(cluster, 1)?;
        cluster.ready("web-2")?;
        all_reach(&routes[1..], &["web-1", "web-2"])?;
        cluster.control_plane(Component::ApiServer, ComponentAction::Kill)?;
        cluster.start_api_server()?;
        blocked.open()?;
        all_reach(&routes, &["web-1", "web-2"])
    });
}

#[test]
fn a_slow_connection_takes_its_time_and_is_not_given_up() {
    in_api_lab(web(), |cluster| {
        let routes = web_routes(cluster)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        on_disk(cluster)?;
        // More than goes through a narrow way in the time that a silent server is given.
        for number in 0..SLOW_SERVICES {
            let object = json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {
                    "name": format!("slow-{number}"),
                    "annotations": {"example.com/noise": noise(number)},
                },
                "spec": {"ports": [{"port": 80}]},
            });
            cluster.api().create("/api/v1/namespaces/default/services", &object)?;
        }
        cluster.kill_podway(1)?;
        cluster.unready("web-2")?;
        all_reach(&routes[1..], &["web-1"])?;
        let narrow = Blocked::narrowed(cluster, 1, SLOW_KILOBYTES)?;
        cluster.start_podway(1)?;
        // Until all is there, the view of before holds.
        ensure!(cluster.metric(1, "podway_view_from_disk")? > 0.0, "it came at once");
        routes[0].reaches(&["web-1", "web-2"].map(str::to_owned).into())?;
        cluster.metric_becomes(1, "podway_view_from_disk", 0.0)?;
        all_reach(&routes, &["web-1"])?;
        let last = format!("slow-{}", SLOW_SERVICES - 1);
        let address = cluster.cluster_ip(&last, Family::V4)?.to_string();
        answers(cluster, 1, &format!("{last}.default.svc.cluster.local"), &[address])?;
        let failures = cluster.metric(1, "podway_api_failures_total{kind=\"service\"}")?;
        ensure!(failures == 0.0, "{failures} lists were given up");
        // What changes from now on comes in time, slow as the way is.
        cluster.ready("web-2")?;
        all_reach(&routes, &["web-1", "web-2"])?;
        narrow.open()
    });
}

#[test]
fn a_watch_that_lay_idle_still_brings_the_next_change() {
    in_api_lab(web(), |cluster| {
        let routes = web_routes(cluster)?;
        // Leases, which nobody watches, move the store on without a word to the daemons.
        for number in 0..200 {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": format!("idle-{number}")},
            });
            cluster
                .api()
                .create("/apis/coordination.k8s.io/v1/namespaces/default/leases", &lease)?;
        }
        cluster.unready("web-2")?;
        all_reach(&routes, &["web-1"])
    });
}

#[test]
fn a_burst_of_services_is_programmed_and_named() {
    in_api_lab(web(), |cluster| {
        let api = cluster.api();
        let path = "/api/v1/namespaces/default/services";
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|part| {
                    let api = api.clone();
                    scope.spawn(move || -> Result<()> {
                        (0..BURST).filter(|index| index % 8 == part).try_for_each(|index| {
                            let object = json!({
                                "apiVersion": "v1", "kind": "Service",
                                "metadata": {"name": format!("burst-{index}")},
                                "spec": {"selector": {"app": "web"}, "ports": [
                                    {"port": 80, "targetPort": 8080},
                                ]},
                            });
                            api.create(path, &object).map(drop)
                        })
                    })
                })
                .collect();
            makers.into_iter().try_for_each(|maker| match maker.join() {
                Ok(made) => made,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        // The controllers make their slices; then every one is reached and named.
        cluster.wait_until("the last slices", || {
            let slices =
                api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?limit=1")?;
            let left = slices["metadata"]["remainingItemCount"].as_u64().unwrap_or_default();
            Ok(usize::try_from(left)? + 1 >= BURST)
        })?;
        let pods: BTreeSet<_> = ["web-1", "web-2"].map(str::to_owned).into();
        for index in [0, BURST / 2, BURST - 1] {
            let object = api.get(&format!("{path}/burst-{index}"))?;
            let address = object["spec"]["clusterIP"].as_str().context("no address")?.to_owned();
            let to = (address.parse::<std::net::IpAddr>()?, 80).into();
            cluster.route(&client(1), Transport::Tcp, to).reaches(&pods)?;
            let name = format!("burst-{index}.default.svc.cluster.local");
            answers(cluster, 1, &name, &[address])?;
        }
        Ok(())
    });
}

#[test]
fn of_two_api_servers_the_one_that_lives_is_used() {
    let dead = format!("https://192.168.77.251:{API_PORT}");
    let refuses = "https://192.168.77.250:6444";
    let lives = format!("https://192.168.77.250:{API_PORT}");
    let builder = web().podway_argument(format!("--api-endpoints={dead},{refuses},{lives}"));
    in_api_lab(builder, |cluster| {
        let routes = web_routes(cluster)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        cluster.unready("web-2")?;
        all_reach(&routes, &["web-1"])
    });
}

#[test]
fn a_restart_without_an_api_server_goes_on_from_the_last_view() {
    in_api_lab(web(), |cluster| {
        let routes = web_routes(cluster)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        on_disk(cluster)?;
        cluster.control_plane(Component::ApiServer, ComponentAction::Kill)?;
        cluster.kill_podway(1)?;
        cluster.nft(1, &["flush", "ruleset"])?;
        cluster.start_podway(1)?;
        all_reach(&routes, &["web-1", "web-2"])?;
        let name = "web.default.svc.cluster.local";
        let server = cluster.node_ip(1, Family::V4);
        let response = cluster.lookup(&Place::node(1), &[name]).ask_at(server)?;
        ensure!(response.data().len() == 1, "{:?}", response.data());
        cluster.metric_becomes(1, "podway_view_from_disk", 1.0)?;
        // It is followed again as soon as it is back.
        cluster.start_api_server()?;
        cluster.unready("web-2")?;
        all_reach(&routes, &["web-1"])?;
        cluster.metric_becomes(1, "podway_view_from_disk", 0.0)
    });
}

#[test]
fn a_lab_without_podway_has_a_cluster_as_kubectl_sees_it() {
    let builder = Lab::builder().without_podway().manifests(
        podway_tests_netns::manifests::deployment("web", 2)
            + &service("web", "ports: [{port: 80}]"),
    );
    in_api_lab(builder, |cluster| {
        let pods = cluster.kubectl(&["get", "pods", "-o", "wide"], "")?.checked()?;
        ensure!(pods.matches("Running").count() == 2, "{pods}");
        cluster.wait_until("the controller's slice", || {
            let slices =
                cluster.kubectl(&["get", "endpointslices", "-o", "json"], "")?.checked()?;
            Ok(slices.contains("endpointslice-controller.k8s.io")
                && cluster
                    .addresses("web-", Family::V4)?
                    .iter()
                    .all(|address| slices.contains(&address.to_string())))
        })
    });
}

#[test]
fn a_pod_of_the_manifests_runs_once_the_lab_is_up() {
    // Nothing else is waited for, so nothing else gives the lab the time.
    let builder = Lab::builder().without_podway().manifests(pod("alone", 1, ""));
    in_api_lab(builder, |cluster| {
        cluster.exec(&Place::pod("alone"), &["true"])?.checked().map(drop)
    });
}
