//! Counts what `cargo test` prints: which target runs, and how it ended.

use std::collections::BTreeMap;

use super::targets::{Mode, Targets};
use super::{LeftOut, Tier};

/// Results so far, by tier.
#[derive(Debug)]
pub(super) struct Tally {
    targets: Targets,
    mode: Mode,
    tiers: BTreeMap<Tier, Count>,
    /// Target that was announced and has not reported yet.
    running: Option<(Tier, String)>,
    /// What failed: targets, and faults outside of any.
    failures: Vec<String>,
    /// Faults that no target counted: a build that failed, a test program that died.
    faults: usize,
}

/// Tests of one tier.
#[derive(Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Tally {
    /// Nothing counted yet.
    pub(super) fn new(targets: Targets) -> Self {
        let (tiers, failures) = (BTreeMap::new(), Vec::new());
        Self { targets, mode: Mode::Default, tiers, running: None, failures, faults: 0 }
    }

    /// What follows is run in this mode.
    pub(super) fn mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Takes in one line of output.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(target) = self.announced(line) {
            self.give_up();
            self.running = Some(target);
        } else if let Some(count) = reported(line) {
            let (tier, target) =
                self.running.take().unwrap_or((Tier::Unit, "a target without a name".to_owned()));
            if count.failed > 0 {
                self.failures.push(format!("{target} ({} failed)", count.failed));
            }
            let sum = self.tiers.entry(tier).or_default();
            sum.passed += count.passed;
            sum.failed += count.failed;
            sum.ignored += count.ignored;
        }
    }

    /// Ends one run of cargo, which must not have failed without a failure being counted.
    pub(super) fn close(&mut self, success: bool) {
        self.give_up();
        if !success && self.failed() == 0 {
            self.fail("cargo test, before any test ran");
        }
    }

    /// Counts a fault that no target reported.
    pub(super) fn fail(&mut self, what: &str) {
        self.failures.push(what.to_owned());
        self.faults += 1;
    }

    /// Counts a target that was announced and never reported: it died.
    fn give_up(&mut self) {
        if let Some((_, target)) = self.running.take() {
            self.fail(&format!("{target} (ended without a result)"));
        }
    }

    /// Tier and name of the target that cargo announces on this line.
    fn announced(&self, line: &str) -> Option<(Tier, String)> {
        let line = line.trim_start();
        if let Some(package) = line.strip_prefix("Doc-tests ") {
            return Some((Tier::Unit, format!("docs of {package}")));
        }
        let target = line.strip_prefix("Running ")?;
        // `unittests src/lib.rs (target/debug/deps/podway_dns_zone-0123)`
        let (source, program) = target.strip_suffix(')')?.split_once(" (")?;
        let program = program.rsplit('/').next()?.rsplit_once('-')?.0;
        let tier =
            if source.starts_with("unittests ") { Tier::Unit } else { self.targets.tier(program) };
        Some(match (tier, self.mode) {
            (Tier::Netns, Mode::Ebpf) => (Tier::Ebpf, format!("{program} on eBPF: {source}")),
            (tier, Mode::Default | Mode::Ebpf) => (tier, format!("{program}: {source}")),
        })
    }

    /// Tests that passed.
    pub(super) fn passed(&self) -> usize {
        self.tiers.values().map(|count| count.passed).sum()
    }

    /// Tests that failed, and faults.
    pub(super) fn failed(&self) -> usize {
        self.tiers.values().map(|count| count.failed).sum::<usize>() + self.faults
    }

    /// The table by tier, what failed, and the closing line.
    pub(super) fn report(&self, left_out: LeftOut) -> String {
        let mut lines = Vec::new();
        for (tier, Count { passed, failed, ignored }) in &self.tiers {
            let name = format!("{tier:?}").to_lowercase();
            let ignored =
                if *ignored > 0 { format!(" {ignored:>4} ignored") } else { String::new() };
            lines.push(format!("{name:<12} {passed:>5} passed {failed:>4} failed{ignored}"));
        }
        lines.extend(self.failures.iter().map(|failure| format!("FAILED       {failure}")));
        let closing = format!("{} passed, {} failed", self.passed(), self.failed());
        // Deliberately not the plain line: such a run proves nothing of what it left out.
        lines.push(match left_out {
            LeftOut { netns: true, .. } => format!(
                "{closing}, NETNS TESTS WERE OFF (NETNS_TESTS=off): nothing ran on a kernel"
            ),
            LeftOut { conformance: true, .. } => format!(
                "{closing}, API SERVER TESTS WERE OFF (API_SERVER_TESTS=off): nothing ran against \
                 a real API server"
            ),
            LeftOut { netns: false, conformance: false } => closing,
        });
        lines.join("\n") + "\n"
    }
}

/// Counts of a target that ended: `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
fn reported(line: &str) -> Option<Count> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |name: &str| {
        counts.split("; ").find_map(|part| part.strip_suffix(name)?.trim_end().parse().ok())
    };
    Some(Count {
        passed: number("passed")?,
        failed: number("failed")?,
        ignored: number("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "     Running unittests src/lib.rs (target/debug/deps/podway_dns_zone-01ab)";
    const GOLDEN: &str = "     Running tests/golden.rs (target/debug/deps/golden-23cd)";

    fn tally(lines: &[&str], success: bool) -> Tally {
        let mut tally = Tally::new(Targets::default());
        lines.iter().for_each(|line| tally.read(line));
        tally.close(success);
        tally
    }

    #[test]
    fn results_are_summed_by_tier_and_a_failed_target_is_named() {
        let tally = tally(
            &[
                UNIT,
                "running 5 tests",
                "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
                GOLDEN,
                "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
                "   Doc-tests podway_dns_zone",
                "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            ],
            false,
        );
        assert_eq!(
            tally.report(LeftOut::default()),
            "unit             6 passed    0 failed\n\
             golden           2 passed    1 failed    1 ignored\n\
             FAILED       golden: tests/golden.rs (1 failed)\n\
             8 passed, 1 failed\n"
        );
    }

    #[test]
    fn a_target_that_dies_without_a_result_is_a_failure() {
        let tally = tally(&[UNIT, GOLDEN, "test result: ok. 2 passed; 0 failed; 0 ignored"], false);
        assert_eq!((tally.passed(), tally.failed()), (2, 1));
        assert!(
            tally
                .report(LeftOut::default())
                .contains("podway_dns_zone: unittests src/lib.rs (ended")
        );
    }

    #[test]
    fn a_run_that_fails_before_any_test_is_a_failure() {
        assert_eq!(tally(&["error: could not compile `podway-dns-zone`"], false).failed(), 1);
    }

    #[test]
    fn a_run_without_a_tier_closes_loudly_and_not_with_the_plain_line() {
        let no_netns = LeftOut { netns: true, conformance: true };
        let no_api_server = LeftOut { netns: false, conformance: true };
        for (left_out, words) in
            [(no_netns, "NETNS TESTS WERE OFF"), (no_api_server, "API SERVER TESTS WERE OFF")]
        {
            let report = tally(&[], true).report(left_out);
            assert!(report.contains(words), "{report}");
            assert!(!report.lines().any(|line| line == "0 passed, 0 failed"), "{report}");
        }
    }
}
