//! `watch`: what it costs to follow a real API server, and how long a change of it takes.
//!
//! One lab, one API server, one namespace of a node for each side; one side after the other, so that
//! neither is measured while the other works. A change is one address of one EndpointSlice, patched
//! through the API; the clock stops when the kernel tells of a commit with the new address, or when
//! the answer of the name server has it. Both sides are listened to in the same way, which costs
//! either a message for each element that it commits.

mod cluster;
mod probe;
mod report;
mod side;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use podway_tests_lab::Lab;
use podway_tests_peers::Peer;
use podway_tests_synthetic::{Cluster, MAX_ENDPOINTS};

use crate::daemon;
use crate::measure::Sample;
use cluster::Filled;
pub(crate) use probe::Args as ProbeArgs;
pub(crate) use probe::run as probe;
use side::{Kind, Side};

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Services; one in a hundred is headless.
    #[arg(long, default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(100..=60_000))]
    services: u32,
    /// Endpoints of each Service.
    #[arg(long, default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ENDPOINTS)))]
    endpoints: u32,
    /// Changes to measure, of the kernel and of names each.
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Changes to measure of kube-proxy, each of which takes a second and more.
    #[arg(long, default_value_t = 50)]
    other_changes: usize,
    /// Measures podway alone.
    #[arg(long)]
    alone: bool,
    /// The daemon's program [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

/// What one side costs and takes.
#[derive(Debug)]
struct Outcome {
    kind: Kind,
    /// From its start to ready.
    start: Duration,
    /// Memory held when all was programmed, and the most until the end.
    resident_bytes: u64,
    peak_bytes: u64,
    /// Processor time until it was ready, and for each change, its children included.
    start_cpu: Duration,
    change_cpu: Duration,
    /// From the request to the kernel's word of the commit.
    kernel: Sample,
    /// From the request to the changed answer; only ours has names.
    name: Option<Sample>,
    /// From the request to the API server's answer: what nobody behind it can undercut by much.
    api: Sample,
}

/// Measures everything and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = daemon::find(args.daemon.as_deref())?;
    let mut kinds = vec![Kind::Podway(program)];
    if !args.alone {
        podway_tests_peers::require(&[Peer::KubeProxy])?;
        kinds.push(Kind::KubeProxy(Peer::KubeProxy.find()?));
    }
    let size = Cluster { services: args.services, endpoints: args.endpoints };
    eprintln!("an API server ...");
    let lab = Lab::builder().api_server().without_podway().start()?;
    eprintln!("{} Services with {} endpoints each ...", size.services, size.endpoints);
    let mut filled = Filled::fill(lab.api(), size)?;
    let mut outcomes = Vec::new();
    for (kind, number) in kinds.into_iter().zip(1..) {
        let changes =
            if matches!(kind, Kind::Podway(_)) { args.changes } else { args.other_changes };
        let title = kind.name();
        eprintln!("{title} ...");
        let outcome = measure(&lab, number, kind, (&mut filled, changes));
        outcomes.push(outcome.with_context(|| title.to_owned())?);
    }
    report::print(size, &outcomes)
}

/// Measures one side on node `number`, with so many changes.
fn measure(
    lab: &Lab,
    number: u8,
    kind: Kind,
    (filled, changes): (&mut Filled, usize),
) -> Result<Outcome> {
    let side = Side::start(lab, number, &kind)?;
    let start = side.wait_until_ready()?;
    let start_cpu = side.processor_time()?;
    let resident_bytes = side.resident_bytes()?;
    let mut probe = side.probe()?;
    let (mut kernel, mut api, mut name) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..changes {
        thread::sleep(kind.pace());
        let change = filled.next_balanced();
        probe.expect_commit(change.address)?;
        let times = filled.make(&change)?;
        kernel.push(probe.seen()?.saturating_sub(times.sent));
        api.push(times.answered.saturating_sub(times.sent));
    }
    let change_cpu = side.processor_time()?.saturating_sub(start_cpu)
        / u32::try_from(changes.max(1)).unwrap_or(u32::MAX);
    if matches!(kind, Kind::Podway(_)) {
        for _ in 0..changes {
            let change = filled.next_headless();
            probe.expect_answer(&change.name, change.address)?;
            let times = filled.make(&change)?;
            name.push(probe.seen()?.saturating_sub(times.sent));
        }
    }
    let peak_bytes = side.peak_bytes()?;
    side.stop()?;
    Ok(Outcome {
        kind,
        start,
        resident_bytes,
        peak_bytes,
        start_cpu,
        change_cpu,
        kernel: Sample::new(kernel)?,
        name: if name.is_empty() { None } else { Some(Sample::new(name)?) },
        api: Sample::new(api)?,
    })
}
