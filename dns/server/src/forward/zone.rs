//! Forwards names of one zone: from the question to what the client is given.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::rr::Name;
use hickory_proto::serialize::binary::BinDecodable;
use podway_dns_cache::{
    CachePolicy, Key, Kind, Lookup, Preference, Response, ServeStale, TtlRange, Ttls,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::config::{ForwardConfig, Keep, NextOn, ShownTtl};
use super::flights::{Boarding, Flight, Flights};
use super::follow::Sources;
use super::kept::Kept;
use super::metrics::ForwardMetrics;
use super::resolver::{ForwardError, Resolver};
use super::transport::{Dial, TlsError};
use super::upstream::Maker;
use super::{Begun, Given, Renewals, lock};

/// How long the failure to reach any upstream is remembered at most.
///
/// 1 s, the least that RFC 9520 §3.2 asks for: it keeps a crowd away without hiding the recovery.
const SILENCE_KEPT: Duration = Duration::from_secs(1);

/// How replies are read where nothing is kept of them.
const NOTHING_KEPT: CachePolicy = CachePolicy {
    bytes: 0,
    success: TtlRange { min: 0, max: u32::MAX },
    denial: TtlRange { min: 0, max: u32::MAX },
    failure: Duration::ZERO,
    serve_stale: ServeStale::Never,
    stale_for: Duration::ZERO,
    stale_ttl: 0,
    recheck: Duration::ZERO,
    preference: Preference::Newest,
    prefetch: None,
};

/// Room for one more forwarded query; given back when dropped.
#[derive(Debug)]
struct Slot(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A question that waits for upstreams.
#[derive(Debug)]
pub(crate) struct Waiting {
    forwarder: Arc<Forwarder>,
    key: Key,
    slot: Slot,
    /// What is given when they fail, and how long they have.
    fallback: Option<(Given, Duration)>,
}

/// Forwards names of one zone.
#[derive(Debug)]
pub(crate) struct Forwarder {
    zone: Name,
    except: Vec<Name>,
    pub(super) resolver: Resolver,
    pub(super) sources: Mutex<Sources>,
    policy: CachePolicy,
    kept: Option<Kept>,
    flights: Flights,
    slots: Arc<Semaphore>,
    keep: Keep,
    /// Replies that the next forwarder may better.
    pub(super) next: NextOn,
    renewals: Renewals,
    metrics: ForwardMetrics,
}

impl Forwarder {
    /// Makes a forwarder as `config` says, never to ask any of `own`.
    ///
    /// # Errors
    /// [`TlsError`]: an upstream cannot be asked as it should be.
    pub(super) fn new(
        config: ForwardConfig,
        own: &[SocketAddr],
        dial: Arc<dyn Dial>,
        renewals: Renewals,
        metrics: &ForwardMetrics,
    ) -> Result<Self, TlsError> {
        let maker = Maker { health: config.health.clone(), metrics: metrics.clone(), dial };
        let sources = Sources::new(&config.to, own.to_vec(), maker);
        let upstreams = sources.upstreams(&[])?;
        let policy = config.cache.unwrap_or(NOTHING_KEPT);
        let server = own.first().map(|own| format!("dns://{own}")).unwrap_or_default();
        let zone = config.from.to_lowercase().to_ascii();
        let kept = config.cache.map(|policy| Kept::new(policy, metrics.cache(&server, &zone)));
        Ok(Self {
            resolver: Resolver::new(&config, policy, upstreams, metrics.clone()),
            sources: Mutex::new(sources),
            policy,
            kept,
            flights: Flights::default(),
            slots: Arc::new(Semaphore::new(config.limits.in_flight.min(Semaphore::MAX_PERMITS))),
            zone: config.from,
            except: config.except,
            keep: config.keep,
            next: config.next,
            renewals,
            metrics: metrics.clone(),
        })
    }

    /// The zone whose names are forwarded here.
    pub(super) fn zone(&self) -> &Name {
        &self.zone
    }

    /// Whether `name` is forwarded here.
    pub(super) fn serves(&self, name: &Name) -> bool {
        self.zone.zone_of(name) && !self.except.iter().any(|except| except.zone_of(name))
    }

    /// Answers from what is kept, or begins to ask.
    pub(super) fn begin(self: &Arc<Self>, key: Key) -> Begun {
        let fallback = match self.kept.as_ref().map(|kept| (kept, kept.look_up(&key))) {
            Some((kept, Lookup::Fresh { response, age, renew })) => {
                if renew {
                    kept.metrics().prefetched();
                    self.renewals.ask(key);
                }
                return Begun::Reply(Given { response, ttls: self.shown(age) });
            }
            Some((_, Lookup::Stale { response, wait, renew })) => {
                let stale = Given { response, ttls: Ttls::Fixed(self.policy.stale_ttl) };
                match wait {
                    Some(patience) => Some((stale, patience)),
                    None => {
                        if renew {
                            self.renewals.ask(key);
                        }
                        return Begun::Reply(self.stale(stale));
                    }
                }
            }
            Some((_, Lookup::Miss)) | None => None,
        };
        let Some(slot) = self.slot() else {
            self.metrics.rejected();
            let stale = fallback.map(|(stale, _)| self.stale(stale));
            return Begun::Reply(stale.unwrap_or_else(|| Given::failure(&key)));
        };
        Begun::Wait(Box::new(Waiting { forwarder: Arc::clone(self), key, slot, fallback }))
    }

    /// Times to live of an answer that was kept for `age`.
    fn shown(&self, age: Duration) -> Ttls {
        match self.keep.shown {
            ShownTtl::Left => Ttls::aged(age),
            ShownTtl::Original => Ttls::Aged(0),
        }
    }

    /// Whether `response` is to be kept as the answer to `key`.
    fn keeps(&self, key: &Key, response: &Response) -> bool {
        self.keep.is_everything()
            || Name::from_bytes(key.name())
                .is_ok_and(|name| self.keep.admits(&name, response.kind()))
    }

    /// Room for one query, if there is any.
    fn slot(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok().map(Slot)
    }

    /// Counts an answer that is given past its time.
    fn stale(&self, stale: Given) -> Given {
        if let Some(kept) = &self.kept {
            kept.metrics().served_stale();
        }
        stale
    }

    /// Asks `key` anew, unless somebody does.
    pub(super) fn renew(self: &Arc<Self>, key: &Key) {
        let Some(slot) = self.slot() else { return };
        if let Boarding::Pilot(flight, _) = self.flights.board(key, || None) {
            self.fly(flight, key.clone(), slot);
        }
    }

    /// Asks upstreams for all who wait; goes on when they are gone.
    fn fly(self: &Arc<Self>, flight: Flight, key: Key, slot: Slot) {
        let forwarder = Arc::clone(self);
        tokio::spawn(async move {
            let response = Arc::new(match forwarder.resolver.ask(&key).await {
                Ok(response) => response,
                Err(error) => forwarder.failure(&key, error),
            });
            if let Some(kept) = &forwarder.kept
                && forwarder.keeps(&key, &response)
            {
                kept.insert(&key, Arc::clone(&response));
            }
            flight.land(response);
            drop(slot);
        });
    }

    /// What stands for the reply after `error`.
    fn failure(&self, key: &Key, error: ForwardError) -> Response {
        if let Ok(name) = Name::from_bytes(key.name()) {
            tracing::debug!(%name, qtype = key.qtype(), %error, "not forwarded");
        }
        let lifetime = match error {
            ForwardError::Declined(_) => self.policy.failure,
            ForwardError::NoUpstream
            | ForwardError::AllUnhealthy
            | ForwardError::AllFailed
            | ForwardError::TimedOut => self.policy.failure.min(SILENCE_KEPT),
        };
        Response::failure(key, lifetime)
    }

    /// Reads the files that name upstreams, and asks those that they name now; whether those are
    /// others than before.
    pub(super) fn update(&self) -> bool {
        let mut sources = lock(&self.sources);
        if !sources.read() {
            return false;
        }
        match sources.upstreams(&self.resolver.upstreams.load()) {
            Ok(upstreams) => {
                let names: Vec<_> = upstreams.iter().map(|found| found.place.to_string()).collect();
                tracing::info!(zone = %self.zone, upstreams = ?names, "upstreams changed");
                self.resolver.upstreams.store(Arc::new(upstreams));
                true
            }
            Err(error) => {
                tracing::warn!(zone = %self.zone, %error, "upstreams stay as they are");
                false
            }
        }
    }
}

impl Waiting {
    /// Waits until upstreams have replied or failed, or what is kept has to do.
    pub(crate) async fn finish(self) -> Given {
        let Self { forwarder, key, slot, fallback } = self;
        let mut slot = Some(slot);
        let kept = || forwarder.kept.as_ref()?.peek(&key);
        let mut arrived = None;
        let boarding = forwarder.flights.board(&key, || {
            let (response, age) = kept()?;
            arrived = Some(forwarder.shown(age));
            Some(response)
        });
        let seat = match boarding {
            Boarding::Arrived(response) => {
                return Given { response, ttls: arrived.unwrap_or(Ttls::Aged(0)) };
            }
            Boarding::Passenger(seat) => seat,
            Boarding::Pilot(flight, seat) => {
                if let Some(slot) = slot.take() {
                    forwarder.fly(flight, key.clone(), slot);
                }
                seat
            }
        };
        let landed = match &fallback {
            Some((_, patience)) => timeout(*patience, seat.wait()).await.ok().flatten(),
            None => seat.wait().await,
        };
        let betters = |response: &Arc<Response>| match (response.kind(), &fallback) {
            (Kind::Failure, _) => false,
            // Data may be preferred to what denies it.
            (Kind::Denial, Some((stale, _))) => {
                forwarder.policy.preference == Preference::Newest
                    || stale.response.kind() != Kind::Success
            }
            (Kind::Denial, None) | (Kind::Success, _) => true,
        };
        match (landed.filter(betters), fallback) {
            (Some(response), _) => Given { response, ttls: Ttls::Aged(0) },
            (None, Some((stale, _))) => forwarder.stale(stale),
            (None, None) => Given::failure(&key),
        }
    }
}
