//! Connections: which pods answer.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use podway_tests_lab::{Family, Lab, Place, ServiceStatus};

use super::report::Report;

/// Requests of one question: with three pods the odds that one is never chosen are below one in
/// a billion.
const REQUESTS: usize = 60;

/// Exit code of curl for a refused connection.
const REFUSED: i32 = 7;

/// The client pod of the backend.
fn client() -> Place {
    Place::pod_in("k8sdemo", "client")
}

/// Names of the ready pods that begin with `prefix`.
fn ready_pods(lab: &Lab, prefix: &str) -> Result<BTreeSet<String>> {
    let pods = lab.pods(prefix)?.into_iter().filter(|pod| pod.ready);
    Ok(pods.map(|pod| pod.name.name).collect())
}

fn service(lab: &Lab, name: &str) -> Result<ServiceStatus> {
    let services = lab.status()?.services;
    let found = services.into_iter().find(|service| service.name.to_string() == name);
    found.with_context(|| format!("no Service {name}"))
}

/// Asks `url` from `place` many times; exactly the `expected` pods must answer.
fn ask(
    lab: &Lab,
    report: &mut Report,
    (place, url): (&Place, &str),
    expected: &BTreeSet<String>,
) -> Result<()> {
    let answers = lab.ask(place, url, REQUESTS)?;
    report.answers((&place.to_string(), url), &answers.by_pod(), expected);
    Ok(())
}

/// Scenario 1: a ClusterIP, by name and by address, from a pod and from a node.
pub(super) fn cluster_ip(lab: &Lab, report: &mut Report) -> Result<()> {
    let pods = ready_pods(lab, "k8sdemo/backend-")?;
    let addresses = service(lab, "k8sdemo/backend")?.cluster_ips;
    let by_address = format!("http://{}:8080/", addresses.join(","));
    ask(lab, report, (&client(), "http://backend:8080/"), &pods)?;
    ask(lab, report, (&client(), &by_address), &pods)?;
    ask(lab, report, (&Place::node(1), &by_address), &pods)?;
    let own = lab.pod_addresses("k8sdemo/client")?.of(Family::V4);
    let answers = lab.ask(&client(), &by_address, REQUESTS)?;
    let kept = answers.0.iter().all(|answer| answer.client.ip() == own);
    report.expect(&format!("the pods see the client's own address {own}"), kept);
    Ok(())
}

/// Scenario 2: node ports from outside, on every node and in both families.
pub(super) fn node_port(lab: &Lab, report: &mut Report) -> Result<()> {
    let httpd = ready_pods(lab, "httpd-")?;
    for node in [1, 2] {
        let url = format!("http://{}:30001/", lab.node_ip(node, Family::V4));
        ask(lab, report, (&Place::Outside, &url), &httpd)?;
        let url = format!("http://[{}]:30001/", lab.node_ip(node, Family::V6));
        ask(lab, report, (&Place::Outside, &url), &httpd)?;
    }
    let ports = service(lab, "default/nginx-service")?.ports.join(",");
    let port = ports.split([':', '/']).nth(1).unwrap_or_default().to_owned();
    let url = format!("http://{}:{port}/", lab.node_ip(1, Family::V4));
    ask(lab, report, (&Place::Outside, &url), &ready_pods(lab, "nginx-deployment-")?)
}

/// Scenario 7: pods that are made unready and ready again.
pub(super) fn readiness(lab: &Lab, report: &mut Report) -> Result<()> {
    let url = format!("http://{}:30001/", lab.node_ip(2, Family::V4));
    let question = (&Place::Outside, url.as_str());
    let all = ready_pods(lab, "httpd-")?;
    let unready = all.first().context("no httpd pod")?;
    lab.unready(unready)?;
    println!("made {unready} unready");
    let rest: BTreeSet<_> = all.iter().filter(|pod| *pod != unready).cloned().collect();
    wait_for_answers(lab, question, &rest)?;
    ask(lab, report, question, &rest)?;
    for pod in &rest {
        lab.unready(pod)?;
    }
    println!("made all of them unready");
    let refused = lab.wait_until("the node port to refuse", || {
        Ok(lab.exec(&Place::Outside, &["curl", "-sS", "-m", "5", &url])?.code == REFUSED)
    });
    report.expect(&format!("{url} without ready pods: refused at once"), refused.is_ok());
    for pod in &all {
        lab.ready(pod)?;
    }
    println!("made all of them ready again");
    wait_for_answers(lab, question, &all)?;
    ask(lab, report, question, &all)
}

/// Scenario 7: a readiness probe that fails and passes again.
pub(super) fn probe(lab: &Lab, report: &mut Report) -> Result<()> {
    let url = "http://readiness.default/";
    let place = client();
    let all = ready_pods(lab, "readiness-")?;
    let failing = all.first().context("no readiness pod")?;
    let rest: BTreeSet<_> = all.iter().filter(|pod| *pod != failing).cloned().collect();
    lab.exec(&Place::pod(failing), &["touch", "/tmp/failing"])?.checked()?;
    println!("made the probe of {failing} fail");
    wait_for_answers(lab, (&place, url), &rest)?;
    ask(lab, report, (&place, url), &rest)?;
    lab.exec(&Place::pod(failing), &["rm", "/tmp/failing"])?.checked()?;
    println!("made it pass again");
    wait_for_answers(lab, (&place, url), &all)?;
    ask(lab, report, (&place, url), &all)
}

/// Waits until exactly the `expected` pods answer.
fn wait_for_answers(
    lab: &Lab,
    (place, url): (&Place, &str),
    expected: &BTreeSet<String>,
) -> Result<()> {
    lab.wait_until(&format!("{url} to be answered by the right pods"), || {
        let found: BTreeSet<_> = match lab.ask(place, url, REQUESTS / 2) {
            Ok(answers) => answers.by_pod().into_keys().collect(),
            // Refused as long as no pod is ready.
            Err(_) => BTreeSet::new(),
        };
        Ok(found == *expected)
    })
}
