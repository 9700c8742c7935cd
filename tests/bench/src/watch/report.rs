//! The table, and how the aims stand.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use podway_tests_synthetic::Cluster;

use super::Outcome;
use crate::table::{self, NOTHING, memory, ratio, time};

/// Aims at 10,000 Services with 10 endpoints each.
const AIM_KERNEL: Duration = Duration::from_millis(50);
const AIM_MEMORY_BYTES: u64 = 60 << 20;
const AIM_TIME_RATIO: f64 = 10.0;
const AIM_MEMORY_RATIO: f64 = 3.0;

/// A figure of one side: its text, and the number for the ratio.
type Figure = (String, f64);

/// A row: what was measured, and how to read it from a side.
type Row = (&'static str, fn(&Outcome) -> Option<Figure>);

/// Everything that is told.
const ROWS: [Row; 11] = [
    ("from its start to ready", |side| Some(timed(side.start))),
    ("processor time until ready", |side| Some(timed(side.start_cpu))),
    ("memory when ready", |side| Some(sized(side.resident_bytes))),
    ("peak memory", |side| Some(sized(side.peak_bytes))),
    ("processor time of a change", |side| Some(timed(side.change_cpu))),
    ("API to committed rule, p50", |side| Some(timed(side.kernel.percentile(50)))),
    ("API to committed rule, p99", |side| Some(timed(side.kernel.percentile(99)))),
    ("– of it until the API server answers, p50", |side| Some(timed(side.api.percentile(50)))),
    ("– of it until the API server answers, p99", |side| Some(timed(side.api.percentile(99)))),
    ("API to changed answer, p50", |side| Some(timed(side.name.as_ref()?.percentile(50)))),
    ("API to changed answer, p99", |side| Some(timed(side.name.as_ref()?.percentile(99)))),
];

fn timed(value: Duration) -> Figure {
    (time(value), value.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "no process holds 2^53 bytes")]
fn sized(bytes: u64) -> Figure {
    (memory(bytes), bytes as f64)
}

/// Prints the table and how the aims stand.
pub(super) fn print(size: Cluster, outcomes: &[Outcome]) -> Result<()> {
    let (own, other) = (outcomes.first().context("nothing was measured")?, outcomes.get(1));
    let mut headings = vec!["Services x endpoints".to_owned(), "measured".to_owned()];
    headings.extend(outcomes.iter().map(|side| side.kind.name().to_owned()));
    headings.extend(other.map(|_| "ratio".to_owned()));
    let mut table = table::with(headings);
    for (title, read) in ROWS {
        let figures: Vec<Option<Figure>> = outcomes.iter().map(read).collect();
        let mut cells = vec![format!("{} x {}", size.services, size.endpoints), title.to_owned()];
        cells.extend(figures.iter().map(|figure| match figure {
            Some((text, _)) => text.clone(),
            None => NOTHING.to_owned(),
        }));
        if let [Some((_, own)), Some((_, other))] = figures[..] {
            cells.push(ratio(other, own));
        } else if outcomes.len() > 1 {
            cells.push(NOTHING.to_owned());
        }
        table.add_row(cells);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{table}\n")?;
    writeln!(
        out,
        "Changes: {}. Memory of kube-proxy is without the `nft` that it starts; its processor time \
         is with it.\n",
        outcomes
            .iter()
            .map(|side| format!("{} by {}", side.kernel.len(), side.kind.name()))
            .collect::<Vec<_>>()
            .join(", ")
    )?;
    for line in aims(own, other) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// One line for each aim: whether it is reached.
fn aims(own: &Outcome, other: Option<&Outcome>) -> Vec<String> {
    let verdict = |reached: bool| if reached { "reached" } else { "missed" };
    let p99 = own.kernel.percentile(99);
    let mut lines = vec![
        format!("aim: p99 API to kernel under {}: {}", time(AIM_KERNEL), verdict(p99 < AIM_KERNEL)),
        format!(
            "aim: {} in all: {}",
            memory(AIM_MEMORY_BYTES),
            verdict(own.peak_bytes <= AIM_MEMORY_BYTES)
        ),
    ];
    if let Some(other) = other {
        let times = other.kernel.median().as_secs_f64() / own.kernel.median().as_secs_f64();
        let (own_memory, other_memory) = (sized(own.peak_bytes).1, sized(other.peak_bytes).1);
        lines.push(format!(
            "aim: a tenth of kube-proxy's time: {}",
            verdict(times >= AIM_TIME_RATIO)
        ));
        lines.push(format!(
            "aim: a third of kube-proxy's memory: {}",
            verdict(other_memory / own_memory >= AIM_MEMORY_RATIO)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use crate::watch::side::Kind;

    fn outcome(kind: Kind, milliseconds: u64, bytes: u64) -> Outcome {
        let sample = || Sample::new(vec![Duration::from_millis(milliseconds)]).unwrap();
        Outcome {
            kind,
            start: Duration::from_secs(1),
            resident_bytes: bytes,
            peak_bytes: bytes,
            start_cpu: Duration::from_secs(1),
            change_cpu: Duration::from_millis(1),
            kernel: sample(),
            name: None,
            api: sample(),
        }
    }

    #[test]
    fn every_aim_is_judged_by_its_own_figure() {
        let other = outcome(Kind::KubeProxy("kube-proxy".into()), 400, 150 << 20);
        let rows = [
            ("all", 30, 50, ["reached", "reached", "reached", "reached"]),
            ("late", 60, 50, ["missed", "reached", "missed", "reached"]),
            ("large", 30, 70, ["reached", "missed", "reached", "missed"]),
        ];
        for (name, milliseconds, mebibytes, expected) in rows {
            let own = outcome(Kind::Podway("podway".into()), milliseconds, mebibytes << 20);
            let lines = aims(&own, Some(&other));
            let verdicts: Vec<_> =
                lines.iter().filter_map(|line| line.rsplit(' ').next()).collect();
            assert_eq!(verdicts, expected, "{name}");
        }
    }
}
