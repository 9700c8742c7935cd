//! Commands that run in a place of the lab.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::place::Place;
use crate::protocol::{Exec, Reply, Request};
use crate::state_dir::StateDir;
use crate::wire::Wire;

/// Variables of the caller that a command in the lab gets too.
const PASSED_ON: &[&str] = &["PATH", "TERM", "HOME", "LANG", "RUST_LOG", "RUST_BACKTRACE"];

/// How a command ended and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code, or 128 plus the signal that ended the command.
    pub code: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error; bytes that are not UTF-8 are replaced.
    pub stderr: String,
}

impl Output {
    /// Whether the command exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// The standard output of a command that must have succeeded.
    ///
    /// # Errors
    /// When it did not; the error has what the command wrote.
    pub fn checked(self) -> Result<String> {
        ensure!(self.success(), "{self}");
        Ok(self.stdout)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.trim().is_empty() {
                write!(f, "; {name}: {}", text.trim())?;
            }
        }
        Ok(())
    }
}

/// A command that runs in a place of the lab; dropping it kills the command.
#[derive(Debug)]
pub struct Running {
    wire: Wire,
    description: String,
    /// Writes to the command's standard input; dropping it ends that input.
    pub stdin: Option<PipeWriter>,
    /// Reads the command's standard output.
    pub stdout: Option<PipeReader>,
    /// Reads the command's standard error.
    pub stderr: Option<PipeReader>,
}

impl Running {
    /// Starts `command` at `place` with pipes.
    pub(crate) fn start(state: &StateDir, place: &Place, command: &[&str]) -> Result<Self> {
        let (input, stdin) = pipe()?;
        let (stdout, output) = pipe()?;
        let (stderr, error) = pipe()?;
        let mut running =
            Self::pass(state, place, command, [input.as_fd(), output.as_fd(), error.as_fd()])?;
        running.stdin = Some(stdin);
        running.stdout = Some(stdout);
        running.stderr = Some(stderr);
        Ok(running)
    }

    /// Starts `command` at `place` with descriptors of the caller.
    pub(crate) fn pass(
        state: &StateDir,
        place: &Place,
        command: &[&str],
        descriptors: [BorrowedFd<'_>; 3],
    ) -> Result<Self> {
        ensure!(!command.is_empty(), "no command to run at {place}");
        let mut wire = crate::lab::connect(state)?;
        let environment: BTreeMap<String, String> = PASSED_ON
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        let request = Request::Exec(Exec {
            place: place.clone(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            directory: std::env::current_dir().unwrap_or_else(|_| "/".into()),
            environment,
        });
        wire.send(&request, &descriptors).context("lab does not take the command")?;
        let description = format!("{} at {place}", command.join(" "));
        Ok(Self { wire, description, stdin: None, stdout: None, stderr: None })
    }

    /// Waits for the end of the command; its exit code.
    ///
    /// # Errors
    /// When it could not be started, or the lab ended first.
    pub fn wait(mut self) -> Result<i32> {
        drop(self.stdin.take());
        match self.wire.receive::<Reply>()?.map(|message| message.value) {
            Some(Reply::Exited { code }) => Ok(code),
            Some(Reply::Failed { reason }) => Err(anyhow!("{}: {reason}", self.description)),
            Some(other) => bail!("{}: unexpected answer {other:?}", self.description),
            None => bail!("{}: the lab ended first", self.description),
        }
    }

    /// Waits for the end of the command and gathers what it wrote.
    ///
    /// # Errors
    /// When it could not be started, or the lab ended first.
    pub fn output(mut self) -> Result<Output> {
        drop(self.stdin.take());
        let stdout = gather(self.stdout.take());
        let stderr = gather(self.stderr.take());
        let code = self.wait()?;
        let text = |reader: thread::JoinHandle<Vec<u8>>| {
            String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
        };
        Ok(Output { code, stdout: text(stdout), stderr: text(stderr) })
    }
}

/// Reads a pipe to its end beside the caller.
fn gather(pipe: Option<PipeReader>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still the best answer.
            pipe.read_to_end(&mut bytes).unwrap_or_default();
        }
        bytes
    })
}
