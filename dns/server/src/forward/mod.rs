//! Asks upstreams for names that are not ours.
//!
//! The upstream that answered last is asked first. If it is slow the next one is asked beside it and
//! the first good reply counts; if it refuses or cannot be reached the next one is asked at once. A
//! dead upstream thus costs one client the patience, and the others nothing.

mod exchange;
mod outgoing;
mod race;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::ResponseCode;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use self::outgoing::{Outgoing, Reply};
use self::race::Race;
use crate::config::ForwardLimits;
use crate::metrics::{Metrics, TryFailure};
use crate::respond::Transport;

/// Why no upstream replied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ForwardError {
    /// There is none.
    #[error("no upstream is configured")]
    NoUpstream,
    /// Every one of them refused or could not be reached.
    #[error("all upstreams failed")]
    AllFailed,
    /// Some did not reply in time.
    #[error("no upstream replied in time")]
    TimedOut,
}

/// Room for one more forwarded query; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Asks upstreams.
#[derive(Debug)]
pub(crate) struct Forwarder {
    upstreams: Arc<[SocketAddr]>,
    limits: ForwardLimits,
    slots: Arc<Semaphore>,
    /// Place of the upstream that answered last.
    preferred: AtomicUsize,
    metrics: Metrics,
}

/// How a try ended.
enum Verdict {
    /// With a reply that settles the matter.
    Settled(Reply),
    /// With a reply that another upstream may better.
    Declined(Reply),
    /// With the news that this upstream cannot be asked.
    Unreachable,
    /// With nothing in time.
    Silent,
}

impl Forwarder {
    /// Makes a forwarder to `upstreams`.
    pub(crate) fn new(upstreams: Vec<SocketAddr>, limits: ForwardLimits, metrics: Metrics) -> Self {
        Self {
            upstreams: upstreams.into(),
            slots: Arc::new(Semaphore::new(limits.in_flight)),
            limits,
            preferred: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Takes room for one query, if there is any.
    pub(crate) fn slot(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok();
        if permit.is_none() {
            self.metrics.forward_rejected();
        }
        permit.map(Slot)
    }

    /// Asks until one upstream has a good reply, all have failed, or time is up.
    ///
    /// # Errors
    /// [`ForwardError`]: the client gets SERVFAIL.
    pub(crate) async fn ask(
        &self,
        outgoing: Outgoing,
        client: Transport,
        _slot: Slot,
    ) -> Result<Reply, ForwardError> {
        if self.upstreams.is_empty() {
            return Err(ForwardError::NoUpstream);
        }
        match timeout(self.limits.total, self.run_race(Arc::new(outgoing), client)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ForwardError::TimedOut),
        }
    }

    /// Asks one upstream after the other, each beside those that are still silent.
    async fn run_race(
        &self,
        outgoing: Arc<Outgoing>,
        client: Transport,
    ) -> Result<Reply, ForwardError> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut race = Race::new(self.upstreams.len(), preferred);
        let mut tries = JoinSet::new();
        let mut declined = None;
        loop {
            let may_start = race.has_unasked() || declined.is_none();
            if let Some(place) = race.next().filter(|_| may_start) {
                let upstream = self.upstreams[place];
                let attempt = self.attempt(upstream, Arc::clone(&outgoing), client);
                tries.spawn(async move { (place, attempt.await) });
            }
            let patience =
                if race.has_unasked() { self.limits.patience } else { self.limits.per_try };
            let next_start = Instant::now() + patience;
            // Until another try is due.
            loop {
                let ended = tokio::select! {
                    ended = tries.join_next() => ended,
                    () = sleep_until(next_start) => break,
                };
                match ended {
                    None => return declined.ok_or(ForwardError::AllFailed),
                    Some(Ok((place, Verdict::Settled(reply)))) => {
                        self.preferred.store(place, Ordering::Relaxed);
                        return Ok(reply);
                    }
                    Some(Ok((place, Verdict::Declined(reply)))) => {
                        race.exclude(place);
                        // A refusal is never passed on: some stub resolvers take it for a lost
                        // packet and stall.
                        if reply.rcode() == ResponseCode::ServFail {
                            declined = Some(reply);
                        }
                    }
                    Some(Ok((place, Verdict::Unreachable))) => race.exclude(place),
                    Some(Ok((_, Verdict::Silent)) | Err(_)) => {}
                }
                if race.has_unasked() || (tries.is_empty() && race.may_ask()) {
                    break;
                }
            }
        }
    }

    /// One try with `upstream`.
    fn attempt(
        &self,
        upstream: SocketAddr,
        outgoing: Arc<Outgoing>,
        client: Transport,
    ) -> impl Future<Output = Verdict> + Send + 'static {
        let (per_try, metrics) = (self.limits.per_try, self.metrics.clone());
        async move {
            let started = Instant::now();
            match timeout(per_try, exchange::ask(upstream, &outgoing, client)).await {
                Ok(Ok(reply)) => {
                    metrics.upstream_replied(upstream, reply.rcode(), started.elapsed());
                    if matches!(reply.rcode(), ResponseCode::ServFail | ResponseCode::Refused) {
                        Verdict::Declined(reply)
                    } else {
                        Verdict::Settled(reply)
                    }
                }
                Ok(Err(error)) => {
                    metrics.upstream_failed(upstream, TryFailure::Io);
                    tracing::debug!(%upstream, %error, "upstream cannot be asked");
                    Verdict::Unreachable
                }
                Err(_elapsed) => {
                    metrics.upstream_failed(upstream, TryFailure::Timeout);
                    Verdict::Silent
                }
            }
        }
    }
}
