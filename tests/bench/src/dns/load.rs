//! The load: dnsperf on a processor of its own, and what it reports.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::server::Server;
use crate::measure::Sample;

/// Sockets that the queries come from.
const CLIENTS: &str = "16";

/// Queries under way at the same time.
const OUTSTANDING: &str = "200";

/// How long the legs at a fixed pace last.
const PACE_SECONDS: u32 = 3;

/// As many queries as the load can send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    /// Queries answered.
    pub(super) queries: u64,
    /// Queries per second.
    pub(super) rate: f64,
    /// Queries without reply.
    pub(super) lost: u64,
    /// Processor time that the server used.
    pub(super) processor_time: Duration,
    /// How long it took.
    pub(super) wall: Duration,
}

/// Queries at a fixed pace.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// From query to reply.
    pub(super) latencies: Sample,
    /// Queries without reply.
    pub(super) lost: u64,
}

/// Sends as much as the load can.
pub(super) fn burst(server: &Server, data: &Path, processor: u32, time: Duration) -> Result<Burst> {
    let before = server.processor_time()?;
    let seconds = time.as_secs().to_string();
    let output = dnsperf(server, data, processor, &["-l", &seconds])?;
    let processor_time = server.processor_time()?.saturating_sub(before);
    let wall = Duration::from_secs_f64(figure(&output, "Run time (s):")?);
    Ok(Burst {
        queries: count(&output, "Queries completed:")?,
        rate: figure(&output, "Queries per second:")?,
        lost: count(&output, "Queries lost:")?,
        processor_time,
        wall,
    })
}

/// Sends `rate` queries per second and looks at each.
pub(super) fn pace(server: &Server, data: &Path, processor: u32, rate: u32) -> Result<Pace> {
    let (rate, seconds) = (rate.to_string(), PACE_SECONDS.to_string());
    let output = dnsperf(server, data, processor, &["-v", "-Q", &rate, "-l", &seconds])?;
    Ok(Pace { latencies: Sample::new(latencies(&output))?, lost: count(&output, "Queries lost:")? })
}

/// Runs dnsperf and returns what it printed.
fn dnsperf(server: &Server, data: &Path, processor: u32, more: &[&str]) -> Result<String> {
    let address = server.address();
    let output = Command::new("taskset")
        .args(["--cpu-list", &processor.to_string(), "dnsperf"])
        .args(["-s", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args(["-c", CLIENTS, "-q", OUTSTANDING, "-t", "1", "-d"])
        .arg(data)
        .args(more)
        .output()
        .context("taskset (package util-linux) cannot be started")?;
    ensure!(
        output.status.success(),
        "dnsperf: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What stands behind `label` in the report.
fn behind<'o>(output: &'o str, label: &str) -> Result<&'o str> {
    output
        .lines()
        .find_map(|line| line.trim().strip_prefix(label))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("dnsperf reports no {label:?}:\n{output}"))
}

fn figure(output: &str, label: &str) -> Result<f64> {
    behind(output, label)?.parse().with_context(|| format!("{label} of dnsperf"))
}

fn count(output: &str, label: &str) -> Result<u64> {
    behind(output, label)?.parse().with_context(|| format!("{label} of dnsperf"))
}

/// The seconds at the end of every line about one query: `> NOERROR <name> <type> <seconds>`.
fn latencies(output: &str) -> Vec<Duration> {
    output
        .lines()
        .filter_map(|line| line.strip_prefix("> "))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .filter_map(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
> NXDOMAIN www.example.com.bench.svc.cluster.local. A 0.000050
> T s1.bench.svc.cluster.local. A
> NOERROR s1.bench.svc.cluster.local. A 0.000150
Statistics:

  Queries sent:         1000
  Queries completed:    998 (99.80%)
  Queries lost:         2 (0.20%)

  Run time (s):         3.000012
  Queries per second:   171234.507000
";

    #[test]
    fn report_is_read() {
        assert_eq!(count(OUTPUT, "Queries completed:").unwrap(), 998);
        assert_eq!(count(OUTPUT, "Queries lost:").unwrap(), 2);
        assert_eq!(figure(OUTPUT, "Queries per second:").unwrap(), 171_234.507);
        assert!(figure(OUTPUT, "Queries per hour:").is_err());
    }

    #[test]
    fn latencies_are_those_of_queries_with_a_reply() {
        assert_eq!(latencies(OUTPUT), [50, 150].map(Duration::from_micros));
    }
}
