//! New connections without pause, while endpoints and Services churn and while the daemon restarts,
//! dies and is replaced: none fails, none reaches a pod that is out or another Service's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use podway_tests_lab::{Answer, Family, Lab, Place, Transport};
use podway_tests_netns::manifests::{WEB, client, clients, pod, service, web};
use podway_tests_netns::{Cluster, FAMILIES, Route, in_lab};

use super::routes;

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
    let manifests = web() + &pod("web-3", 1, "");
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
