//! Benchmarks of the product against another way to do the same, in one run on one kernel.
//!
//! | module | owns |
//! |---|---|
//! | `program` | programming the kernel from nothing, and after one change |
//! | `dns` | answering questions, on one processor |
//! | `failover` | queries lost when a daemon is killed or restarted |
//! | `namespace` | a network namespace of our own, so that nothing of the host is reached |
//! | `daemon` | the real daemon as a process |
//! | `measure` | times and memory |
//! | `table` | the figures as people read them |

mod daemon;
mod dns;
mod failover;
mod measure;
mod namespace;
mod program;
mod table;

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
    /// The part of `dns` that needs a process of its own; serves until it is killed.
    #[command(hide = true)]
    DnsServe(dns::serve::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let benchmark = Benchmark::parse();
    if let Place::Outside(status) = namespace::enter()? {
        return Ok(status);
    }
    match benchmark {
        Benchmark::Program(args) => program::run(&args)?,
        Benchmark::ProgramParts(args) => program::podway::run(&args)?,
        Benchmark::Dns(args) => dns::run(&args)?,
        Benchmark::Failover(args) => failover::run(&args)?,
        Benchmark::DnsServe(args) => dns::serve::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
