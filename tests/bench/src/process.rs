//! A program as a process on a node of a lab.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use podway_tests_lab::{Lab, Place, Running};

/// Longest time to be ready: kube-proxy's first transaction takes tens of seconds.
const READY_LIMIT: Duration = Duration::from_secs(600);

/// Pause between two looks: the resolution of the time to be ready.
const PAUSE: Duration = Duration::from_millis(100);

/// A process that runs; it ends when dropped.
pub(crate) struct Process<'lab> {
    pub(crate) lab: &'lab Lab,
    pub(crate) place: Place,
    began: Instant,
    /// Its number among the lab's processes.
    number: String,
    running: Running,
}

impl<'lab> Process<'lab> {
    /// Starts `command` at `place`, with what it says in the file `log`.
    pub(crate) fn start(
        lab: &'lab Lab,
        place: Place,
        command: &[String],
        log: &Path,
    ) -> Result<Self> {
        // The shell tells its number and becomes the program.
        let script = format!("echo $$; exec \"$@\" >{} 2>&1", log.display());
        let mut words = vec!["sh", "-c", &script, "sh"];
        words.extend(command.iter().map(String::as_str));
        let began = Instant::now();
        let mut running = lab.spawn(&place, &words)?;
        let output = running.stdout.take().context("a shell without output")?;
        let mut number = String::new();
        BufReader::new(output).read_line(&mut number)?;
        Ok(Self { lab, place, began, number: number.trim().to_owned(), running })
    }

    /// Waits until `is_ready`; how long that took since its start.
    pub(crate) fn wait_until(&self, is_ready: impl Fn() -> Result<bool>) -> Result<Duration> {
        while !is_ready()? {
            self.proc("stat").map(drop).context("it has ended")?;
            ensure!(self.began.elapsed() < READY_LIMIT, "it is not ready");
            thread::sleep(PAUSE);
        }
        Ok(self.began.elapsed())
    }

    /// What is told beside it at `url`, if anything is.
    pub(crate) fn ask(&self, url: &str) -> Result<Option<String>> {
        let command = ["curl", "-gsSf", "--max-time", "5", url];
        let output = self.lab.exec(&self.place, &command)?;
        Ok(output.success().then_some(output.stdout))
    }

    /// A file of its folder in /proc.
    pub(crate) fn proc(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.number);
        self.lab.exec(&self.place, &["cat", &path])?.checked()
    }

    /// Ends it and waits for its end.
    pub(crate) fn stop(self) -> Result<()> {
        self.lab.exec(&self.place, &["kill", &self.number])?.checked()?;
        self.running.wait().map(drop)
    }
}
