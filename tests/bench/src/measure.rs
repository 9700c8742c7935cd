//! Times and memory: how they are taken, and what of them is told.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{SysconfVar, sysconf};
use wait4::{ResUse, Wait4};

/// Times of the same thing done several times, at least once.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// In ascending order; never empty.
    sorted: Vec<Duration>,
}

impl Sample {
    /// A sample of `times`.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn new(mut times: Vec<Duration>) -> Result<Self> {
        ensure!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Ok(Self { sorted: times })
    }

    /// The time that `percent` of all do not exceed (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).or(self.sorted.last()).copied().unwrap_or_default()
    }

    /// The time in the middle.
    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// The shortest time.
    pub(crate) fn min(&self) -> Duration {
        self.percentile(0)
    }

    /// The longest time.
    pub(crate) fn max(&self) -> Duration {
        self.percentile(100)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }
}

/// How often something is done, so that what is slow is still done once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeats {
    /// At most so often.
    pub(crate) most: usize,
    /// Not once more when so much time has gone by.
    pub(crate) budget: Duration,
}

impl Repeats {
    /// Does `once` again and again, with the number of times it was done before.
    pub(crate) fn run<T>(self, mut once: impl FnMut(usize) -> Result<T>) -> Result<Vec<T>> {
        let start = Instant::now();
        let mut results = vec![once(0)?];
        while results.len() < self.most && start.elapsed() < self.budget {
            results.push(once(results.len())?);
        }
        Ok(results)
    }
}

/// What a process cost that ran to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// From before its start to after its end.
    pub(crate) wall: Duration,
    /// Of it in the kernel.
    pub(crate) system: Duration,
    /// Most memory that it held, in bytes.
    pub(crate) peak_bytes: u64,
}

/// Runs `command` with `input` as its standard input.
///
/// Linux counts what the parent held at the start of the child into the peak of the child, so the
/// parent must be small; this fails where it might have hidden the figure.
pub(crate) fn run(command: &mut Command, input: &Path) -> Result<Cost> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = File::open(input).with_context(|| input.display().to_string())?;
    command.stdin(file).stdout(Stdio::null()).stderr(Stdio::inherit());
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
    let ResUse { status, rusage } = child.wait4()?;
    let wall = start.elapsed();
    ensure!(status.success(), "{program} < {}: {status}", input.display());
    let own = peak_bytes("self")?;
    ensure!(
        rusage.maxrss > own || own < SMALL_BYTES,
        "the peak of {program} is not known: this process itself held {own} bytes"
    );
    Ok(Cost { wall, system: rusage.stime, peak_bytes: rusage.maxrss })
}

/// A process that holds less does not hide the peak of its child.
///
/// 32 MiB: what a process holds that only starts others, three times over.
const SMALL_BYTES: u64 = 32 << 20;

/// Most memory that a running process has held: its id, or "self".
pub(crate) fn peak_bytes(process: &str) -> Result<u64> {
    status_bytes(process, "VmHWM:")
}

/// Memory that a running process holds: its id, or "self".
pub(crate) fn resident_bytes(process: &str) -> Result<u64> {
    status_bytes(process, "VmRSS:")
}

/// Processor time of all threads of a running process, in the kernel and outside.
pub(crate) fn processor_time(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    let Some(ticks) = processor_ticks(&stat) else { bail!("{path} is not as expected") };
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the length of a clock tick")?;
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::try_from(per_second)?;
    Ok(Duration::from_nanos(u64::try_from(nanoseconds)?))
}

/// `utime` and `stime` of proc_pid_stat(5); the name before them may hold anything.
fn processor_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    // The state is field 3, the two times are 14 and 15.
    let mut fields = behind_name.split_whitespace().skip(14 - 3);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

/// As [`processor_ticks`], with the times of children that have ended, fields 16 and 17.
pub(crate) fn ticks_with_children(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let times = behind_name.split_whitespace().skip(14 - 3).take(4);
    let times = times.map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    (times.len() == 4).then(|| times.iter().sum())
}

fn status_bytes(process: &str, label: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let Some(bytes) = labelled_bytes(&status, label) else { bail!("{path} has no {label}") };
    Ok(bytes)
}

/// A size of proc_pid_status(5), in bytes.
pub(crate) fn labelled_bytes(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(milliseconds: impl IntoIterator<Item = u64>) -> Sample {
        Sample::new(milliseconds.into_iter().map(Duration::from_millis).collect()).unwrap()
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let hundred = sample((1..=100).rev());
        for (percent, milliseconds) in [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)] {
            assert_eq!(hundred.percentile(percent), Duration::from_millis(milliseconds));
        }
        let few = sample([30, 10, 20]);
        assert_eq!(few.median(), Duration::from_millis(20));
        assert_eq!((few.min(), few.max()), (Duration::from_millis(10), Duration::from_millis(30)));
        assert_eq!(few.percentile(99), few.max());
    }

    #[test]
    fn nothing_measured_is_an_error() {
        assert!(Sample::new(Vec::new()).is_err());
    }

    #[test]
    fn what_takes_longer_than_the_budget_is_done_once() {
        let done = |budget| Repeats { most: 3, budget }.run(Ok).unwrap();
        assert_eq!(done(Duration::ZERO), [0]);
        assert_eq!(done(Duration::MAX), [0, 1, 2]);
    }

    #[test]
    fn sizes_are_read_in_bytes() {
        let status = "VmPeak:\t  100 kB\nVmHWM:\t    5124 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(labelled_bytes(status, "VmHWM:"), Some(5124 * 1024));
        assert_eq!(labelled_bytes(status, "VmRSS:"), Some(1024));
        assert_eq!(labelled_bytes("Name:\tzombie\n", "VmHWM:"), None);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 40 2 0 0 20 0 1 0 100 0 0";
        assert_eq!(processor_ticks(stat), Some(42));
        assert_eq!(processor_ticks("7 (name) S 1"), None);
        assert_eq!(ticks_with_children(&stat.replace("40 2 0 0", "40 2 7 1")), Some(50));
    }
}
