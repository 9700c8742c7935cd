//! Figures as people read them, in a table that a README can hold.

use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::measure::Sample;

/// Stands where there is nothing to say.
pub(crate) const NOTHING: &str = "";

/// A table with these headings; the first two columns hold words, the others figures.
pub(crate) fn with(headings: Vec<String>) -> Table {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A time with three digits that count.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 {
        format!("{} s", three_digits(seconds))
    } else {
        format!("{} ms", three_digits(seconds * 1e3))
    }
}

/// The middle of a sample with its ends, where it has several times.
pub(crate) fn spread(sample: &Sample) -> String {
    let middle = time(sample.median());
    if sample.len() == 1 {
        return middle;
    }
    format!("{middle} ({} - {})", time(sample.min()), time(sample.max()))
}

/// Memory in MiB.
pub(crate) fn memory(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// How many times as much `other` is as `own`.
pub(crate) fn ratio(other: f64, own: f64) -> String {
    if own > 0.0 { format!("{} x", three_digits(other / own)) } else { NOTHING.to_owned() }
}

/// Three digits that count, and all digits before the point.
fn three_digits(value: f64) -> String {
    let decimals = match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_fitting_unit() {
        let rows = [
            (Duration::from_micros(43), "0.043 ms"),
            (Duration::from_micros(4_310), "4.31 ms"),
            (Duration::from_millis(556), "556 ms"),
            (Duration::from_millis(1_160), "1.16 s"),
            (Duration::from_secs(106), "106 s"),
        ];
        for (duration, text) in rows {
            assert_eq!(time(duration), text);
        }
    }

    #[test]
    fn spread_shows_the_ends_of_several_times() {
        let milliseconds = |times: &[u64]| {
            Sample::new(times.iter().copied().map(Duration::from_millis).collect()).unwrap()
        };
        assert_eq!(spread(&milliseconds(&[20])), "20.0 ms");
        assert_eq!(spread(&milliseconds(&[30, 10, 20])), "20.0 ms (10.0 ms - 30.0 ms)");
    }

    #[test]
    fn ratio_to_nothing_is_not_told() {
        assert_eq!(ratio(106.0, 0.5), "212 x");
        assert_eq!(ratio(1.0, 0.0), "");
    }
}
