//! How long to wait before the next try.

use std::time::Duration;

/// Wait after the first failure.
///
/// 200 ms: a server that restarts is back at work soon, and one request is cheap.
const FIRST: Duration = Duration::from_millis(200);

/// Longest wait: kube-proxy's, and short beside how long a server is usually away.
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after `failures` in a row, counted from 1. `draw`, from 0 to 1, spreads the nodes of a
/// cluster: between half of the doubled time and all of it.
pub(super) fn wait(failures: u32, draw: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    full.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = [1, 2, 3, 9, 40].map(|failures| wait(failures, 1.0).as_millis());
        assert_eq!(waits, [200, 400, 800, 30_000, 30_000]);
    }

    #[test]
    fn nodes_are_spread_over_half_of_the_wait() {
        assert_eq!(wait(1, 0.0), Duration::from_millis(100));
        assert_eq!(wait(1, 0.5), Duration::from_millis(150));
    }
}
