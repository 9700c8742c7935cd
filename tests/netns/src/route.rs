//! Requests along one way, and what has to become of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, bail, ensure};
use podway_tests_lab::{Answer, Failure, Held, Outcome, Place, Transport};

use crate::Cluster;

/// Natural logarithm of the probability with which a check of a random spread may fail by chance.
///
/// e^-20 is 2e-9: a suite with a thousand such checks fails by chance once in 500,000 runs.
const LN_CHANCE: f64 = -20.0;

/// Requests that meet each of `servers` equally likely ones at least once, but for chance.
///
/// The probability that some server is missed is at most `servers * (1 - 1 / servers)^requests`.
#[must_use]
pub fn requests_that_meet(servers: usize) -> usize {
    let servers_f = f64::from(u32::try_from(servers).unwrap_or(u32::MAX));
    let per_request = (1.0 - 1.0 / servers_f).ln();
    let needed = (LN_CHANCE - servers_f.ln()) / per_request;
    (1..).find(|count| f64::from(*count) >= needed).map_or(1, |count: u32| count as usize)
}

/// Fails unless `counts` are those of an even random choice between as many servers, but for
/// chance: Hoeffding's inequality bounds how far each may be from its share.
///
/// # Errors
/// When one is too far; the error has all of them.
pub fn ensure_even(counts: &BTreeMap<String, usize>) -> Result<()> {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let total = number(counts.values().sum());
    let servers = number(counts.len());
    let share = total / servers;
    let most = (total * ((2.0 * servers).ln() - LN_CHANCE) / 2.0).sqrt();
    let is_far = |count: &usize| (number(*count) - share).abs() > most;
    ensure!(!counts.values().any(is_far), "not {share} each, give or take {most}: {counts:?}");
    Ok(())
}

/// The names of `pods`, as what is reached is told.
#[must_use]
pub fn names(pods: &[&str]) -> BTreeSet<String> {
    pods.iter().map(|&name| name.to_owned()).collect()
}

/// A way that requests take.
#[derive(Debug, Clone)]
pub struct Route<'a> {
    cluster: &'a Cluster,
    from: Place,
    transport: Transport,
    to: SocketAddr,
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} to {}", self.from, self.transport.as_str(), self.to)
    }
}

impl<'a> Route<'a> {
    pub(crate) fn new(
        cluster: &'a Cluster,
        from: Place,
        transport: Transport,
        to: SocketAddr,
    ) -> Self {
        Self { cluster, from, transport, to }
    }

    /// How its requests are made.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Makes `count` requests.
    ///
    /// # Errors
    /// When they cannot be made; how they ended is in the outcomes.
    pub fn ask(&self, count: usize) -> Result<Vec<Outcome>> {
        self.cluster.call(&self.from, self.transport, self.to, count)
    }

    /// Makes `count` requests, which must all be answered.
    ///
    /// # Errors
    /// When one is not.
    pub fn answers(&self, count: usize) -> Result<Vec<Answer>> {
        let answer = |outcome: Outcome| match outcome {
            Ok(answer) => Ok(answer),
            Err(failure) => bail!("{self}: {failure}"),
        };
        self.ask(count)?.into_iter().map(answer).collect()
    }

    /// Waits until requests reach each of `pods` and nobody else; the answers that showed it.
    ///
    /// # Errors
    /// When that does not come about; the error says whom they reached.
    pub fn reaches(&self, pods: &BTreeSet<String>) -> Result<Vec<Answer>> {
        let count = requests_that_meet(pods.len());
        self.cluster.wait_for(&format!("{self} to reach {pods:?}"), || {
            let answers = self.answers(count)?;
            let reached: BTreeSet<_> =
                answers.iter().map(|answer| answer.pod.name.clone()).collect();
            ensure!(reached == *pods, "{self} reached {reached:?}");
            Ok(Some(answers))
        })
    }

    /// As [`Route::reaches`] for one pod.
    ///
    /// # Errors
    /// As there.
    pub fn reaches_pod(&self, pod: &str) -> Result<Answer> {
        let mut answers = self.reaches(&BTreeSet::from([pod.to_owned()]))?;
        ensure!(!answers.is_empty(), "no request was made");
        Ok(answers.swap_remove(0))
    }

