//! Asks the upstreams of one zone until one has a good reply.
//!
//! Those that are well are asked first, in the order chosen. If one is slow the next one is asked
//! beside it and the first good reply counts; if it refuses or cannot be reached the next one is
//! asked at once. A dead upstream thus costs one client the patience; that very moment it becomes
//! suspect, and the others are not sent to it first any more.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use podway_dns_cache::{CachePolicy, Key, Kind, Response};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::config::{AllUnhealthy, ForwardConfig, ForwardLimits, Selection};
use super::metrics::{ForwardMetrics, TryFailure};
use super::race::Race;
use super::upstream::{Standing, Upstream};

/// Why no upstream had a good reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ForwardError {
    /// There is none, or none but such as lead back here.
    #[error("there is no upstream to ask")]
    NoUpstream,
    /// None is well, and that is reason enough not to ask.
    #[error("no upstream is well")]
    AllUnhealthy,
    /// Every one of them refused or could not be reached.
    #[error("all upstreams failed")]
    AllFailed,
    /// They replied that they cannot say.
    #[error("the upstreams replied {0}")]
    Declined(ResponseCode),
    /// Some did not reply in time.
    #[error("no upstream replied in time")]
    TimedOut,
}

/// Upstreams that can change.
pub(crate) type Upstreams = ArcSwap<Vec<Arc<Upstream>>>;

/// Asks upstreams.
#[derive(Debug)]
pub(crate) struct Resolver {
    pub(crate) upstreams: Upstreams,
    selection: Selection,
    all_unhealthy: AllUnhealthy,
    limits: ForwardLimits,
    /// How replies are read.
    policy: CachePolicy,
    /// Replies that another upstream is asked to better.
    failover: Arc<[ResponseCode]>,
    /// Who begins the next round.
    turn: AtomicUsize,
    metrics: ForwardMetrics,
}

/// How a try ended.
enum Verdict {
    /// With a reply that settles the matter.
    Settled(Response),
    /// With a reply that another upstream may better.
    Declined(ResponseCode),
    /// With a reply that another upstream is to better, and that holds if none does.
    Passed(Response),
    /// With the news that this upstream cannot be asked.
    Unreachable,
    /// With nothing in time.
    Silent,
}

impl Resolver {
    /// Asks `upstreams` as `config` says.
    pub(crate) fn new(
        config: &ForwardConfig,
        policy: CachePolicy,
        upstreams: Vec<Arc<Upstream>>,
        metrics: ForwardMetrics,
    ) -> Self {
        Self {
            upstreams: ArcSwap::from_pointee(upstreams),
            selection: config.selection,
            all_unhealthy: config.all_unhealthy,
            limits: config.limits,
            policy,
            failover: config.failover.clone().into(),
            turn: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Asks until one upstream has a good reply, all have failed, or time is up.
    ///
    /// # Errors
    /// [`ForwardError`]: the client gets SERVFAIL or what is left of an earlier answer.
    pub(crate) async fn ask(&self, key: &Key) -> Result<Response, ForwardError> {
        let order = self.order();
        let Some(first) = order.first() else { return Err(ForwardError::NoUpstream) };
        if first.standing() == Standing::Down {
            self.metrics.found_all_unhealthy();
            if self.all_unhealthy == AllUnhealthy::Fail {
                return Err(ForwardError::AllUnhealthy);
            }
        }
        match timeout(self.limits.total, self.run_race(&order, key)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ForwardError::TimedOut),
        }
    }

    /// The upstreams in the order in which this query tries them.
    fn order(&self) -> Vec<Arc<Upstream>> {
        let mut order = self.upstreams.load().to_vec();
        order.retain(|upstream| !upstream.leads_back());
        match self.selection {
            Selection::Random => fastrand::shuffle(&mut order),
            Selection::RoundRobin if !order.is_empty() => {
                let first = self.turn.fetch_add(1, Ordering::Relaxed) % order.len();
                order.rotate_left(first);
            }
            Selection::RoundRobin | Selection::Sequential => {}
        }
        order.sort_by_key(|upstream| upstream.standing());
        order
    }

    /// Asks one upstream after the other, each beside those that are still silent.
    async fn run_race(&self, order: &[Arc<Upstream>], key: &Key) -> Result<Response, ForwardError> {
        let attempts = self.limits.attempts.map_or(usize::MAX, NonZeroUsize::get);
        let mut race = Race::new(order.len(), attempts);
        let mut tries = JoinSet::new();
        let mut declined = None;
        let mut passed = None;
        loop {
            let may_start = race.has_unasked() || (declined.is_none() && passed.is_none());
            let asked = race.next().filter(|_| may_start);
            if let Some(place) = asked {
                let attempt = self.attempt(Arc::clone(&order[place]), key.clone());
                tries.spawn(async move { (place, attempt.await) });
            }
            // A datagram may be lost, so a lone upstream is asked again before its try is over.
            let pause =
                if race.has_unasked() { self.limits.patience } else { self.limits.per_try / 2 };
            let next_start = Instant::now() + pause;
            // Until another try is due.
            loop {
                let ended = tokio::select! {
                    ended = tries.join_next() => ended,
                    () = sleep_until(next_start) => {
                        if let Some(place) = asked {
                            order[place].failed();
                        }
                        break;
                    }
                };
                match ended {
                    None => {
                        return passed.ok_or(declined.unwrap_or(ForwardError::AllFailed));
                    }
                    Some(Ok((_, Verdict::Settled(response)))) => return Ok(response),
                    Some(Ok((place, Verdict::Declined(rcode)))) => {
                        race.exclude(place);
                        declined = Some(ForwardError::Declined(rcode));
                    }
                    Some(Ok((place, Verdict::Passed(response)))) => {
                        race.exclude(place);
                        passed = Some(response);
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
        upstream: Arc<Upstream>,
        key: Key,
    ) -> impl Future<Output = Verdict> + Send + 'static {
        let (per_try, policy) = (self.limits.per_try, self.policy);
        let failover = Arc::clone(&self.failover);
        async move {
            let started = Instant::now();
            let message = match timeout(per_try, upstream.ask(&key)).await {
                Ok(Ok(message)) => message,
                Ok(Err(error)) => {
                    upstream.metrics.failed(TryFailure::Io);
                    upstream.failed();
                    tracing::debug!(upstream = %upstream.place, %error, "cannot be asked");
                    return Verdict::Unreachable;
                }
                Err(_elapsed) => {
                    upstream.metrics.failed(TryFailure::Timeout);
                    upstream.failed();
                    return Verdict::Silent;
                }
            };
            match Response::read(&message, &key, &policy) {
                Ok(response) => {
                    upstream.replied();
                    upstream.metrics.replied(response.rcode(), started.elapsed());
                    let bettered = failover.contains(&response.rcode().into());
                    match response.kind() {
                        Kind::Success | Kind::Denial if bettered => Verdict::Passed(response),
                        Kind::Success | Kind::Denial => Verdict::Settled(response),
                        Kind::Failure => Verdict::Declined(response.rcode().into()),
                    }
                }
                Err(error) => {
                    upstream.metrics.failed(TryFailure::Malformed);
                    upstream.failed();
                    tracing::debug!(upstream = %upstream.place, %error, "reply cannot be read");
                    Verdict::Unreachable
                }
            }
        }
    }
}
