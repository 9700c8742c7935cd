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
    let family = if address.contains(':') { "ipv6" } else { "ipv4" };
    let command = ["conntrack", "-L", "-f", family, "--orig-dst", address];
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

/// What goes on while requests are made without pause.
#[derive(Debug, Default)]
struct Load {
    absences: Absences,
    over: AtomicBool,
    asked: AtomicUsize,
}

impl Load {
    /// Asks along `route`, once for each of `count` connections: none may fail, reach a pod of
    /// another Service, or one that was out from before until after.
    fn ask(&self, (service, route): &(&str, Route<'_>), count: usize) -> Result<()> {
        let before = self.absences.now();
        let answers: Vec<Answer> = route.answers(count)?;
        let after = self.absences.now();
        for answer in &answers {
            let pod = &answer.pod.name;
            ensure!(is_of(pod, service), "{route} reached {pod} of another Service");
            let out = before.get(pod).is_some_and(|number| after.get(pod) == Some(number));
            ensure!(!out, "{route} reached {pod}, which was out");
        }
        self.asked.fetch_add(answers.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether nobody shall ask any more: the disturbance is done, or somebody met a failure.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Asks along routes drawn from `routes`, in as many threads as there are `seeds`, until
    /// `disturb` is done.
    fn run(
        &self,
        routes: &[(&str, Route<'_>)],
        seeds: impl Iterator<Item = u64>,
        disturb: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        thread::scope(|scope| {
            let askers: Vec<_> = seeds
                .map(|seed| {
                    scope.spawn(move || -> Result<()> {
                        let mut random = fastrand::Rng::with_seed(seed);
                        while !self.is_over() {
                            let route = random.choice(routes).context("no route")?;
                            let asked = self.ask(route, 50);
                            // The logs shall end with what went on meanwhile.
                            asked.inspect_err(|_| self.over.store(true, Ordering::Release))?;
                        }
                        Ok(())
                    })
                })
                .collect();
            let disturbed = disturb();
            self.over.store(true, Ordering::Release);
            for asker in askers {
                match asker.join() {
                    Ok(result) => result?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            disturbed
        })?;
        let asked = self.asked.load(Ordering::Relaxed);
        ensure!(asked > 500, "only {asked} requests were made meanwhile");
        eprintln!("{asked} connections");
        Ok(())
    }
}

/// Whether `pod` is one of `service`.
fn is_of(pod: &str, service: &str) -> bool {
    pod.rsplit_once('-').is_some_and(|(app, _)| app == service)
}

/// Waits until the daemon of node 1 has taken `address` out of its plan, which it tells only after
/// everything is written.
fn wait_until_gone(cluster: &Cluster, address: &str) -> Result<()> {
    cluster.wait_until(&format!("{address} to be out of the plan"), || {
        Ok(!cluster.admin(1, "/debug/plan")?.contains(&format!("{address}:8080")))
    })
}

/// Services under load, each with pods that no other has, so that an answer says whose it is.
const LOADED: [&str; 3] = ["amber", "birch", "cedar"];

/// Services that come and go beside them, with one pod each, at one ClusterIP.
const FLEETING: [&str; 2] = ["dune", "elder"];

/// The address that those take turns at.
const SHARED: &str = "10.96.0.201";

/// Pods of each Service under load.
const PODS: usize = 4;

/// Random steps of churn.
const STEPS: usize = 60;

/// Seed of the random steps: the one asked for, or any.
fn seed() -> u64 {
    let asked = std::env::var("PODWAY_RANDOM_SEED").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| fastrand::u64(..))
}

#[test]
fn no_connection_fails_or_goes_astray_while_endpoints_and_services_churn() {
    let seed = seed();
    let mut manifests = clients();
    for (name, node_port) in LOADED.iter().zip(30001..) {
        let spec = WEB.replace("30001", &i32::to_string(&node_port));
        manifests += &service(name, &spec);
        for index in 1..=PODS {
            manifests += &pod(&format!("{name}-{index}"), 1 + u8::from(index % 2 == 0), "");
        }
    }
    for name in FLEETING {
        manifests += &pod(&format!("{name}-1"), 1, "");
    }
    in_lab(Lab::builder().manifests(manifests).ebpf(), |cluster| {
        let mut routes = Vec::new();
        for (name, node_port) in LOADED.iter().zip(30001..) {
            for family in FAMILIES {
                let to = [cluster.at(name, family, 80)?, cluster.node_port(1, family, node_port)];
                for (from, to) in [client(1), Place::node(1)].into_iter().zip([to, to]) {
                    for to in to {
                        routes.push((*name, cluster.route(&from, Transport::Tcp, to)));
                    }
                }
            }
        }
        let load = Load::default();
        let churned = load.run(&routes, (0..4).map(|thread| seed ^ thread), || {
            let mut churn =
                Churn { cluster, random: fastrand::Rng::with_seed(seed), out: BTreeSet::new() };
            let mut steps = (0..STEPS).take_while(|_| !load.is_over());
            steps.try_for_each(|step| churn.step(step, &load.absences))
        });
        churned.with_context(|| format!("PODWAY_RANDOM_SEED={seed}"))
    });
}

/// Random changes beside the load.
struct Churn<'a> {
    cluster: &'a Cluster,
    random: fastrand::Rng,
    /// Pods that are not ready.
    out: BTreeSet<String>,
}

impl Churn<'_> {
    fn step(&mut self, step: usize, absences: &Absences) -> Result<()> {
        if self.random.u8(..4) == 0 {
            return self.fleeting();
        }
        let service = self.random.choice(LOADED).context("no Service")?;
        let name = format!("{service}-{}", self.random.usize(1..=PODS));
        let others = self.out.iter().filter(|pod| is_of(pod, service)).count();
        if self.out.remove(&name) {
            absences.end(&name);
            self.cluster.ready(&name)
        } else if others + 1 < PODS {
            let address = self.cluster.pod_addresses(&name)?.of(Family::V4).to_string();
            self.cluster.unready(&name)?;
            wait_until_gone(self.cluster, &address)?;
            absences.begin(&name, step);
            self.out.insert(name);
            Ok(())
        } else {
            Ok(())
        }
    }

    /// Another Service gets the shared address for a while; nobody else may answer there.
    fn fleeting(&mut self) -> Result<()> {
        let name = self.random.choice(FLEETING).context("no Service")?;
        let spec = format!("clusterIP: {SHARED}, ports: [{{port: 80, targetPort: 8080}}]");
        let manifest = service(name, &spec);
        self.cluster.apply(&manifest)?;
        let route = self.cluster.route(&client(1), Transport::Tcp, format!("{SHARED}:80").parse()?);
        route.reaches_pod(&format!("{name}-1"))?;
        self.cluster.delete(&manifest)?;
        // Asked for while it goes: answered by its own pod or not at all.
        for outcome in route.ask(20)?.into_iter().flatten() {
            ensure!(is_of(&outcome.pod.name, name), "{route} reached {}", outcome.pod.name);
        }
        Ok(())
    }
}

/// The command line of the daemon that the lab runs on node 1, with other ports to ask it at.
fn another_daemon(cluster: &Cluster) -> Result<Vec<String>> {
    let find = "for process in /proc/[0-9]*; do \
        if tr '\\0' ' ' <$process/cmdline | grep -q '[p]odway run .*--hostname-override node-1 '; \
        then tr '\\0' '\\n' <$process/cmdline; break; fi; done 2>/dev/null";
    let found = cluster.exec(&Place::node(1), &["sh", "-c", find])?.checked()?;
    let mut words: Vec<String> = found.lines().map(str::to_owned).collect();
    for (flag, address) in
        [("--healthz-bind-address", "0.0.0.0:10258"), ("--metrics-bind-address", "127.0.0.1:10251")]
    {
        let place = words.iter().position(|word| word == flag).context(found.clone())?;
        *words.get_mut(place + 1).context("no address")? = address.to_owned();
    }
    Ok(["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh"]
        .map(str::to_owned)
        .into_iter()
        .chain(words)
        .collect())
}

/// What an update does: a second daemon starts while the first still serves, takes over, and the
/// first ends; then the same the other way round.
fn replace_daemon(cluster: &Cluster, absences: &Absences) -> Result<()> {
    let command = another_daemon(cluster)?;
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let successor = cluster.spawn(&Place::node(1), &command)?;
    cluster.logged(1, &["another podway takes over"])?;
    cluster.stop_podway(1)?;
    // Whoever took over follows the cluster.
    let address = cluster.pod_addresses("web-3")?.of(Family::V4).to_string();
    let plan = "http://127.0.0.1:10251/debug/plan";
    let in_plan = || -> Result<bool> {
        let plan = cluster.exec(&Place::node(1), &["curl", "-gsSf", "--max-time", "5", plan])?;
        Ok(plan.checked()?.contains(&format!("{address}:8080")))
    };
    absences.end("web-3");
    cluster.ready("web-3")?;
    cluster.wait_until("the successor to take web-3 in", in_plan)?;
    cluster.unready("web-3")?;
    cluster.wait_until("the successor to take web-3 out", || Ok(!in_plan()?))?;
    absences.begin("web-3", 1);
    cluster.start_podway(1)?;
    drop(successor);
    cluster.wait_settled()
}

#[test]
fn connections_are_answered_by_ready_pods_while_the_daemon_restarts_dies_and_is_replaced() {
    let manifests = manifests() + &pod("web-3", 1, "");
    in_lab(Lab::builder().manifests(manifests).ebpf(), |cluster| {
        let routes: Vec<_> = routes(cluster)?.into_iter().map(|route| ("web", route)).collect();
        let address = cluster.pod_addresses("web-3")?.of(Family::V4).to_string();
        cluster.unready("web-3")?;
        wait_until_gone(cluster, &address)?;
        let load = Load::default();
        load.absences.begin("web-3", 0);
        let held = routes.iter().map(|(_, route)| route.hold()).collect::<Result<Vec<_>>>();
        let mut flows = held?;
        load.run(&routes, 0..3, || {
            for _ in 0..2 {
                cluster.stop_podway(1)?;
                cluster.start_podway(1)?;
                cluster.kill_podway(1)?;
                cluster.start_podway(1)?;
            }
            replace_daemon(cluster, &load.absences)
        })?;
        flows.iter_mut().try_for_each(|flow| flow.goes_on().map(drop))
    });
}

#[test]
fn sockets_of_a_pod_that_opts_out_are_left_to_nftables() {
    let mesh = "---\n{apiVersion: v1, kind: Pod, metadata: {name: mesh-1, \
        annotations: {podway.dev/sockets: untranslated}}, \
        spec: {nodeName: node-1, containers: [{name: main}]}}\n";
    in_lab(Lab::builder().manifests(manifests() + mesh).ebpf(), |cluster| {
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
    in_lab(Lab::builder().manifests(manifests() + &empty).ebpf(), |cluster| {
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
