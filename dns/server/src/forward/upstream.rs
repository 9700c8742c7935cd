//! One upstream: how it is asked, and whether it is well.
//!
//! It is well until it fails a query. From then on it is asked after those that are well, and
//! probed until it replies; after some failed probes it counts as down. Any reply that can be read
//! is a sign of life, SERVFAIL too: one that only knows a stub zone may well fail for the root.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use hickory_proto::op::ResponseCode;
use podway_dns_cache::{CachePolicy, Key, KeyFlags, Response};
use tokio::time::{sleep, timeout};

use super::config::{HealthCheck, Protocol, Upstream as Place};
use super::metrics::{ForwardMetrics, UpstreamMetrics};
use super::outgoing::{Judgement, Outgoing, Spelling};
use super::transport::{Dial, Reply, TlsError, Transport};
use crate::query::{CLASS_IN, u16_at};

/// Type NS.
const NS: u16 = 2;

/// How an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It replied last.
    Well = 0,
    /// It failed last, and is being probed.
    Suspect = 1,
    /// It failed probes too.
    Down = 2,
}

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) place: Place,
    pub(crate) metrics: UpstreamMetrics,
    transport: Box<dyn Transport>,
    health: HealthCheck,
    standing: AtomicU8,
    /// Whether somebody probes it.
    probed: AtomicBool,
    /// Whether it takes queries with OPT.
    takes_edns: AtomicBool,
    /// Whether what it is asked comes back here.
    leads_back: AtomicBool,
}

/// What makes upstreams.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    pub(crate) health: HealthCheck,
    pub(crate) metrics: ForwardMetrics,
    pub(crate) dial: Arc<dyn Dial>,
}

impl Maker {
    /// Makes the upstream at `place`.
    pub(crate) fn make(&self, place: Place) -> Result<Arc<Upstream>, TlsError> {
        let proto = match place.protocol {
            Protocol::Udp | Protocol::Tcp => "tcp",
            Protocol::Tls { .. } => "tcp-tls",
        };
        let metrics = self.metrics.upstream(&place.to_string(), proto);
        let transport = self.dial.transport(&place, &metrics)?;
        Ok(Arc::new(Upstream {
            place,
            metrics,
            transport,
            health: self.health.clone(),
            standing: AtomicU8::new(Standing::Well as u8),
            probed: AtomicBool::new(false),
            takes_edns: AtomicBool::new(true),
            leads_back: AtomicBool::new(false),
        }))
    }
}

impl Upstream {
    /// Asks once, and once more without OPT if the upstream is too old for that. Waits for ever.
    ///
    /// # Errors
    /// The upstream or the way to it refused.
    pub(crate) async fn ask(&self, key: &Key) -> io::Result<Vec<u8>> {
        let edns = self.takes_edns.load(Ordering::Relaxed);
        let mut outgoing = Outgoing { key: key.clone(), spelling: Spelling::Small, edns };
        let mut reply = self.transport.ask(&outgoing).await?;
        if edns && is_confused(&reply) {
            outgoing.edns = false;
            reply = self.transport.ask(&outgoing).await?;
            if !is_confused(&reply) {
                self.takes_edns.store(false, Ordering::Relaxed);
            }
        }
        if reply.judgement == Judgement::BareError {
            return Err(io::Error::other("the upstream could not read the query"));
        }
        Ok(reply.message)
    }

    /// Asks once with just this query. Waits for ever.
    ///
    /// # Errors
    /// The upstream or the way to it refused.
    pub(crate) async fn ask_as_is(&self, outgoing: &Outgoing) -> io::Result<Reply> {
        self.transport.ask(outgoing).await
    }

    /// Whether what it is asked comes back here.
    pub(crate) fn leads_back(&self) -> bool {
        self.leads_back.load(Ordering::Relaxed)
    }

    /// Notes whether what it was asked came back here, and says it again.
    pub(crate) fn led_back(&self, now: bool) -> bool {
        let before = self.leads_back.swap(now, Ordering::Relaxed);
        match (before, now) {
            (false, true) => {
                self.metrics.led_back();
                tracing::warn!(upstream = %self.place,
                    "what this upstream is asked comes back here; it is not asked until it does not");
            }
            (true, false) => tracing::info!(upstream = %self.place, "upstream is asked again"),
            (false, false) | (true, true) => {}
        }
        now
    }

    /// How it is.
    pub(crate) fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Well,
            1 => Standing::Suspect,
            _ => Standing::Down,
        }
    }

    /// Notes a reply.
    pub(crate) fn replied(&self) {
        self.stand(Standing::Well);
    }

    /// Notes a failure, and has the upstream probed until it replies.
    pub(crate) fn failed(self: &Arc<Self>) {
        if self.health.max_fails == 0 {
            return;
        }
        if self.standing() == Standing::Well {
            self.stand(Standing::Suspect);
        }
        if !self.probed.swap(true, Ordering::Relaxed) {
            tokio::spawn(probe(Arc::downgrade(self)));
        }
    }

    fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }

    /// Asks for the name servers of the domain that probes are about.
    async fn probe_once(&self) -> bool {
        let HealthCheck { recursion_desired, domain, timeout: patience, .. } = &self.health;
        let flags = KeyFlags { recursion_desired: *recursion_desired, ..KeyFlags::default() };
        let key = Key::new(domain.iter(), NS, CLASS_IN, flags);
        let outgoing = Outgoing { key, spelling: Spelling::Small, edns: false };
        let Ok(Ok(reply)) = timeout(*patience, self.transport.ask(&outgoing)).await else {
            return false;
        };
        let policy = CachePolicy::default();
        reply.judgement != Judgement::BareError
            && Response::read(&reply.message, &outgoing.key, &policy).is_ok()
    }
}

/// Whether a reply says that the upstream does not understand OPT (RFC 6891 §7).
fn is_confused(reply: &Reply) -> bool {
    let [_, low] = u16_at(&reply.message, 2).unwrap_or(0).to_be_bytes();
    let rcode = ResponseCode::from_low(low & 0xF);
    matches!(rcode, ResponseCode::FormErr | ResponseCode::NotImp)
}

/// Probes an upstream until it replies, to this or to a query, or is not used any more.
async fn probe(upstream: Weak<Upstream>) {
    let mut failures = 0;
    loop {
        let Some(upstream) = upstream.upgrade() else { return };
        if upstream.standing() == Standing::Well || upstream.probe_once().await {
            upstream.probed.store(false, Ordering::Relaxed);
            upstream.replied();
            return;
        }
        failures += 1;
        upstream.metrics.probe_failed();
        if failures > upstream.health.max_fails && upstream.standing() == Standing::Suspect {
            tracing::info!(upstream = %upstream.place, failures, "upstream is down");
            upstream.stand(Standing::Down);
        }
        let interval = upstream.health.interval;
        drop(upstream);
        sleep(interval).await;
    }
}
