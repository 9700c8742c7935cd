//! `cargo xtask peers`: builds the programs of other projects that tests and benchmarks need.
#![expect(clippy::print_stdout, reason = "the command reports to a person")]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use podway_tests_peers::Peer;

/// Arguments of `cargo xtask peers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Programs to build; all when none is named.
    #[arg(value_name = "PROGRAM")]
    peers: Vec<Peer>,
}

/// Builds what is missing and says where each program lies.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let peers = if args.peers.is_empty() { &Peer::ALL[..] } else { &args.peers };
    for peer in peers {
        let started = Instant::now();
        podway_tests_peers::require(&[*peer])?;
        println!("{:>6.1} s  {}", started.elapsed().as_secs_f64(), peer.find()?.display());
    }
    Ok(ExitCode::SUCCESS)
}
