//! `datapath`: what a Service costs its clients, beside going straight to the pod.
//!
//! One client and one server, pods of one node, so that every packet passes the node. The node is
//! made once for each way to the server, and all of them are there at the same time; a round asks
//! along each way in turn, so that whatever else the machine does meets all alike.
//!
//! | module | owns |
//! |---|---|
//! | `world` | the nodes, one for each way that packets are treated |
//! | `node` | one node: the pods, and what is programmed |
//! | `kube_proxy` | the node of the real kube-proxy |
//! | `serve` | the server |
//! | `load` | the client, which takes the times |
//! | `report` | the table, and how the aims stand |

use std::io::{self, Write as _};

use anyhow::{Context as _, Result, ensure};

use crate::namespace::{self, User};

mod kube_proxy;
pub(crate) mod load;
mod node;
mod report;
pub(crate) mod serve;
mod world;

use self::kube_proxy::KubeProxy;
use self::load::Figures;
use self::world::World;

/// Arguments of `datapath`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Numbers of Services beside the one that is used.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 10_000],
        value_parser = clap::value_parser!(u32).range(1..=20_000))]
    services: Vec<u32>,
    /// Rounds over all ways.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Connections of each kind in a round and way; ten times as many requests and datagrams.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=20_000))]
    count: u32,
    /// Milliseconds of bulk transfer in a round and way.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    bulk_ms: u32,
}

/// A way from the client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// To the pod's address, on a node without any rule: nothing is tracked.
    Pod,
    /// To the pod's address, on a node with Podway's rules: connections are tracked.
    PodTracked,
    /// To the Service, translated at the socket, on a node with Podway's rules.
    Ebpf,
    /// As before, and the connection is kept out of connection tracking (`--conntrack-bypass`).
    EbpfUntracked,
    /// To the Service, by Podway's rules.
    Nftables,
    /// To the Service, by rules in the shape of kube-proxy 1.36 and 1.37.
    KubeProxyShape,
    /// To the Service, by the rules that the real kube-proxy has left.
    KubeProxy,
}

impl Way {
    /// Every way, in the order of a round.
    const ALL: [Self; 7] = [
        Self::Pod,
        Self::PodTracked,
        Self::Ebpf,
        Self::EbpfUntracked,
        Self::Nftables,
        Self::KubeProxyShape,
        Self::KubeProxy,
    ];

    /// The way in a table.
    const fn name(self) -> &'static str {
        match self {
            Self::Pod => "straight to the pod, no rules",
            Self::PodTracked => "straight to the pod, podway's rules",
            Self::Ebpf => "podway, eBPF",
            Self::EbpfUntracked => "podway, eBPF, untracked",
            Self::Nftables => "podway, nftables",
            Self::KubeProxyShape => "kube-proxy 1.36/1.37 shape",
            Self::KubeProxy => "kube-proxy",
        }
    }
}

/// What was measured at one size.
#[derive(Debug)]
struct Outcome {
    services: u32,
    /// By way and round.
    rounds: Vec<(Way, Vec<Figures>)>,
}

/// Measures every way at every size and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    let user = namespace::user()?;
    ensure!(user == User::Root, "eBPF programs can be loaded by root only");
    let kube_proxy = KubeProxy::find();
    let mut outcomes = Vec::new();
    for &services in &args.services {
        eprintln!("{services} Services: starting nodes ...");
        let world = World::start(services, kube_proxy.as_ref().ok()).context("no nodes")?;
        // Whatever is made on first use is made now.
        for way in world.ways() {
            world.measure(way, load::Amount { count: 10, bulk_ms: 10 })?;
        }
        let amount = load::Amount { count: args.count, bulk_ms: args.bulk_ms };
        let mut rounds: Vec<(Way, Vec<Figures>)> =
            world.ways().map(|way| (way, Vec::new())).collect();
        for round in 1..=args.rounds {
            eprintln!("{services} Services: round {round} of {} ...", args.rounds);
            for (way, figures) in &mut rounds {
                figures.push(world.measure(*way, amount)?);
            }
        }
        world.check_carried()?;
        outcomes.push(Outcome { services, rounds });
    }
    let mut out = io::stdout().lock();
    report::print(&mut out, args, &outcomes, &about(&kube_proxy))?;
    out.flush()?;
    Ok(())
}

/// What has to be known of the real kube-proxy: how it was measured, or why it was not.
fn about(kube_proxy: &Result<KubeProxy>) -> String {
    match kube_proxy {
        Ok(found) => format!(
            "kube-proxy is that of {}, in nftables mode: it, and the API server that it followed, had \
             ended before, and its rules were left.",
            found.version
        ),
        Err(error) => format!(
            "The real kube-proxy was left out ({error:#}); `cargo xtask peers` builds all that it takes."
        ),
    }
}
