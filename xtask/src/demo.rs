//! `cargo xtask demo`: the manifests of common tutorials, at work on real packets and names.
#![expect(clippy::print_stdout, reason = "the command reports to a person")]

mod names;
mod report;
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use podway_tests_lab::Lab;

use crate::lab::describe;
use crate::require;
use report::Report;

/// Manifests of the first lab.
const SCENARIOS: [&str; 5] = [
    include_str!("../../tests/lab/scenarios/1-backend.yaml"),
    include_str!("../../tests/lab/scenarios/2-node-port.yaml"),
    include_str!("../../tests/lab/scenarios/5-stateful-set.yaml"),
    include_str!("../../tests/lab/scenarios/6-busybox.yaml"),
    include_str!("../../tests/lab/scenarios/7-readiness.yaml"),
];

/// Manifests of the lab with a domain of its own.
const MAGEDU: &str = include_str!("../../tests/lab/scenarios/4-magedu.yaml");

/// One part of the demonstration.
type Part = fn(&Lab, &mut Report) -> Result<()>;

/// What is shown in the first lab.
const PARTS: [(&str, Part); 7] = [
    ("a backend behind a ClusterIP", traffic::cluster_ip),
    ("web servers behind node ports", traffic::node_port),
    ("an unready pod gets nothing and comes back", traffic::readiness),
    ("a readiness probe decides who serves", traffic::probe),
    ("names of Services, as looked up from busybox", names::services),
    ("a StatefulSet with a headless Service", names::stateful_set),
    ("short names from inside a pod", names::search_path),
];

/// Shows everything; fails when an expectation does.
pub(crate) fn run() -> Result<ExitCode> {
    require::programs("labs")?;
    crate::lab::build(true)?;
    let mut report = Report::default();
    let lab = start("cluster.local", &SCENARIOS)?;
    for (title, show) in PARTS {
        report.part(title, |report| show(&lab, report));
    }
    drop(lab);
    let lab = start("magedu.local", &[MAGEDU])?;
    report.part("a cluster domain of one's own", |report| names::custom_domain(&lab, report));
    drop(lab);
    println!("\n{}", report.summary());
    Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts a lab with the cluster domain `domain`.
fn start(domain: &str, manifests: &[&str]) -> Result<Lab> {
    let began = Instant::now();
    let mut builder = Lab::builder().cluster_domain(domain);
    for text in manifests {
        builder = builder.manifests(*text);
    }
    let lab = builder.start()?;
    let status = lab.status()?;
    println!(
        "\n== a cluster of {} nodes and {} pods, domain {domain}, up in {} ms ==\n\n{}",
        status.nodes.len(),
        status.pods.len(),
        began.elapsed().as_millis(),
        describe(&status)
    );
    Ok(lab)
}
