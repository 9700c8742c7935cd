//! The table, and how the aims stand.

use std::fs;
use std::io::{self, Write};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::Table;

use super::nft::{self, Loads};
use super::podway::Everything;
use super::shape::Release;
use super::{Followed, Outcome};
use crate::measure::Sample;
use crate::table::{self, NOTHING, memory, ratio, spread, time};

/// Where the kernel tells its release, proc_sys_kernel(5).
const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Aims at the largest size that people ask for.
const AIM_FROM_NOTHING: Duration = Duration::from_secs(1);
const AIM_CHANGE: Duration = Duration::from_millis(5);
const AIM_RATIO: f64 = 100.0;

/// One size with its samples.
struct Figures<'outcome> {
    outcome: &'outcome Outcome,
    total: Sample,
    kernel: Sample,
    change: Sample,
}

/// Prints the table and how the aims stand.
pub(super) fn print(outcomes: &[Outcome]) -> Result<()> {
    let figures = outcomes.iter().map(Figures::new).collect::<Result<Vec<_>>>()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n", surroundings()?)?;
    let mut releases: Vec<Release> =
        outcomes.iter().flat_map(|one| &one.others).map(|(release, _)| *release).collect();
    releases.sort_unstable();
    releases.dedup();
    writeln!(out, "{}\n", table_of(&figures, &releases)?)?;
    for release in releases {
        writeln!(out, "kube-proxy {}: {}.", release.name(), release.description())?;
    }
    writeln!(
        out,
        "Its figures are of `nft -f` alone: not kube-proxy's own work, nor its memory, nor its \
         pause between syncs; what it spent in the kernel is its system time. The memory of podway \
         is that of the whole daemon, DNS included. Times are medians (shortest - longest); {}\n",
        counts(outcomes)
    )?;
    for line in aims(&figures) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// How many times the slowest side of each was measured.
fn counts(outcomes: &[Outcome]) -> String {
    let own = outcomes.iter().map(|one| one.daemon.changes.len()).min().unwrap_or_default();
    let loads = || outcomes.iter().flat_map(|one| &one.others).map(|(_, loads)| loads);
    let other = loads().map(|loads| loads.change.len()).min().unwrap_or_default();
    format!("changes of one endpoint: {own} by podway, at least {other} by `nft`.")
}

fn surroundings() -> Result<String> {
    let kernel = fs::read_to_string(KERNEL_RELEASE).context(KERNEL_RELEASE)?;
    let cores = available_parallelism()?;
    Ok(format!("Linux {}, {cores} cores, {}", kernel.trim(), nft::version()?))
}

impl<'outcome> Figures<'outcome> {
    fn new(outcome: &'outcome Outcome) -> Result<Self> {
        Ok(Self {
            outcome,
            total: part(outcome, Everything::total)?,
            kernel: part(outcome, |times| times.kernel)?,
            change: Sample::new(outcome.parts.changes.clone())?,
        })
    }

    fn size(&self) -> String {
        let cluster = self.outcome.cluster;
        format!("{} x {}", cluster.services, cluster.endpoints)
    }
}

/// One part of the times from nothing.
fn part(outcome: &Outcome, part: impl Fn(&Everything) -> Duration) -> Result<Sample> {
    Sample::new(outcome.parts.everything.iter().map(part).collect())
}

/// What a row says of one side: the figure as text and as number.
struct Cell {
    text: String,
    value: f64,
}

impl Cell {
    fn spread(sample: &Sample) -> Self {
        Self { text: spread(sample), value: sample.median().as_secs_f64() }
    }

    fn percentile(sample: &Sample, percent: usize) -> Self {
        let value = sample.percentile(percent);
        Self { text: time(value), value: value.as_secs_f64() }
    }

    fn memory(bytes: u64) -> Self {
        // Exact below 2^53 bytes.
        #[expect(clippy::cast_precision_loss, reason = "no process holds that much")]
        Self { text: memory(bytes), value: bytes as f64 }
    }
}

fn table_of(figures: &[Figures<'_>], releases: &[Release]) -> Result<Table> {
    let mut headings =
        vec!["Services x endpoints".to_owned(), "measured".to_owned(), "podway".to_owned()];
    for release in releases {
        headings.push(format!("kube-proxy {}", release.name()));
        headings.push("ratio".to_owned());
    }
    let mut table = table::with(headings);
    for one in figures {
        add_rows(&mut table, one)?;
    }
    Ok(table)
}

fn add_rows(table: &mut Table, figures: &Figures<'_>) -> Result<()> {
    let Figures { outcome, total, kernel, change } = figures;
    let Followed { starts, changes, peak_bytes } = &outcome.daemon;
    let mut row = |name: &str, own: Cell, other: Option<&dyn Fn(&Loads) -> Cell>| {
        let mut cells = vec![figures.size(), name.to_owned(), own.text];
        for (_, loads) in &outcome.others {
            match other.map(|other| other(loads)) {
                Some(other) => cells.extend([other.text, ratio(other.value, own.value)]),
                None => cells.extend([NOTHING.to_owned(), NOTHING.to_owned()]),
            }
        }
        table.add_row(cells);
    };
    row(
        "from nothing: to committed",
        Cell::spread(total),
        Some(&|it| Cell::spread(&it.everything)),
    );
    row("- of it in the kernel", Cell::spread(kernel), Some(&|it| Cell::spread(&it.kernel)));
    row("- of it planning", Cell::spread(&part(outcome, |it| it.plan)?), None);
    row("- of it making elements", Cell::spread(&part(outcome, |it| it.elements)?), None);
    row("- of it encoding", Cell::spread(&part(outcome, |it| it.encode)?), None);
    row("before it: reading manifests", Cell::spread(&part(outcome, |it| it.read)?), None);
    row("all in all: daemon's start to ready", Cell::spread(starts), None);
    row("peak memory", Cell::memory(*peak_bytes), Some(&|it| Cell::memory(it.peak_bytes)));
    for percent in [50, 99] {
        row(
            &format!("one endpoint: file renamed to committed, p{percent}"),
            Cell::percentile(changes, percent),
            Some(&|it| Cell::percentile(&it.change, percent)),
        );
    }
    for percent in [50, 99] {
        row(
            &format!("- without file and threads, p{percent}"),
            Cell::percentile(change, percent),
            None,
        );
    }
    Ok(())
}

/// One line for each aim, with what was measured at the largest size.
fn aims(figures: &[Figures<'_>]) -> Vec<String> {
    let (Some(first), Some(last)) = (figures.first(), figures.last()) else { return Vec::new() };
    let size = last.size();
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    let mut lines = Vec::new();
    let total = last.total.median();
    let share = last.kernel.median().as_secs_f64() / total.as_secs_f64();
    lines.push(format!(
        "aim: {size} from nothing under {}, most of it in the kernel: {}, {:.0} % in the kernel: {}",
        time(AIM_FROM_NOTHING),
        time(total),
        share * 100.0,
        verdict(total < AIM_FROM_NOTHING && share > 0.5),
    ));
    for (release, loads) in &last.outcome.others {
        let times = loads.everything.median().as_secs_f64() / total.as_secs_f64();
        lines.push(format!(
            "aim: {size} from nothing {AIM_RATIO} times faster than kube-proxy {}: {times:.0} times: {}",
            release.name(),
            verdict(times >= AIM_RATIO),
        ));
    }
    let changes = &last.outcome.daemon.changes;
    lines.push(format!(
        "aim: one endpoint of {size} under {}: p50 {}, p99 {}: {}",
        time(AIM_CHANGE),
        time(changes.median()),
        time(changes.percentile(99)),
        verdict(changes.percentile(99) < AIM_CHANGE),
    ));
    if figures.len() > 1 {
        let growth =
            changes.median().as_secs_f64() / first.outcome.daemon.changes.median().as_secs_f64();
        lines.push(format!(
            "aim: one endpoint takes no longer with more Services: {growth:.2} times from {} to {size}",
            first.size(),
        ));
    }
    lines
}
