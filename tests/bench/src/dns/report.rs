//! The table, and how the aims stand.

use std::fs;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::Table;

use super::load::Burst;
use super::processors::Processors;
use super::server::Kind;
use super::{Args, Outcome};
use crate::measure::Sample;
use crate::table::{self, memory, ratio, time};

/// Where the kernel tells its release, proc_sys_kernel(5).
const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Most memory that DNS may hold for the default cluster.
const AIM_BYTES: u64 = 60_000_000;

/// What a row says of one server.
struct Cell {
    text: String,
    value: f64,
}

/// Which way a figure is good.
#[derive(Debug, Clone, Copy)]
enum Better {
    More,
    Less,
}

/// Prints the table and how the aims stand.
pub(super) fn print(args: &Args, processors: Processors, outcomes: &[Outcome]) -> Result<()> {
    let mut out = io::stdout().lock();
    let kernel = fs::read_to_string(KERNEL_RELEASE).context(KERNEL_RELEASE)?;
    let versions: Vec<_> = outcomes.iter().map(|outcome| &*outcome.version).collect();
    writeln!(out, "Linux {}, {}\n", kernel.trim(), versions.join(", "))?;
    writeln!(out, "{}\n", table_of(args, outcomes)?)?;
    writeln!(
        out,
        "Servers run on processor {}, dnsperf on {}, {} legs of {} s each in turns; medians (lowest \
         - highest). A ratio over 1 means that podway does better. The processor time is the \
         server's own, kernel included; where a server is not busy all the time, dnsperf is what \
         limits the queries per second, and the time of a query what tells servers apart. Latencies \
         are at {} queries per second. Podway keeps the snapshot of the cluster in memory as well, \
         and counts every query in its metrics and against its client's limit.",
        processors.server, processors.load, args.runs, args.seconds, args.pace,
    )?;
    if outcomes.iter().any(|outcome| matches!(outcome.kind, Kind::CoreDns(_))) {
        writeln!(
            out,
            "CoreDNS answers from a zone file: its `kubernetes` plugin needs a cluster."
        )?;
    }
    writeln!(out)?;
    for line in aims(outcomes) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn table_of(args: &Args, outcomes: &[Outcome]) -> Result<Table> {
    let mut headings = vec!["Services x endpoints".to_owned(), "measured".to_owned()];
    for (place, outcome) in outcomes.iter().enumerate() {
        headings.push(outcome.kind.name().to_owned());
        if place > 0 {
            headings.push("ratio".to_owned());
        }
    }
    let mut table = table::with(headings);
    let size = format!("{} x {}", args.services, args.endpoints);
    let mut row = |name: &str, better: Better, cell: &dyn Fn(&Outcome) -> Result<Cell>| {
        let mut cells = vec![size.clone(), name.to_owned()];
        let mut own = None;
        for outcome in outcomes {
            let Cell { text, value } = cell(outcome)?;
            cells.push(text);
            match own {
                None => own = Some(value),
                Some(own) => cells.push(match better {
                    Better::More => ratio(own, value),
                    Better::Less => ratio(value, own),
                }),
            }
        }
        table.add_row(cells);
        anyhow::Ok(())
    };
    row("queries per second", Better::More, &|it| Ok(spread(it, |burst| burst.rate, whole)))?;
    row("- of the server's processor", Better::Less, &|it| {
        Ok(spread(it, |burst| 100.0 * busy(burst), |value| format!("{value:.0} %")))
    })?;
    row("processor time of a query", Better::Less, &|it| {
        Ok(spread(it, per_query, |value| format!("{:.2} us", value * 1e6)))
    })?;
    row("- queries per second of a whole processor", Better::More, &|it| {
        Ok(spread(it, |burst| 1.0 / per_query(burst), whole))
    })?;
    for percent in [50, 99] {
        row(&format!("latency, p{percent}"), Better::Less, &|it| latency(it, percent))?;
    }
    row("queries lost", Better::Less, &|it| {
        let lost = it.bursts.iter().map(|burst| burst.lost).sum::<u64>();
        Ok(count(lost + it.paces.iter().map(|pace| pace.lost).sum::<u64>()))
    })?;
    row("memory after the load", Better::Less, &|it| Ok(bytes(it.resident_bytes)))?;
    row("peak memory", Better::Less, &|it| Ok(bytes(it.peak_bytes)))?;
    Ok(table)
}

/// Part of a leg that the server was at work.
fn busy(burst: &Burst) -> f64 {
    burst.processor_time.as_secs_f64() / burst.wall.as_secs_f64()
}

/// Seconds of processor time for one query.
fn per_query(burst: &Burst) -> f64 {
    burst.processor_time.as_secs_f64() / exact(burst.queries)
}

/// A figure of all bursts: its median with its ends.
fn spread(outcome: &Outcome, figure: impl Fn(&Burst) -> f64, show: impl Fn(f64) -> String) -> Cell {
    let mut values: Vec<f64> = outcome.bursts.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied().unwrap_or_default();
    let text = match values[..] {
        [lowest, .., highest] => {
            format!("{} ({} - {})", show(middle), show(lowest), show(highest))
        }
        _ => show(middle),
    };
    Cell { text, value: middle }
}

/// A percentile of the latencies, in the median leg.
fn latency(outcome: &Outcome, percent: usize) -> Result<Cell> {
    let legs: Vec<Duration> =
        outcome.paces.iter().map(|pace| pace.latencies.percentile(percent)).collect();
    let middle = Sample::new(legs)?.median();
    Ok(Cell { text: time(middle), value: middle.as_secs_f64() })
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn count(count: u64) -> Cell {
    Cell { text: count.to_string(), value: exact(count) }
}

fn bytes(bytes: u64) -> Cell {
    Cell { text: memory(bytes), value: exact(bytes) }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn exact(count: u64) -> f64 {
    count as f64
}

/// One line for each aim.
fn aims(outcomes: &[Outcome]) -> Vec<String> {
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    let Some(own) = outcomes.first() else { return Vec::new() };
    let rate = |outcome: &Outcome| spread(outcome, |burst| burst.rate, whole).value;
    let cost = |outcome: &Outcome| spread(outcome, per_query, whole).value;
    let mut lines = Vec::new();
    for outcome in outcomes {
        let (aim, times) = match outcome.kind {
            Kind::Podway(_) => continue,
            Kind::Knot => ("at least level with Knot", 1.0),
            Kind::CoreDns(_) => ("at least 5 times CoreDNS", 5.0),
        };
        let (by_rate, by_cost) = (rate(own) / rate(outcome), cost(outcome) / cost(own));
        lines.push(format!(
            "aim: {aim}: {by_rate:.2} times in queries per second: {}; {by_cost:.2} times in \
             processor time: {}",
            verdict(by_rate >= times),
            verdict(by_cost >= times),
        ));
    }
    lines.push(format!(
        "aim: memory under {}: {}: {}",
        memory(AIM_BYTES),
        memory(own.resident_bytes),
        verdict(own.resident_bytes < AIM_BYTES),
    ));
    lines
}
