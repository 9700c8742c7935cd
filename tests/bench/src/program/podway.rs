//! Podway's way from manifests to the kernel, part by part.
//!
//! The parts are those that the daemon is made of, joined as its sync loop joins them. They run in a
//! process of their own: the one that starts `nft` must stay small (see [`measure::run`]).

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use podway_cluster_model::builder::{Builder, Change};
use podway_cluster_model::name::NodeName;
use podway_cluster_model::snapshot::Delta;
use podway_cluster_watch::manifests;
use podway_cluster_watch::wanted::Extras;
use podway_proxy_nft::kernel::Kernel;
use podway_proxy_nft::program::{Options, Program};
use podway_proxy_plan::node::NodeView;
use podway_proxy_plan::plan::Family;
use podway_proxy_plan::planner::Planner;
use podway_proxy_plan::policy::Policy;
use podway_tests_synthetic::{Cluster, POD_CIDR};
use serde::{Deserialize, Serialize};

use super::{BUDGET, nth_change};
#[cfg(doc)]
use crate::measure;
use crate::measure::Repeats;

/// Arguments of the process that measures the parts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    pub(super) manifests: PathBuf,
    #[arg(long)]
    pub(super) services: u32,
    #[arg(long)]
    pub(super) endpoints: u32,
    #[arg(long)]
    pub(super) runs: usize,
    #[arg(long)]
    pub(super) changes: usize,
}

/// What it measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Parts {
    /// Each time that everything was programmed from nothing.
    pub(super) everything: Vec<Everything>,
    /// From a change of the model to the committed transaction.
    pub(super) changes: Vec<Duration>,
}

/// The times of one way from manifests to the kernel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Everything {
    /// Reading and parsing the manifests, up to the snapshot.
    pub(super) read: Duration,
    /// Deciding.
    pub(super) plan: Duration,
    /// Slots, and elements of sets.
    pub(super) elements: Duration,
    /// Bytes for the kernel.
    pub(super) encode: Duration,
    /// In the kernel.
    pub(super) kernel: Duration,
}

impl Everything {
    /// From a snapshot to the committed transaction.
    pub(super) fn total(&self) -> Duration {
        self.plan + self.elements + self.encode + self.kernel
    }
}

/// A node's sync loop without the loop.
struct Node {
    planner: Planner,
    program: Program,
}

/// Has the parts measured by a process of their own.
pub(super) fn measure(args: &Args) -> Result<Parts> {
    let output = Command::new(std::env::current_exe()?)
        .arg("program-parts")
        .arg("--manifests")
        .arg(&args.manifests)
        .args(["--services", &args.services.to_string()])
        .args(["--endpoints", &args.endpoints.to_string()])
        .args(["--runs", &args.runs.to_string()])
        .args(["--changes", &args.changes.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the process that measures the parts: {}", output.status);
    serde_json::from_slice(&output.stdout).context("what it printed")
}

/// Measures the parts and prints them as JSON.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cluster = Cluster { services: args.services, endpoints: args.endpoints };
    let kernel = Kernel::open()?;
    let everything = Repeats { most: args.runs, budget: BUDGET }.run(|_| {
        kernel.delete_tables()?;
        from_nothing(&args.manifests, cluster, &kernel)
    })?;
    kernel.delete_tables()?;
    let changes = changes(cluster, args.changes, &kernel)?;
    kernel.delete_tables()?;
    serde_json::to_writer(io::stdout().lock(), &Parts { everything, changes })?;
    Ok(())
}

/// Goes the whole way once.
fn from_nothing(folder: &Path, cluster: Cluster, kernel: &Kernel) -> Result<Everything> {
    let start = Instant::now();
    let (snapshot, reports) = manifests::load(folder, Extras::default())?;
    let read = start.elapsed();
    if let Some(problem) = reports.problems().first() {
        bail!("manifest not as it should be: {problem}");
    }
    ensure!(snapshot.services.size() == usize::try_from(cluster.services)?, "not all was read");

    let mut node = Node::new()?;
    let start = Instant::now();
    let changes = node.planner.update(&snapshot, &Delta::everything(&snapshot));
    let plan = start.elapsed();

    let start = Instant::now();
    node.program.take(changes.plans);
    let transactions = Family::ALL.map(|family| node.program.full(family));
    let elements = start.elapsed();

    let (mut encode, mut in_kernel) = (Duration::ZERO, Duration::ZERO);
    for transaction in &transactions {
        let committed = kernel.commit(transaction)?;
        encode += committed.encoding;
        in_kernel += committed.kernel;
    }
    Ok(Everything { read, plan, elements, encode, kernel: in_kernel })
}

/// Programs everything, then times changes of one endpoint each.
fn changes(cluster: Cluster, count: usize, kernel: &Kernel) -> Result<Vec<Duration>> {
    let mut builder = Builder::new();
    let (snapshot, delta) = builder.apply(cluster.changes()?);
    let mut node = Node::new()?;
    node.program.take(node.planner.update(&snapshot, &delta).plans);
    for family in Family::ALL {
        kernel.commit(&node.program.full(family))?;
    }
    (0..count)
        .map(|number| {
            let (service, incarnation) = nth_change(cluster, number)?;
            let change = Change::Slice(cluster.slice(service, incarnation)?);
            let start = Instant::now();
            let (snapshot, delta) = builder.apply([change]);
            let changes = node.planner.update(&snapshot, &delta);
            let mut commits = 0;
            for transaction in node.program.update(changes.plans) {
                if !transaction.is_empty() {
                    kernel.commit(&transaction)?;
                    commits += 1;
                }
            }
            let took = start.elapsed();
            ensure!(commits == 1, "one endpoint changed, {commits} tables did");
            Ok(took)
        })
        .collect()
}

impl Node {
    fn new() -> Result<Self> {
        let cluster_cidrs = vec![POD_CIDR.parse()?];
        let policy = Policy { cluster_cidrs: cluster_cidrs.clone(), ..Policy::default() };
        let options = Options { cluster_cidrs, ..Options::default() };
        let view = NodeView::bare(NodeName::new("bench-node")?);
        Ok(Self { planner: Planner::new(policy, view), program: Program::new(options) })
    }
}
