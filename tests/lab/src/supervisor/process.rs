//! Processes of the lab: starting, waiting, killing, and the duty of process 1 to reap orphans.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::namespace::Namespace;
use crate::exec::Output;

/// Called once with how a process ended.
type OnExit = Box<dyn FnOnce(Exit) + Send>;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(Signal),
}

impl Exit {
    /// The code that a shell would report.
    pub(super) fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal as i32,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "{signal}"),
        }
    }
}

/// All processes that the supervisor started; a cheap handle.
#[derive(Clone, Default)]
pub(super) struct Processes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<HashMap<Pid, OnExit>>,
    /// Signalled when a process was started.
    started: Condvar,
}

/// A process group that the supervisor started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(Pid);

impl Group {
    /// Sends `signal` to the group; nothing happens where it has ended.
    pub(super) fn signal(self, signal: Signal) {
        match killpg(self.0, signal) {
            Ok(()) | Err(_) => {}
        }
    }
}

impl Processes {
    /// Starts the thread that reaps.
    pub(super) fn start() -> Self {
        let processes = Self::default();
        let own = processes.clone();
        thread::spawn(move || own.reap());
        processes
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Pid, OnExit>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts `command` in `place` as a process group of its own.
    ///
    /// The child's pipes are the caller's; its end is reported to `on_exit` and nowhere else.
    pub(super) fn spawn(
        &self,
        place: &Namespace,
        mut command: Command,
        on_exit: impl FnOnce(Exit) + Send + 'static,
    ) -> Result<(Group, Child)> {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
        let name = command.get_program().to_string_lossy().into_owned();
        place.place_process(&mut command)?;
        place.enter(move || {
            // The reaper takes a process that is not in the table for an orphan, so it must not
            // look before this one is there.
            let mut table = self.table();
            let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
            let pid = Pid::from_raw(i32::try_from(child.id())?);
            table.insert(pid, Box::new(on_exit));
            self.0.started.notify_all();
            Ok((Group(pid), child))
        })
    }

    /// Runs `command` in `place` to its end; an error unless it succeeds.
    pub(super) fn run(&self, place: &Namespace, mut command: Command, input: &str) -> Result<()> {
        let text = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (exited, exit) = mpsc::channel();
        let (_, mut child) = self.spawn(place, command, move |exit| {
            // The receiver waits below until this comes.
            exited.send(exit).unwrap_or_default();
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends early says why by itself.
            stdin.write_all(input.as_bytes()).unwrap_or_default();
        }
        let mut errors = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut errors)?;
        }
        let exit = exit.recv().context("the reaper is gone")?;
        ensure!(exit == Exit::Code(0), "{text}: {exit}: {}\ninput:\n{input}", errors.trim());
        Ok(())
    }

    /// Runs `command` in `place` to its end with `input`; what it wrote, however it ended.
    pub(super) fn capture(
        &self,
        place: &Namespace,
        mut command: Command,
        input: &str,
    ) -> Result<Output> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (exited, exit) = mpsc::channel();
        let (_, mut child) = self.spawn(place, command, move |exit| {
            // The receiver waits below until this comes.
            exited.send(exit).unwrap_or_default();
        })?;
        let (stdin, mut out) = (child.stdin.take(), child.stdout.take());
        let mut error = child.stderr.take();
        // It may write before it has read everything, so all three go on at once.
        let (stdout, stderr) = thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // A program that ends early says why by itself.
                    stdin.write_all(input.as_bytes()).unwrap_or_default();
                }
            });
            let errors = scope.spawn(move || text(error.as_mut()));
            (text(out.as_mut()), errors.join().unwrap_or_default())
        });
        let code = exit.recv().context("the reaper is gone")?.code();
        Ok(Output { code, stdout, stderr })
    }

    /// Waits for ends, forever.
    fn reap(&self) {
        loop {
            // Only looks: whoever is reaped must be looked up under the lock first.
            let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            match waitid(Id::All, peek) {
                Ok(status) => self.settle(status),
                Err(Errno::ECHILD) => {
                    let table = self.table();
                    if table.is_empty() {
                        drop(self.0.started.wait(table));
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Reaps the process of `status` and reports its end.
    fn settle(&self, status: WaitStatus) {
        let Some(pid) = status.pid() else { return };
        let on_exit = {
            let mut table = self.table();
            // A child whose start failed was reaped by its starter meanwhile.
            match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
                Ok(_) => table.remove(&pid),
                Err(_) => return,
            }
        };
        let Some(on_exit) = on_exit else { return };
        match status {
            WaitStatus::Exited(_, code) => on_exit(Exit::Code(code)),
            WaitStatus::Signaled(_, signal, _) => on_exit(Exit::Signal(signal)),
            WaitStatus::Stopped(..)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::PtraceSyscall(..)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => {}
        }
    }
}

/// Reads a pipe to its end; what was read before an error is still the best answer.
fn text(pipe: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.read_to_end(&mut bytes).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
