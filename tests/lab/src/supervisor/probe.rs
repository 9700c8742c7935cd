//! Start-up and readiness probes.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::engine::Happening;
use super::kubelet::Context;
use super::namespace::Namespace;
use super::process::{Exit, Processes};
use crate::cluster::Pod;
use crate::cluster::spec::{Container, Handler, Probe};

/// What one attempt of a probe or hook came to.
pub(super) enum Outcome {
    Passed,
    Failed(String),
    /// It needs a program that only the container's image has.
    Impossible(String),
}

/// Starts to probe the containers of `pod`; how many have probes, and what ends the probing.
pub(super) fn start(
    context: &Context,
    pod: &Pod,
    place: &Arc<Namespace>,
) -> (usize, Option<Sender<()>>) {
    let has_probe = |one: &&Container| one.startup_probe.is_some() || one.readiness_probe.is_some();
    let containers: Vec<_> = pod.spec.containers.iter().filter(has_probe).cloned().collect();
    let count = containers.len();
    // Nothing is sent: the end of the channel ends all probing.
    let (stop, stopped) = mpsc::channel();
    let stopped = Arc::new(Mutex::new(stopped));
    for (index, container) in containers.into_iter().enumerate() {
        let prober = Prober {
            context: context.clone(),
            pod: pod.clone(),
            place: Arc::clone(place),
            index,
            stopped: Arc::clone(&stopped),
        };
        thread::spawn(move || prober.run(&container));
    }
    (count, (count > 0).then_some(stop))
}

/// Probes one container.
struct Prober {
    context: Context,
    pod: Pod,
    place: Arc<Namespace>,
    index: usize,
    stopped: Arc<Mutex<Receiver<()>>>,
}

impl Prober {
    /// First the start-up probe until it passes, then the readiness probe until the pod ends.
    fn run(&self, container: &Container) {
        if let Some(probe) = &container.startup_probe
            && !self.repeat(probe, |passed| passed)
        {
            return;
        }
        match &container.readiness_probe {
            None => self.tell(true),
            Some(probe) => {
                self.repeat(probe, |passed| {
                    self.tell(passed);
                    false
                });
            }
        }
    }

    fn tell(&self, passed: bool) {
        let happening = Happening::Probed { container: self.index, passed };
        self.context.tell(&self.pod.uid, happening);
    }

    /// Repeats `probe` and calls `judged` whenever its thresholds change its verdict, until that
    /// is content; whether it became so before the pod ended.
    fn repeat(&self, probe: &Probe, judged: impl Fn(bool) -> bool) -> bool {
        let timeout = Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1).into());
        let period = Duration::from_secs(probe.period_seconds.unwrap_or(10).max(1).into());
        let mut verdict = Verdict::default();
        if self.pause(Duration::from_secs(probe.initial_delay_seconds.into())) {
            return false;
        }
        loop {
            let pod = (&self.pod, &*self.place);
            let passed = match attempt(&self.context.processes, pod, &probe.handler, timeout) {
                Outcome::Passed => true,
                Outcome::Failed(_) => false,
                Outcome::Impossible(why) => {
                    let note = format!("probe taken as passed: {why}");
                    self.context.tell(&self.pod.uid, Happening::Note(note));
                    return judged(true);
                }
            };
            if verdict.count(probe, passed).is_some_and(&judged) {
                return true;
            }
            if self.pause(period) {
                return false;
            }
        }
    }

    /// Waits; whether the probing was ended meanwhile.
    fn pause(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
    }
}

/// Counts successes and failures in a row.
#[derive(Debug, Default)]
struct Verdict {
    passes: bool,
    successes: u32,
    failures: u32,
}

impl Verdict {
    /// Counts one attempt; the new verdict if it changed.
    fn count(&mut self, probe: &Probe, passed: bool) -> Option<bool> {
        if passed {
            (self.successes, self.failures) = (self.successes + 1, 0);
        } else {
            (self.successes, self.failures) = (0, self.failures + 1);
        }
        let before = self.passes;
        if self.successes >= probe.success_threshold.unwrap_or(1).max(1) {
            self.passes = true;
        } else if self.failures >= probe.failure_threshold.unwrap_or(3).max(1) {
            self.passes = false;
        }
        (self.passes != before).then_some(self.passes)
    }
}

/// Tries `handler` once in the pod.
pub(super) fn attempt(
    processes: &Processes,
    (pod, place): (&Pod, &Namespace),
    handler: &Handler,
    timeout: Duration,
) -> Outcome {
    if let Some(exec) = &handler.exec {
        return run(processes, place, &exec.command, timeout);
    }
    let Some(port) = handler.port(pod) else {
        return Outcome::Impossible("neither command nor port".to_owned());
    };
    let path = handler.http_get.as_ref().map(|action| action.path.clone());
    let outcome = place.enter(|| connect(port, path.as_deref(), timeout));
    outcome.map_or_else(|error| Outcome::Failed(format!("{error:#}")), |()| Outcome::Passed)
}

/// Runs a command of a probe.
fn run(processes: &Processes, place: &Namespace, words: &[String], timeout: Duration) -> Outcome {
    let Some((program, arguments)) = words.split_first() else {
        return Outcome::Impossible("empty command".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (ended, end) = mpsc::channel();
    let started = processes.spawn(place, command, move |exit| {
        // Nobody waits for one that took too long.
        ended.send(exit).unwrap_or_default();
    });
    let group = match started {
        Ok((group, _child)) => group,
        Err(error) => {
            let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            let text = format!("{program}: {error:#}");
            return match kind {
                // Denied is also what a search path says that has folders of another user.
                Some(ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                    Outcome::Impossible(text)
                }
                Some(_) | None => Outcome::Failed(text),
            };
        }
    };
    match end.recv_timeout(timeout) {
        Ok(Exit::Code(0)) => Outcome::Passed,
        Ok(exit) => Outcome::Failed(format!("{program}: {exit}")),
        Err(_) => {
            group.signal(Signal::SIGKILL);
            Outcome::Failed(format!("{program}: no end within {timeout:?}"))
        }
    }
}

/// Connects to `port` of the pod, and asks for the page `path` if there is one.
pub(super) fn connect(port: u16, path: Option<&str>, timeout: Duration) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    let Some(path) = path else { return Ok(()) };
    stream.set_read_timeout(Some(timeout))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let code: u16 = line.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
    ensure!((200..400).contains(&code), "{path} on port {port}: {}", line.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_its_threshold_in_a_row() {
        let probe = Probe { success_threshold: Some(2), ..Probe::default() };
        let mut verdict = Verdict::default();
        let attempts = [true, false, true, true, false, false, true, false, false, false];
        let changes: Vec<_> =
            attempts.iter().map(|passed| verdict.count(&probe, *passed)).collect();
        let mut expected = vec![None; 10];
        (expected[3], expected[9]) = (Some(true), Some(false));
        assert_eq!(changes, expected);
    }
}
