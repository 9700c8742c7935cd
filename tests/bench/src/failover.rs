//! `failover`: how many queries a pod loses when the daemon of its node is killed, or restarted.
//!
//! Two nodes with real daemons, and a pod that asks the ClusterIP of DNS at a steady rate from
//! sixteen ports, each query once. What nobody answered is counted; the rate makes a time of it.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use podway_tests_lab::{Family, Lab, Place, Report};

use crate::table;

/// The pod that asks, on the first node.
const CLIENT: &str = "client";

/// Its manifest.
const MANIFESTS: &str = "{apiVersion: v1, kind: Pod, metadata: {name: client}, \
    spec: {nodeName: node-1, containers: [{name: main}]}}";

/// The node whose daemon ends, and the one that answers for it.
const NODE: u8 = 1;
const OTHER: u8 = 2;

/// What is asked: every daemon knows it.
const NAME: &str = "kubernetes.default.svc.cluster.local.";

/// Queries that one daemon has answered before it is taken to be at work.
const ENOUGH: u64 = 500;

/// Arguments of `failover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often the daemon is ended in each way.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Queries a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=5000))]
    rate: u32,
}

/// How a daemon ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It is killed, and stays away.
    Killed,
    /// It is told to stop, and started again.
    Restarted,
}

/// Measures both ways and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    eprintln!("starting a lab of two nodes ...");
    let lab = Lab::builder()
        .manifests(MANIFESTS)
        .podway_argument("--dns-node-local")
        .start()
        .context("no lab")?;
    let mut table = table::with(
        ["daemon of the node", "run", "queries", "lost", "from the first lost to the last"]
            .map(str::to_owned)
            .into(),
    );
    for (end, name) in [(End::Killed, "killed (SIGKILL)"), (End::Restarted, "stopped and started")]
    {
        for run in 1..=args.runs {
            eprintln!("{name}, run {run} of {} ...", args.runs);
            let Report { sent, lost, failed, lost_span_ms } = once(&lab, end, args.rate)?;
            anyhow::ensure!(failed == 0, "{failed} answers are errors");
            table.add_row(vec![
                name.to_owned(),
                run.to_string(),
                sent.to_string(),
                lost.to_string(),
                format!("{lost_span_ms} ms"),
            ]);
        }
    }
    writeln!(std::io::stdout(), "{} queries a second\n\n{table}", args.rate)?;
    Ok(())
}

/// Ends the daemon once under load; what became of the queries. Everything is as before after it.
fn once(lab: &Lab, end: End, rate: u32) -> Result<Report> {
    let address = lab
        .status()?
        .services
        .into_iter()
        .find(|service| service.name.to_string() == "kube-system/kube-dns")
        .and_then(|service| service.cluster_ips.first()?.parse().ok())
        .context("no ClusterIP of DNS")?;
    let service = SocketAddr::new(address, 53);
    let other = SocketAddr::new(lab.node_ip(OTHER, Family::V4), 53);
    wait_active(lab, service)?;
    let (here, there) = (asked(lab, NODE, service)?, asked(lab, OTHER, other)?);
    let queries = lab.queries(&Place::pod(CLIENT), service, NAME, rate)?;
    lab.wait_until("queries to be answered on the node", || {
        Ok(asked(lab, NODE, service)? > here + ENOUGH)
    })?;
    let answered_there = || {
        lab.wait_until("queries to be answered by the other node", || {
            Ok(asked(lab, OTHER, other)? > there + ENOUGH)
        })
    };
    let report = match end {
        End::Killed => {
            lab.kill_podway(NODE)?;
            answered_there()?;
            let report = queries.end()?;
            lab.start_podway(NODE)?;
            report
        }
        End::Restarted => {
            lab.stop_podway(NODE)?;
            answered_there()?;
            lab.start_podway(NODE)?;
            lab.wait_until("queries to be answered on the node again", || {
                Ok(asked(lab, NODE, service)? > ENOUGH)
            })?;
            queries.end()?
        }
    };
    Ok(report)
}

/// Waits until the daemon answers at the ClusterIP itself.
fn wait_active(lab: &Lab, service: SocketAddr) -> Result<()> {
    let line = format!("podway_dns_node_local_active{{address=\"{}\"}} 1", service.ip());
    lab.wait_until("the node to answer", || Ok(metrics(lab, NODE)?.contains(&line)))
}

/// Queries for addresses that the daemon of a node has had at `server`.
fn asked(lab: &Lab, node: u8, server: SocketAddr) -> Result<u64> {
    let label = format!("server=\"dns://{server}\"");
    let text = metrics(lab, node)?;
    let lines = text.lines().filter(|line| {
        line.starts_with("coredns_dns_requests_total{")
            && line.contains(&label)
            && line.contains("type=\"A\"")
    });
    lines.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?)).sum()
}

fn metrics(lab: &Lab, node: u8) -> Result<String> {
    let command = ["curl", "-gsSf", "--max-time", "5", "http://127.0.0.1:10249/metrics"];
    lab.exec(&Place::node(node), &command)?.checked()
}
