//! `program`: how long the kernel takes to be told of a cluster, and of one change of it.
//!
//! Podway is measured twice: its parts in a process of their own, and the real daemon from outside.
//! The other side is `nft -f` with what kube-proxy would give it, and nothing else: neither
//! kube-proxy's own work, nor its listing of chains, nor the second it waits between two syncs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podway_proxy_nft::kernel::Kernel;
use podway_proxy_nft::monitor::Monitor;
use podway_tests_synthetic::{Cluster, MAX_ENDPOINTS, POD_CIDR};

use crate::daemon::{self, Daemon};
use crate::measure::{Repeats, Sample};
use crate::namespace::{self, User};

mod nft;
pub(crate) mod podway;
mod report;
pub(crate) mod shape;

use shape::{Release, Ruleset};

/// Longest time that repeats of one measurement may take; what is slower is measured once.
const BUDGET: Duration = Duration::from_secs(30);

/// Most changes measured of the other side, each of which may take seconds.
const MOST_OTHER_CHANGES: usize = 20;

/// Longest wait for the commit of one change.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// Arguments of `program`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Numbers of Services, smallest first.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000",
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    services: Vec<u32>,
    /// Endpoints of each Service.
    #[arg(long, default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ENDPOINTS)))]
    endpoints: u32,
    /// Most times that everything is programmed from nothing; what is slow is done once.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Changes of one endpoint.
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Releases of kube-proxy whose shape is loaded for comparison.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "1.37,1.35")]
    against: Vec<Release>,
    /// The daemon's program [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

/// Everything measured at one size.
#[derive(Debug)]
struct Outcome {
    cluster: Cluster,
    parts: podway::Parts,
    daemon: Followed,
    others: Vec<(Release, nft::Loads)>,
}

/// The real daemon from outside.
#[derive(Debug)]
struct Followed {
    /// From its start to ready.
    starts: Sample,
    /// From the renaming of a changed file to the commit.
    changes: Sample,
    /// Most memory that the process held.
    peak_bytes: u64,
}

/// Measures everything and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    let program = daemon::find(args.daemon.as_deref())?;
    namespace::raise_loopback()?;
    if namespace::user()? == User::Mapped {
        eprintln!(
            "note: without root the kernel refuses large transactions (\"Message too long\"): nft's \
             beyond net.core.wmem_default, podway's beyond twice net.core.wmem_max; run the default \
             sizes as root, with sudo"
        );
    }
    let mut outcomes = Vec::new();
    for &services in &args.services {
        let cluster = Cluster { services, endpoints: args.endpoints };
        let outcome = measure(args, cluster, &program);
        outcomes.push(outcome.with_context(|| format!("with {services} Services"))?);
    }
    report::print(&outcomes)
}

/// Measures everything at one size.
fn measure(args: &Args, cluster: Cluster, program: &Path) -> Result<Outcome> {
    let Cluster { services, endpoints } = cluster;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let repeats = Repeats { most: args.runs, budget: BUDGET };
    let mut others = Vec::new();
    for &release in &args.against {
        eprintln!("{services} x {endpoints}: kube-proxy {} ...", release.name());
        let ruleset = Ruleset { cluster, release, pods: POD_CIDR };
        let changes = args.changes.min(MOST_OTHER_CHANGES);
        others.push((release, nft::measure(folder, ruleset, repeats, changes)?));
    }
    let manifests = Manifests::write(folder, cluster)?;
    eprintln!("{services} x {endpoints}: podway, its parts ...");
    let parts = podway::measure(&podway::Args {
        manifests: manifests.folder.clone(),
        services,
        endpoints,
        runs: args.runs,
        changes: args.changes,
    })?;
    eprintln!("{services} x {endpoints}: podway, the daemon ...");
    let daemon = follow(program, &manifests, repeats, args.changes)?;
    Ok(Outcome { cluster, parts, daemon, others })
}

