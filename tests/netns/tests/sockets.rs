//! The eBPF back end on the real kernel: sockets of pods and nodes that are translated when they
//! are connected. The other suites run with it too, with `PODWAY_TEST_PROXY_MODE=ebpf`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Answer, Binaries, Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{client, clients, pod, service};
use podway_tests_netns::{Cluster, FAMILIES, Route, in_lab};

/// TCP and UDP behind a ClusterIP and a node port, in both families.
const WEB: &str = "type: NodePort, ipFamilyPolicy: PreferDualStack, ports: [\
    {name: stream, port: 80, targetPort: 8080, nodePort: 30001}, \
    {name: datagrams, port: 80, targetPort: 8080, protocol: UDP, nodePort: 30001}]";

/// Labels of the gauge where eBPF is in use.
const ACTIVE: &str = "podway_ebpf_active{reason=\"\"}";

fn manifests() -> String {
    pod("web-1", 1, "") + &pod("web-2", 2, "") + &service("web", WEB) + &clients()
}

fn names(pods: &[&str]) -> BTreeSet<String> {
    pods.iter().map(|&name| name.to_owned()).collect()
}

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
    let command = ["conntrack", "-L", "--orig-dst", address];
    let listed = cluster.exec(&Place::node(number), &command)?.checked()?;
    Ok(listed.lines().filter(|line| line.contains(address)).count())
}

#[test]
fn sockets_go_straight_to_the_pods_and_no_packet_has_the_service_address() {
    in_lab(Lab::builder().manifests(manifests()).ebpf(), |cluster| {
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
    let manifests = manifests() + "---\n" + hashed + "\n";
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
    let builder = Lab::builder().manifests(manifests()).nftables();
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
    in_lab(Lab::builder().manifests(manifests()).ebpf(), |cluster| {
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

/// Which pods are out for certain, and how often each has come or gone.
#[derive(Debug, Default)]
struct Absences(Mutex<BTreeMap<String, usize>>);

impl Absences {
    /// The pods that are out now, each with the number of this absence.
    fn now(&self) -> BTreeMap<String, usize> {
        self.0.lock().map(|absences| absences.clone()).unwrap_or_default()
    }

    fn begin(&self, pod: &str, number: usize) {
        if let Ok(mut absences) = self.0.lock() {
            absences.insert(pod.to_owned(), number);
        }
    }

    fn end(&self, pod: &str) {
        if let Ok(mut absences) = self.0.lock() {
            absences.remove(pod);
        }
    }
}

/// Asks along `route` without pause; no request may fail, reach another Service, or reach a pod
/// that was out from before the request until after it.
fn ask_on(route: &Route<'_>, absences: &Absences, over: &AtomicBool) -> Result<usize> {
    let mut asked = 0;
    while !over.load(Ordering::Acquire) {
        let before = absences.now();
        let answers: Vec<Answer> = route.answers(20)?;
        let after = absences.now();
        for answer in &answers {
            let pod = &answer.pod.name;
            ensure!(pod.starts_with("web-"), "{route} reached {pod} of another Service");
            let out = before.get(pod).is_some_and(|number| after.get(pod) == Some(number));
            ensure!(!out, "{route} reached {pod}, which was out");
        }
        asked += answers.len();
    }
    Ok(asked)
}

/// Waits until the daemon of node 1 has taken `address` out of its plan, which it tells only after
/// everything is written.
fn wait_until_gone(cluster: &Cluster, address: &str) -> Result<()> {
    cluster.wait_until(&format!("{address} to be out of the plan"), || {
        Ok(!cluster.admin(1, "/debug/plan")?.contains(&format!("{address}:8080")))
    })
}

#[test]
fn no_connection_fails_or_goes_astray_while_endpoints_and_services_churn() {
    let pods: String =
        (1..=4).map(|index| pod(&format!("web-{index}"), 1 + index % 2, "")).collect();
    let others = pod("other-1", 1, "");
    let manifests = pods + &others + &service("web", WEB) + &clients();
    in_lab(Lab::builder().manifests(manifests).ebpf(), |cluster| {
        let (absences, over) = (Absences::default(), AtomicBool::new(false));
        let asked = AtomicUsize::new(0);
        let (absences, over, asked) = (&absences, &over, &asked);
        let routes = routes(cluster)?;
        thread::scope(|scope| {
            let askers: Vec<_> = routes
                .iter()
                .filter(|route| route.transport() == Transport::Tcp)
                .map(|route| {
                    scope.spawn(move || -> Result<()> {
                        let count = ask_on(route, absences, over)?;
                        asked.fetch_add(count, Ordering::Relaxed);
                        Ok(())
                    })
                })
                .collect();
            let churned = churn(cluster, absences);
            over.store(true, Ordering::Release);
            for asker in askers {
                match asker.join() {
                    Ok(result) => result?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            churned
        })?;
        let asked = asked.load(Ordering::Relaxed);
        ensure!(asked > 100, "only {asked} requests were made meanwhile");
        Ok(())
    });
}

/// Takes pods of `web` out and back, and lets other Services come and go.
fn churn(cluster: &Cluster, absences: &Absences) -> Result<()> {
    // A fixed walk over all pairs of pods: what is random is when requests meet it.
    for turn in 0..12_usize {
        let out = format!("web-{}", 1 + turn % 4);
        let address = cluster.pod_addresses(&out)?.of(Family::V4).to_string();
        // Selects nothing, so it refuses; its frontends come and go beside those of `web`.
        let other = service(&format!("other-{turn}"), "ports: [{port: 80, targetPort: 8080}]");
        cluster.unready(&out)?;
        wait_until_gone(cluster, &address)?;
        absences.begin(&out, turn);
        cluster.apply(&other)?;
        cluster.delete(&other)?;
        absences.end(&out);
        cluster.ready(&out)?;
    }
    Ok(())
}
