//! The table, and how the aims stand.

use std::fs;
use std::io::{self, Write};

use crate::table;

use super::load::Figures;
use super::{Args, Outcome, Way};

/// Where the kernel tells its release, proc_sys_kernel(5).
const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Most that a connect to a Service may take longer than one to the pod.
const AIM_CONNECT_NS: f64 = 1_000.0;

/// One column of the table.
struct Column {
    heading: &'static str,
    value: fn(&Figures) -> f64,
    text: fn(f64) -> String,
}

/// What is told of each way.
const COLUMNS: [Column; 5] = [
    Column { heading: "connect", value: |one| number(one.connect_ns), text: micro },
    Column {
        heading: "connect, request, close",
        value: |one| number(one.exchange_ns),
        text: micro,
    },
    Column {
        heading: "requests/s, connection kept",
        value: |one| 1e9 / number(one.request_ns.max(1)),
        text: |rate| format!("{rate:.0}"),
    },
    Column {
        heading: "bulk",
        value: |one| number(one.bulk_bytes) * 8.0 / 1e9,
        text: |rate| format!("{rate:.1} Gbit/s"),
    },
    Column { heading: "UDP there and back", value: |one| number(one.datagram_ns), text: micro },
];

/// Places of columns that aims speak of.
const CONNECT: usize = 0;
const REQUESTS: usize = 2;
const BULK: usize = 3;

/// The middle and the ends of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    middle: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or_default();
        Self {
            middle: at(values.len() / 2),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }

    /// Whether both could be the same, but for chance: they overlap.
    fn overlaps(self, other: Self) -> bool {
        self.least <= other.most && other.least <= self.most
    }
}

impl Outcome {
    /// The ways that were measured.
    fn ways(&self) -> impl Iterator<Item = Way> {
        self.rounds.iter().map(|(way, _)| *way)
    }

    fn spread(&self, way: Way, column: usize) -> Spread {
        let figures = self.rounds.iter().find(|(one, _)| *one == way).map(|(_, figures)| figures);
        let value = COLUMNS.get(column).map(|column| column.value);
        let values = figures.into_iter().flatten().zip(std::iter::repeat(value));
        Spread::of(values.filter_map(|(one, value)| Some(value?(one))).collect())
    }
}

