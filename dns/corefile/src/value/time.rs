//! Durations as Go writes them, and times to live.

use std::fmt;
use std::time::Duration;

use super::Refusal;

/// What a duration may look like.
const ACCEPTED: &str = "a duration such as 5s, 1m30s or 300ms";

/// A time to live in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// Longest time that DNS can express (RFC 2181, section 8).
    pub const MAX: Self = Self(i32::MAX.unsigned_abs());

    /// A time to live of so many seconds, at most [`Ttl::MAX`].
    pub(crate) const fn from_seconds(seconds: u32) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// The seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} s", self.0)
    }
}

/// Units of Go's durations, in nanoseconds.
const UNITS: &[(&str, u64)] = &[
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// Reads a duration: numbers with units, one after the other, or `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, Refusal> {
    let refused = || Refusal::new("is no duration", ACCEPTED);
    if text.starts_with('-') {
        return Err(Refusal::new("is negative", ACCEPTED));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = 0_u64;
    loop {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.');
        let (number, tail) = rest.split_at(digits.ok_or_else(refused)?);
        let end = tail.find(|sign: char| sign.is_ascii_digit() || sign == '.');
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        let part = scaled(number, *nanoseconds).ok_or_else(refused)?;
        total = total.checked_add(part).ok_or_else(refused)?;
        rest = tail;
        if rest.is_empty() {
            return Ok(Duration::from_nanos(total));
        }
    }
}

/// A decimal number of units, in nanoseconds; what is less than one is cut off.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let mut nanoseconds = digits(whole)?.checked_mul(unit)?;
    // More digits than a nanosecond has in an hour change nothing.
    let fraction = fraction.get(..fraction.len().min(13))?;
    if !fraction.is_empty() {
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let part = u128::from(digits(fraction)?) * u128::from(unit) / scale;
        nanoseconds = nanoseconds.checked_add(u64::try_from(part).ok()?)?;
    }
    // Go's durations end at 2^63 ns, 292 years.
    (nanoseconds <= i64::MAX.unsigned_abs()).then_some(nanoseconds)
}

/// Reads a duration, or a number of seconds.
pub(crate) fn duration_or_seconds(text: &str) -> Result<Duration, Refusal> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
        Err(_) => duration(text),
    }
}

/// A duration for a reader: `1 m`, `300 ms`, in the largest unit that is exact.
pub(crate) fn shown(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let exact = UNITS.iter().find(|(_, unit)| nanoseconds.is_multiple_of(u128::from(*unit)));
    match exact {
        Some((unit, size)) if nanoseconds > 0 => {
            format!("{} {unit}", nanoseconds / u128::from(*size))
        }
        Some(_) | None => "0 s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [
            ("5s", 5_000),
            ("0", 0),
            ("0s", 0),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2h45m", 9_900_000),
            ("300ms", 300),
            ("+1s", 1_000),
            ("1000us", 1),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "5x", "-5s", "1s5", "5 s", ".s", "1..5s", "99999999999h", "ms"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_seconds_are_taken_where_the_option_says_so() {
        assert_eq!(duration_or_seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration_or_seconds("10ms"), Ok(Duration::from_millis(10)));
    }

    #[test]
    fn durations_are_shown_in_the_largest_exact_unit() {
        for (text, expected) in
            [("60s", "1 m"), ("90s", "90 s"), ("1.5s", "1500 ms"), ("0s", "0 s"), ("24h", "24 h")]
        {
            assert_eq!(shown(duration(text).unwrap()), expected);
        }
    }
}
