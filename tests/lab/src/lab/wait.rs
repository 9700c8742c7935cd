//! Waiting for conditions.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use super::{Lab, read_log};
use crate::protocol::{DaemonState, Reply, Request, Status};

/// Longest wait for a condition.
///
/// 30 s: conditions hold within a fraction of a second; the rest is for a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

impl Lab {
    /// Waits until nothing is under way: pods run and are as ready as they were told to be, none
    /// terminates, daemons are ready.
    ///
    /// # Errors
    /// When that does not happen in time; the error says what is missing.
    pub fn wait_settled(&self) -> Result<()> {
        wait_for("the lab to settle", self.patience, || {
            // First: the lab has heard of everything that has to settle only when this is empty.
            let reply = self.request(&Request::Workloads)?;
            let Reply::Workloads { unsettled } = reply else {
                bail!("unexpected answer {reply:?}")
            };
            let status = self.status()?;
            let settled = unsettled.is_empty() && status.settled;
            ensure!(settled, "{}{}", unsettled.join(", "), self.missing(&status));
            Ok(Some(()))
        })
    }

    /// What keeps the lab from being settled, for people.
    fn missing(&self, status: &Status) -> String {
        // Writing to a string cannot fail.
        let mut text = String::new();
        for pod in status.pods.iter().filter(|pod| !pod.ready) {
            let notes = pod.notes.join(", ");
            write!(text, "\n  pod {} {:?} not ready {notes}", pod.name, pod.phase)
                .unwrap_or_default();
        }
        for node in &status.nodes {
            if !matches!(node.podway, DaemonState::Ready | DaemonState::Absent) {
                let log = read_log(&self.state.podway_log(&node.name)).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(5).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n    ");
                write!(text, "\n  podway on {}: {:?}\n    {last}", node.name, node.podway)
                    .unwrap_or_default();
            }
        }
        text
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// When it does not hold in time; the error has the condition's last one.
    pub fn wait_until(
        &self,
        what: &str,
        mut condition: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        wait_for(what, self.patience, || Ok(condition()?.then_some(())))
    }

    /// Waits until `condition` yields a value.
    ///
    /// # Errors
    /// When it yields none in time; the error has the condition's last one.
    pub fn wait_for<T>(
        &self,
        what: &str,
        condition: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        wait_for(what, self.patience, condition)
    }
}

/// Looks at `condition` again and again until it yields a value.
pub(super) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let outcome = condition();
        if let Ok(Some(value)) = outcome {
            return Ok(value);
        }
        if start.elapsed() >= patience {
            let last = outcome.err().unwrap_or_else(|| anyhow!("it did not hold"));
            return Err(last.context(format!("waited {} s for {what}", patience.as_secs())));
        }
        thread::sleep(PAUSE);
    }
}
