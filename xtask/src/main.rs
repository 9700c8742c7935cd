//! The only door: everything a person or CI does with this repository, as `cargo xtask COMMAND`.

mod bench;
mod bless;
mod check;
mod demo;
mod ebpf;
mod fuzz;
mod image;
mod lab;
mod peers;
mod process;
mod programs;
mod require;
mod table;
mod test;

use clap::Parser;

/// Commands of the Podway repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about)]
enum Command {
    /// Measures Podway against another way to do the same, in a network namespace of its own.
    Bench(bench::Args),
    /// Runs every check that needs no kernel: format, lints, docs, purity, licences.
    Check(check::Args),
    /// Builds the workspace and runs its tests, on real network namespaces included.
    Test(test::Args),
    /// Starts a cluster of network namespaces to try things in, and speaks with it.
    Lab(lab::Args),
    /// Compiles the eBPF programs, which are committed; installs or names what that needs.
    Ebpf(ebpf::Args),
    /// Shows Podway at work in the lab: who was asked, which pod answered, and whether it should.
    Demo,
    /// Looks for messages and files that break what must always hold.
    Fuzz(fuzz::Args),
    /// Builds the real API server, kube-proxy, CoreDNS and what else tests stand beside, with Go.
    Peers(peers::Args),
    /// Builds the image that deploy/ runs, out of one self-contained binary.
    Image(image::Args),
    /// Rewrites the golden files from what the code says now; review the diff.
    Bless,
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    match Command::parse() {
        Command::Bench(args) => bench::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Ebpf(args) => ebpf::run(&args),
        Command::Demo => demo::run(),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Peers(args) => peers::run(&args),
        Command::Image(args) => image::run(&args).map(|()| std::process::ExitCode::SUCCESS),
        Command::Bless => bless::run(),
    }
}
