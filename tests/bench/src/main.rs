//! Benchmarks of the product against another way to do the same, in one run on one kernel.
//!
//! | module | owns |
//! |---|---|
//! | `program` | programming the kernel from nothing, and after one change |
//! | `dns` | answering questions, on one processor |
//! | `datapath` | what a Service costs its clients, beside going straight to the pod |
//! | `failover` | queries lost when a daemon is killed or restarted |
//! | `watch` | following a real API server, beside kube-proxy |
//! | `fill` | a made-up cluster in an API server |
//! | `kube_proxy` | how the real one is started, and when it is ready |
//! | `process` | a program on a node of a lab |
//! | `namespace` | a network namespace of our own, so that nothing of the host is reached |
//! | `daemon` | the real daemon as a process |
//! | `measure` | times and memory |
//! | `table` | the figures as people read them |

mod daemon;
mod datapath;
mod dns;
mod failover;
mod fill;
mod kube_proxy;
mod measure;
mod namespace;
mod process;
mod program;
mod table;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use namespace::Place;

/// Benchmarks of Podway.
#[derive(Debug, Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench", about)]
enum Benchmark {
    /// Programming the kernel: from nothing, and after one endpoint changed.
    Program(program::Args),
    /// The part of `program` that needs a process of its own; prints JSON.
    #[command(hide = true)]
    ProgramParts(program::podway::Args),
    /// Answering questions: queries per second, processor time of a query, latency, memory.
    Dns(dns::Args),
    /// Queries that a pod loses when the daemon of its node is killed, or restarted.
    Failover(failover::Args),
    /// Connections, requests, bulk and datagrams to a Service: eBPF, nftables, kube-proxy, and
    /// straight to the pod; needs root.
    Datapath(datapath::Args),
    /// The client of `datapath`; runs in a pod.
    #[command(hide = true)]
    DatapathLoad(datapath::load::Args),
    /// The server of `datapath`; runs in a pod until it is killed.
    #[command(hide = true)]
    DatapathServe(datapath::serve::Args),
    /// Following a real API server: memory, processor time, and how long a change of it takes to
    /// the kernel and to names, beside kube-proxy.
    Watch(watch::Args),
    /// The part of `watch` that listens on a node.
    #[command(hide = true)]
    WatchProbe(watch::ProbeArgs),
    /// The part of `dns` that needs a process of its own; serves until it is killed.
    #[command(hide = true)]
    DnsServe(dns::serve::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let benchmark = Benchmark::parse();
    // These are started in the places that they are to measure.
    if let Benchmark::DatapathLoad(args) = &benchmark {
        return datapath::load::run(args).map(|()| ExitCode::SUCCESS);
    }
    if let Benchmark::DatapathServe(args) = &benchmark {
        return datapath::serve::run(args).map(|()| ExitCode::SUCCESS);
    }
    if let Benchmark::WatchProbe(args) = &benchmark {
        return watch::probe(args).map(|()| ExitCode::SUCCESS);
    }
    if let Place::Outside(status) = namespace::enter()? {
        return Ok(status);
    }
    match benchmark {
        Benchmark::Program(args) => program::run(&args)?,
        Benchmark::ProgramParts(args) => program::podway::run(&args)?,
        Benchmark::Dns(args) => dns::run(&args)?,
        Benchmark::Failover(args) => failover::run(&args)?,
        Benchmark::Datapath(args) => datapath::run(&args)?,
        Benchmark::Watch(args) => watch::run(&args)?,
        Benchmark::DatapathLoad(_) | Benchmark::DatapathServe(_) | Benchmark::WatchProbe(_) => {}
        Benchmark::DnsServe(args) => dns::serve::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