    /// Waits until requests are refused at once.
    ///
    /// # Errors
    /// When they are not, among others when they end silently.
    pub fn is_refused(&self) -> Result<()> {
        self.ends_with(Failure::Refused)
    }

    /// Waits until requests end with `failure`.
    ///
    /// # Errors
    /// When they do not.
    pub fn ends_with(&self, failure: Failure) -> Result<()> {
        self.cluster.wait_until(&format!("{self}: {failure}"), || {
            let outcome = self.ask(1)?.remove(0);
            ensure!(outcome == Err(failure), "{self}: {outcome:?}");
            Ok(true)
        })
    }

    /// Opens a connection or a flow of datagrams that stays, and makes its first request.
    ///
    /// # Errors
    /// When that is not answered.
    pub fn hold(&self) -> Result<HeldFlow> {
        let held = self.cluster.hold(&self.from, self.transport, self.to)?;
        let mut flow = HeldFlow { held, text: self.to_string(), server: None };
        flow.goes_on()?;
        Ok(flow)
    }
}

/// A connection or a flow of datagrams that stays open, and the server it is with.
#[derive(Debug)]
pub struct HeldFlow {
    held: Held,
    text: String,
    server: Option<Answer>,
}

impl HeldFlow {
    /// Makes another request, which the same server must answer; its answer.
    ///
    /// # Errors
    /// When it is not answered, or by another one.
    pub fn goes_on(&mut self) -> Result<Answer> {
        let answer = match self.held.ask()? {
            Ok(answer) => answer,
            Err(failure) => bail!("{}, open: {failure}", self.text),
        };
        if let Some(server) = &self.server {
            ensure!(*server == answer, "{}, open: {answer:?} after {server:?}", self.text);
        }
        self.server = Some(answer.clone());
        Ok(answer)
    }
}

/// Waits until requests along each of `routes` reach each of `pods` and nobody else.
///
/// # Errors
/// When that does not come about.
pub fn all_reach(routes: &[Route<'_>], pods: &[&str]) -> Result<()> {
    let pods: BTreeSet<_> = pods.iter().map(|&pod| pod.to_owned()).collect();
    routes.iter().try_for_each(|route| route.reaches(&pods).map(drop))
}

/// Asks along `routes` without pause while `disturb` runs; every request must be answered.
///
/// # Errors
/// When one is not, when nothing was asked meanwhile, or with what `disturb` ends in.
pub fn undisturbed(routes: &[Route<'_>], disturb: impl FnOnce() -> Result<()>) -> Result<()> {
    let over = AtomicBool::new(false);
    let asking = AtomicBool::new(false);
    thread::scope(|scope| {
        let asker = scope.spawn(|| -> Result<usize> {
            let mut rounds = 0;
            while !over.load(Ordering::Acquire) {
                for route in routes {
                    route.answers(25)?;
                }
                asking.store(true, Ordering::Release);
                rounds += 1;
            }
            Ok(rounds)
        });
        while !asking.load(Ordering::Acquire) && !asker.is_finished() {
            thread::yield_now();
        }
        let disturbed = disturb();
        over.store(true, Ordering::Release);
        let rounds = match asker.join() {
            Ok(asked) => asked?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        disturbed?;
        ensure!(rounds > 1, "nothing was asked meanwhile");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_of_missing_a_server_is_negligible() {
        for servers in [2_usize, 3, 4, 130] {
            let count = requests_that_meet(servers);
            let servers = f64::from(u32::try_from(servers).unwrap());
            let missed =
                servers * (1.0 - 1.0 / servers).powf(f64::from(u32::try_from(count).unwrap()));
            assert!(missed < 2.1e-9, "{servers}: {missed}");
        }
        assert_eq!(requests_that_meet(1), 1);
    }

    #[test]
    fn a_choice_that_prefers_a_server_is_found() {
        let counts = |numbers: [usize; 3]| {
            ["a", "b", "c"].into_iter().map(str::to_owned).zip(numbers).collect()
        };
        ensure_even(&counts([320, 350, 330])).unwrap();
        // Weights 1, 1 and 2.
        ensure_even(&counts([250, 250, 500])).unwrap_err();
    }
}
