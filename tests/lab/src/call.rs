//! Requests from a place of the lab to an address, and how each of them ended.

use std::fmt;
use std::io::{BufRead as _, BufReader, ErrorKind, PipeReader, Write as _};
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use crate::ask::Answer;
use crate::exec::Running;
use crate::inject::SEGMENTS;
use crate::lab::Lab;
use crate::place::Place;
use crate::ports::Ports;

/// The lab's own program, as every place of the lab sees it, whatever is mounted there.
const PROGRAM: &str = "/proc/1/exe";

/// How requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Transport {
    /// A line over a connection.
    Tcp,
    /// A datagram.
    Udp,
    /// The greeting of an association; none comes about.
    Sctp,
}

impl Transport {
    /// Those that every pod's server speaks where a Service does not say more.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// The name in small letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// How a request ended that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The port was said to be closed: a reset, or ICMP port unreachable.
    Refused,
    /// A router said that there is no way.
    Unreachable,
    /// The connection was open and was reset.
    Reset,
    /// The connection was open and was closed in order.
    Closed,
    /// Nobody said anything in time.
    Silent,
}

impl Failure {
    const ALL: [Self; 5] =
        [Self::Refused, Self::Unreachable, Self::Reset, Self::Closed, Self::Silent];

    /// The failure that an error of this kind is, unless something else went wrong.
    pub(crate) fn of(kind: ErrorKind) -> Option<Self> {
        const KINDS: [(ErrorKind, Failure); 9] = [
            (ErrorKind::ConnectionRefused, Failure::Refused),
            (ErrorKind::HostUnreachable, Failure::Unreachable),
            (ErrorKind::NetworkUnreachable, Failure::Unreachable),
            (ErrorKind::ConnectionReset, Failure::Reset),
            (ErrorKind::BrokenPipe, Failure::Reset),
            (ErrorKind::ConnectionAborted, Failure::Closed),
            (ErrorKind::UnexpectedEof, Failure::Closed),
            (ErrorKind::TimedOut, Failure::Silent),
            // What a socket with a read timeout says.
            (ErrorKind::WouldBlock, Failure::Silent),
        ];
        KINDS.iter().find(|(known, _)| *known == kind).map(|(_, failure)| *failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Silent => "silent",
        })
    }
}

impl FromStr for Failure {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|failure| failure.to_string() == word);
        found.with_context(|| format!("the request could not be made: {word}"))
    }
}

/// How a request ended.
pub type Outcome = Result<Answer, Failure>;

/// Reads a line of the client.
fn outcome(line: &str) -> Result<Outcome> {
    match line.trim_end().strip_prefix("failed=") {
        Some(word) => Ok(Err(word.parse()?)),
        None => Ok(Ok(line.parse()?)),
    }
}

/// A connection, or a flow of datagrams from one port, that stays open.
#[derive(Debug)]
pub struct Held {
    running: Running,
    answers: BufReader<PipeReader>,
}

impl Held {
    /// Makes one more request over it.
    ///
    /// # Errors
    /// When its client ended.
    pub fn ask(&mut self) -> Result<Outcome> {
        let stdin = self.running.stdin.as_mut().context("client without input")?;
        stdin.write_all(b"\n")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the client ended");
        }
        outcome(&line)
    }
}

impl Lab {
    /// Asks `target` from `place` `count` times, one after the other, each time over a new
    /// connection or from a port that was not used lately. A request that nobody answers in time is
    /// the last.
    ///
    /// # Errors
    /// When the client cannot be run; how the requests ended is in the outcomes.
    pub fn call(
        &self,
        place: &Place,
        transport: Transport,
        target: SocketAddr,
        count: usize,
    ) -> Result<Vec<Outcome>> {
        let (target, number) = (target.to_string(), count.to_string());
        let port = Ports::reserve(count).first().to_string();
        let command = [PROGRAM, "client", transport.as_str(), &target, "--first-port", &port];
        let command = [&command[..], &["--count", &number]].concat();
        let text = self.exec(place, &command)?.checked()?;
        let outcomes = text.lines().map(outcome).collect::<Result<Vec<_>>>()?;
        let complete = outcomes.len() == count || outcomes.last() == Some(&Err(Failure::Silent));
        ensure!(complete, "{} outcomes of {count} requests", outcomes.len());
        Ok(outcomes)
    }

    /// Sends segments from `from`, which is at `place`, to `to` that belong to no window of their
    /// connection; how many.
    ///
    /// # Errors
    /// When they cannot be sent.
    pub fn inject(&self, place: &Place, from: SocketAddr, to: SocketAddr) -> Result<u32> {
        let command = [PROGRAM, "inject", &from.to_string(), &to.to_string()];
        self.exec(place, &command)?.checked()?;
        Ok(SEGMENTS)
    }

    /// Opens a connection, or a flow of datagrams from one port, from `place` to `target`.
    ///
    /// # Errors
    /// When the client cannot be run; whether the connection came about shows with the first
    /// request.
    pub fn hold(&self, place: &Place, transport: Transport, target: SocketAddr) -> Result<Held> {
        let target = target.to_string();
        let port = Ports::reserve(1).first().to_string();
        let command =
            [PROGRAM, "client", transport.as_str(), &target, "--first-port", &port, "--hold"];
        let mut running = self.spawn(place, &command)?;
        let output = running.stdout.take().context("client without output")?;
        Ok(Held { running, answers: BufReader::new(output) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_every_failure_gives_it_back() {
        for failure in Failure::ALL {
            assert_eq!(outcome(&format!("failed={failure}\n")).unwrap(), Err(failure));
        }
        assert!(outcome("failed=PermissionDenied").is_err(), "that says nothing of the server");
    }
}
