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

/// Shows everything; fails when an expectation does.
pub(crate) fn run() -> Result<ExitCode> {
    require::programs("labs")?;
    crate::lab::build(true)?;
    let mut report = Report::default();
    let lab = start("cluster.local", &SCENARIOS)?;
    traffic::cluster_ip(&lab, &mut report)?;
    traffic::node_port(&lab, &mut report)?;
    traffic::readiness(&lab, &mut report)?;
    traffic::probe(&lab, &mut report)?;
    names::services(&lab, &mut report)?;
    names::stateful_set(&lab, &mut report)?;
    names::search_path(&lab, &mut report)?;
    drop(lab);
    let lab = start("magedu.local", &[MAGEDU])?;
    names::custom_domain(&lab, &mut report)?;
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
