//! `dns`: how many questions about a large cluster one processor answers, beside another server.
//!
//! Both servers have the same names: Knot's zone file is the text of our index. Each has one
//! processor to itself, and the load (`dnsperf`) another; they are measured in turns. The load is
//! seldom faster than a server, so that what decides is the processor time of a query.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use podway_tests_synthetic::{Cluster, MAX_ENDPOINTS};

use crate::namespace;

mod load;
mod processors;
mod questions;
mod report;
pub(crate) mod serve;
mod server;

use load::{Burst, Pace};
use processors::Processors;
use questions::Questions;
use server::{Kind, Server};

/// Arguments of `dns`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of Services.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    services: u32,
    /// Endpoints of each Service.
    #[arg(long, default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ENDPOINTS)))]
    endpoints: u32,
    /// Seconds of each leg.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Legs of each server.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Queries per second of the legs that measure latency.
    #[arg(long, default_value_t = 20_000)]
    pace: u32,
    /// The program of CoreDNS, to be measured too, with its `file` plugin; `cargo xtask peers coredns`
    /// builds one, which is measured by itself.
    #[arg(long, value_name = "FILE", env = "PODWAY_BENCH_COREDNS")]
    coredns: Option<PathBuf>,
}

/// One server with everything that was measured of it.
#[derive(Debug)]
struct Outcome {
    kind: Kind,
    version: String,
    bursts: Vec<Burst>,
    paces: Vec<Pace>,
    /// Memory held after the load.
    resident_bytes: u64,
    /// Most memory held at any time.
    peak_bytes: u64,
}

/// Measures everything and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    namespace::raise_loopback()?;
    let processors = Processors::choose()?;
    let kinds = kinds(args);
    server::require(&kinds)?;
    let folder = tempfile::tempdir()?;
    let cluster = Cluster { services: args.services, endpoints: args.endpoints };
    eprintln!("writing the zone of {} x {} ...", args.services, args.endpoints);
    let index = serve::index(cluster)?.0;
    fs::write(folder.path().join(server::ZONE_FILE), questions::zone_file(&index))?;
    drop(index);
    let questions = Questions::new(cluster);
    let data = folder.path().join("questions");
    fs::write(&data, questions.to_string())?;
    same_answers(&kinds, folder.path(), processors, &questions)?;
    let mut outcomes = Vec::new();
    for kind in kinds {
        let version = kind.version()?;
        let (bursts, paces) = (Vec::new(), Vec::new());
        outcomes.push(Outcome { kind, version, bursts, paces, resident_bytes: 0, peak_bytes: 0 });
    }
    for run in 1..=args.runs {
        for outcome in &mut outcomes {
            eprintln!("{}, {run} of {} ...", outcome.kind.name(), args.runs);
            leg(outcome, args, folder.path(), processors)?;
        }
    }
    report::print(args, processors, &outcomes)
}

/// The servers to measure, ours first.
fn kinds(args: &Args) -> Vec<Kind> {
    let cluster = Cluster { services: args.services, endpoints: args.endpoints };
    let mut kinds = vec![Kind::Podway(cluster), Kind::Knot];
    kinds.extend(args.coredns.clone().map(Kind::CoreDns));
    kinds
}

/// Measures one server once, from its start.
fn leg(outcome: &mut Outcome, args: &Args, folder: &Path, processors: Processors) -> Result<()> {
    let server = Server::start(&outcome.kind, folder, processors.server)?;
    let data = folder.join("questions");
    let seconds = Duration::from_secs(args.seconds.into());
    // What is loaded when it is first used is not to be measured.
    load::burst(&server, &data, processors.load, Duration::from_secs(1))?;
    outcome.bursts.push(load::burst(&server, &data, processors.load, seconds)?);
    outcome.paces.push(load::pace(&server, &data, processors.load, args.pace)?);
    outcome.resident_bytes = outcome.resident_bytes.max(server.resident_bytes()?);
    outcome.peak_bytes = outcome.peak_bytes.max(server.peak_bytes()?);
    Ok(())
}

/// Makes sure that all servers say the same: a fast wrong answer is no achievement.
fn same_answers(
    kinds: &[Kind],
    folder: &Path,
    processors: Processors,
    questions: &Questions,
) -> Result<()> {
    let mut expected: Option<Vec<String>> = None;
    for kind in kinds {
        let server = Server::start(kind, folder, processors.server)?;
        let answers = questions
            .sample()
            .map(|question| server.ask(question))
            .collect::<Result<Vec<_>>>()
            .with_context(|| format!("ask {}", kind.name()))?;
        let expected = expected.get_or_insert_with(|| answers.clone());
        for (own, other) in expected.iter().zip(&answers) {
            ensure!(own == other, "podway says {own}, {} says {other}", kind.name());
        }
    }
    Ok(())
}