/// Prints the table, a line `about` the real kube-proxy, and how the aims stand.
pub(super) fn print(
    out: &mut impl Write,
    args: &Args,
    outcomes: &[Outcome],
    about: &str,
) -> io::Result<()> {
    let kernel = fs::read_to_string(KERNEL_RELEASE)?;
    let headings = ["Services", "way"].into_iter().chain(COLUMNS.map(|column| column.heading));
    let mut table = table::with(headings.map(str::to_owned).collect());
    for outcome in outcomes {
        for way in outcome.ways() {
            let mut row = vec![outcome.services.to_string(), way.name().to_owned()];
            for (place, column) in COLUMNS.iter().enumerate() {
                let Spread { middle, least, most } = outcome.spread(way, place);
                let [middle, least, most] = [middle, least, most].map(column.text);
                row.push(format!("{middle} ({least} - {most})"));
            }
            table.add_row(row);
        }
    }
    writeln!(out, "Linux {}\n\n{table}\n", kernel.trim())?;
    writeln!(
        out,
        "Medians of {} rounds (lowest - highest), each the median of {} connections and {} requests \
         and datagrams. Client and server share a processor, but for bulk.\n\n{about}\n",
        args.rounds,
        args.count,
        args.count * 10
    )?;
    for line in outcomes.iter().flat_map(aims).chain(flat(outcomes)) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// How the aims stand at one size: eBPF beside the same node's way straight to the pod.
fn aims(outcome: &Outcome) -> Vec<String> {
    let spread = |way, column| outcome.spread(way, column);
    let over = spread(Way::Ebpf, CONNECT).middle - spread(Way::PodTracked, CONNECT).middle;
    let mut lines = vec![format!(
        "{} Services: a connect by eBPF takes {:+.2} us beside one to the pod (aim: 1 us): {}",
        outcome.services,
        over / 1e3,
        verdict(over <= AIM_CONNECT_NS)
    )];
    for (column, what) in [(REQUESTS, "requests on kept connections"), (BULK, "bulk")] {
        let same = spread(Way::Ebpf, column).overlaps(spread(Way::PodTracked, column));
        lines.push(format!(
            "{} Services: {what} by eBPF as to the pod, within the spread: {}",
            outcome.services,
            verdict(same)
        ));
    }
    let untracked = spread(Way::EbpfUntracked, CONNECT).middle;
    lines.push(format!(
        "{} Services: without tracking a connect by eBPF takes {:+.2} us",
        outcome.services,
        (untracked - spread(Way::Ebpf, CONNECT).middle) / 1e3
    ));
    let by_rules = [Way::Nftables, Way::KubeProxyShape, Way::KubeProxy];
    for way in outcome.ways().filter(|way| by_rules.contains(way)) {
        let ratio = spread(way, CONNECT).middle / spread(Way::Ebpf, CONNECT).middle;
        lines.push(format!(
            "{} Services: a connect by {} takes {ratio:.2} times as long as by eBPF",
            outcome.services,
            way.name()
        ));
    }
    lines
}

/// Whether a connect takes the same at the first and at the last size.
fn flat(outcomes: &[Outcome]) -> Vec<String> {
    let [first, .., last] = outcomes else { return Vec::new() };
    let to_service = |way: &Way| !matches!(way, Way::Pod | Way::PodTracked);
    first
        .ways()
        .filter(to_service)
        .map(|way| {
            let times = last.spread(way, CONNECT).middle / first.spread(way, CONNECT).middle;
            let (few, many) = (first.services, last.services);
            format!(
                "{}: a connect takes {times:.2} times as long with {many} as with {few} Services",
                way.name()
            )
        })
        .collect()
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

fn micro(nanoseconds: f64) -> String {
    format!("{:.1} us", nanoseconds / 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(connect_ns: u64) -> Figures {
        Figures {
            connect_ns,
            exchange_ns: 2 * connect_ns,
            request_ns: 5_000,
            bulk_bytes: 1_250_000_000,
            datagram_ns: 4_000,
        }
    }

    fn outcome(services: u32, connects: &[u64]) -> Outcome {
        let rounds = |ns: &u64| vec![figures(ns + 100), figures(*ns), figures(ns - 100)];
        let rounds = Way::ALL.into_iter().zip(connects.iter().map(rounds)).collect();
        Outcome { services, rounds }
    }

    fn printed(outcomes: &[Outcome], about: &str) -> String {
        let args = Args { services: vec![10, 20], rounds: 3, count: 10, bulk_ms: 10 };
        let mut text = Vec::new();
        print(&mut text, &args, outcomes, about).expect("text");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn table_has_medians_with_their_ends_and_aims_are_judged() {
        let few = outcome(10, &[9_000, 10_000, 10_500, 9_500, 15_000, 16_000, 21_000]);
        let many = outcome(20, &[9_000, 10_000, 12_000, 9_500, 15_000, 32_000, 31_500]);
        let text = printed(&[few, many], "");
        for part in [
            "10.5 us (10.4 us - 10.6 us)",
            "200000 (200000 - 200000)",
            "10.0 Gbit/s",
            "10 Services: a connect by eBPF takes +0.50 us beside one to the pod (aim: 1 us): yes",
            "10 Services: without tracking a connect by eBPF takes -1.00 us",
            "10 Services: a connect by kube-proxy takes 2.00 times as long as by eBPF",
            "20 Services: a connect by eBPF takes +2.00 us beside one to the pod (aim: 1 us): no",
            "kube-proxy 1.36/1.37 shape: a connect takes 2.00 times as long with 20 as with 10",
            "kube-proxy: a connect takes 1.50 times as long with 20 as with 10",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn way_that_was_left_out_has_no_figures_and_the_reason_is_told() {
        let few = outcome(10, &[9_000, 10_000, 10_500, 9_500, 15_000, 16_000]);
        let many = outcome(20, &[9_000, 10_000, 12_000, 9_500, 15_000, 32_000]);
        let text = printed(&[few, many], "The real kube-proxy was left out.");
        assert!(text.contains("\nThe real kube-proxy was left out.\n"), "{text}");
        for part in ["| kube-proxy  ", "by kube-proxy takes", "kube-proxy: a connect"] {
            assert!(!text.contains(part), "{part} is in\n{text}");
        }
    }
}