/// Starts the daemon several times; the last one is shown changes.
fn follow(
    program: &Path,
    manifests: &Manifests,
    repeats: Repeats,
    changes: usize,
) -> Result<Followed> {
    let log = manifests.staging.join("podway.log");
    let start = || -> Result<_> {
        let start = Instant::now();
        let mut daemon = Daemon::start(program, &manifests.folder, POD_CIDR, &log)?;
        daemon.wait_until_ready()?;
        Ok((start.elapsed(), daemon))
    };
    let mut starts = repeats.run(|_| {
        let (took, daemon) = start()?;
        daemon.stop()?;
        Ok(took)
    })?;
    let (took, daemon) = start()?;
    starts.push(took);
    let changes = (0..changes)
        .map(|number| follow_one(manifests, number))
        .collect::<Result<Vec<_>>>()
        .with_context(|| daemon.last_words())?;
    let peak_bytes = daemon.peak_bytes()?;
    daemon.stop()?;
    Ok(Followed { starts: Sample::new(starts)?, changes: Sample::new(changes)?, peak_bytes })
}

/// The time from the renaming of a changed file until the kernel tells of the commit.
fn follow_one(manifests: &Manifests, number: usize) -> Result<Duration> {
    // A monitor of its own for each change hears nothing of the ones before.
    let mut monitor = Monitor::open(&Kernel::open()?)?;
    let (service, incarnation) = nth_change(manifests.cluster, number)?;
    let staged = manifests.stage(service, incarnation)?;
    let start = Instant::now();
    fs::rename(staged, manifests.slice(service))?;
    let heard = monitor.wait(CHANGE_LIMIT)?;
    let took = start.elapsed();
    ensure!(heard.is_some(), "no commit followed the change of Service {service}");
    Ok(took)
}

/// Which Service the change of that number is of, and the incarnation that its first endpoint gets.
fn nth_change(cluster: Cluster, number: usize) -> Result<(u32, u32)> {
    /// Coprime to every number of Services that people choose, so that changes are spread.
    const STRIDE: u64 = 7_919;
    let (number, services) = (u64::try_from(number)?, u64::from(cluster.services));
    let service = number * STRIDE % services;
    Ok((u32::try_from(service)?, u32::try_from(1 + number / services)?))
}

/// A folder of manifests, one file for each object.
#[derive(Debug)]
struct Manifests {
    cluster: Cluster,
    folder: PathBuf,
    /// Beside it, on the same file system.
    staging: PathBuf,
}

impl Manifests {
    fn write(parent: &Path, cluster: Cluster) -> Result<Self> {
        let [folder, staging] = ["manifests", "staging"].map(|name| parent.join(name));
        fs::create_dir(&folder)?;
        fs::create_dir(&staging)?;
        let manifests = Self { cluster, folder, staging };
        for service in 0..cluster.services {
            let file = manifests.folder.join(format!("s{service}.json"));
            fs::write(file, cluster.service_manifest(service).to_string())?;
            fs::rename(manifests.stage(service, 0)?, manifests.slice(service))?;
        }
        Ok(manifests)
    }

    /// The file of the slice of `service`.
    fn slice(&self, service: u32) -> PathBuf {
        self.folder.join(format!("s{service}-x.json"))
    }

    /// Writes the slice of `service` outside of the folder.
    fn stage(&self, service: u32, incarnation: u32) -> Result<PathBuf> {
        let path = self.staging.join("slice.json");
        let mut file = fs::File::create(&path)?;
        file.write_all(self.cluster.slice_manifest(service, incarnation).to_string().as_bytes())?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_moves_an_endpoint() {
        let cluster = Cluster { services: 3, endpoints: 1 };
        let changes: Vec<_> = (0..6).map(|number| nth_change(cluster, number).unwrap()).collect();
        for service in 0..3 {
            let incarnations: Vec<_> =
                changes.iter().filter(|(of, _)| *of == service).map(|(_, to)| *to).collect();
            assert_eq!(incarnations, [1, 2]);
        }
    }
}
