//! Loads the programs and prints what the kernel says of them: `cargo xtask ebpf --stats`.
#![expect(clippy::print_stdout, reason = "the figures go to a file")]

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let podway_ebpf_backend::load::Figures { programs, maps } =
        podway_ebpf_backend::load::figures()?;
    println!("{:<14}{:>22}{:>18}", "program", "verified instructions", "bytes translated");
    for (name, verified, size) in programs {
        println!("{name:<14}{verified:>22}{size:>18}");
    }
    println!("\n{:<14}{:>10}{:>18}", "map", "entries", "bytes when empty");
    for (name, entries, bytes) in maps {
        println!("{name:<14}{entries:>10}{bytes:>18}");
    }
    Ok(())
}
