//! What follows from proofs and failures.
//!
//! One failure is enough to tell the kernel nothing more; clients then have another server. Coming
//! back takes a row of proofs, each from another port: the kernel spreads clients over the sockets
//! of an address by their port, so one socket of several that is stuck answers some of them.

/// Proofs in a row that a server needs after a failure.
///
/// 10, which is 2 s: with one of four sockets stuck, 19 of 20 rows have a failure in them.
const ROW: u32 = 10;

/// Whether a server is taken to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trust {
    holds: bool,
    /// Proofs that it takes: one before the first failure, a row of them after it.
    row: u32,
    /// Proofs that are still needed.
    missing: u32,
}

/// What a proof or failure changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    Unchanged,
    /// The server is trusted now.
    Gained,
    /// It no longer is.
    Lost,
}

impl Default for Trust {
    /// Not trusted, and nothing is held against it.
    fn default() -> Self {
        Self { holds: false, row: 1, missing: 1 }
    }
}

impl Trust {
    /// Whether the server is taken to answer.
    pub(super) const fn holds(self) -> bool {
        self.holds
    }

    /// Takes in whether it answered.
    pub(super) fn judge(&mut self, answered: bool) -> Turn {
        let before = self.holds;
        if answered {
            self.missing = self.missing.saturating_sub(1);
            self.holds = self.missing == 0;
        } else {
            // Before it has ever answered it is about to start.
            if before {
                self.row = ROW;
            }
            self.missing = self.row;
            self.holds = false;
        }
        match (before, self.holds) {
            (false, true) => Turn::Gained,
            (true, false) => Turn::Lost,
            (false, false) | (true, true) => Turn::Unchanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_proof_is_enough_and_one_failure_takes_a_row_of_them() {
        let mut trust = Trust::default();
        for _ in 0..3 {
            assert_eq!(trust.judge(false), Turn::Unchanged, "it starts");
        }
        assert_eq!(trust.judge(true), Turn::Gained);
        assert_eq!(trust.judge(true), Turn::Unchanged);
        assert_eq!(trust.judge(false), Turn::Lost);
        assert!(!trust.holds());
        for _ in 1..ROW {
            assert_eq!(trust.judge(true), Turn::Unchanged);
        }
        assert_eq!(trust.judge(false), Turn::Unchanged, "the row begins anew");
        for _ in 1..ROW {
            assert_eq!(trust.judge(true), Turn::Unchanged);
        }
        assert_eq!(trust.judge(true), Turn::Gained);
        assert!(trust.holds());
    }
}
