//! Asks upstreams for names that are not ours, and keeps what they say.
//!
//! Every question takes the same way: the zone with the longest name decides whom to ask; the cache
//! may have the answer; else one query goes out for all who ask the same. Only these answers are
//! ever kept: names of the cluster are answered from the live index and never come here.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | what forwarding is told |
//! | `zone` | one zone: from the question to what the client is given |
//! | `kept`, `flights` | the cache in use, and who asks for all |
//! | `resolver`, `race` | the order of tries: selection, fail-over, which replies count |
//! | `upstream` | one upstream: health, what it understands |
//! | `outgoing` | pure: the query as it goes out, and which replies belong to it |
//! | `transport` | UDP, TCP and TLS |
//! | `follow` | upstreams from files that change |
//! | `loops` | upstreams that lead back here |
//! | `metrics` | counters |

pub(crate) mod config;
mod flights;
mod follow;
mod kept;
mod loops;
pub(crate) mod metrics;
mod outgoing;
mod race;
mod resolver;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
mod upstream;
mod zone;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::Message;
use podway_dns_cache::{Key, KeyFlags, OptOut, Request, Response, Ttls};
use tokio::sync::{mpsc, watch};

use self::config::{ForwardConfig, LoopDetection};
pub use self::follow::Follow;
pub(crate) use self::loops::LOOP_TYPE;
use self::loops::Loops;
use self::metrics::ForwardMetrics;
use self::transport::Network;
pub use self::transport::TlsError;
use self::zone::Forwarder;
pub(crate) use self::zone::Waiting;
use crate::query::{CD, Query, Question, RD};
use crate::reply::Policy;
use crate::server::Stop;

/// Renewals that may wait for their turn; further ones are left to the next client.
const RENEWALS: usize = 256;

/// A reply, ready to be written for a client.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) response: Arc<Response>,
    pub(crate) ttls: Ttls,
}

/// What becomes of a question.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It is answered.
    Reply(Given),
    /// Upstreams have to be asked first.
    Wait(Box<Waiting>),
}

/// Where a forwarder asks for renewals of what it keeps.
#[derive(Debug, Clone)]
struct Renewals {
    /// Its place among the routes.
    place: usize,
    queue: mpsc::Sender<(usize, Key)>,
}

impl Renewals {
    /// Has `key` asked beside everything else. If there is no room it is left to the next client.
    fn ask(&self, key: Key) {
        if self.queue.try_send((self.place, key)).is_err() {
            tracing::debug!("too many answers are being renewed");
        }
    }
}

/// Whether the next forwarder is asked too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The reply holds.
    Stay,
    /// The reply holds if no other forwarder has one.
    Ask,
}

/// Forwards names of all zones.
#[derive(Debug)]
pub(crate) struct Forwarders {
    /// In the order in which they are asked.
    routes: Vec<Arc<Forwarder>>,
    renewals: Mutex<mpsc::Receiver<(usize, Key)>>,
    /// `None`: nobody wants to know.
    loops: Option<Loops>,
}

/// Forwarders with the work that goes on beside the queries.
///
/// The work ends when the last holder of this is gone.
#[derive(Debug)]
pub(crate) struct Fleet {
    forwarders: Arc<Forwarders>,
    /// What they were made of.
    configs: Vec<ForwardConfig>,
    own: Vec<SocketAddr>,
    /// The order to stop, and how tasks hear it.
    stop: watch::Sender<bool>,
    started: AtomicBool,
}

impl Fleet {
    /// Makes forwarders of `configs`, never to ask any of `own`; those among `earlier` that are just
    /// the same go on with all that they know.
    ///
    /// # Errors
    /// [`TlsError`]: an upstream is asked by TLS, and that cannot be set up.
    pub(crate) fn new(
        configs: Vec<ForwardConfig>,
        own: Vec<SocketAddr>,
        metrics: &ForwardMetrics,
        earlier: &[Arc<Self>],
    ) -> Result<Arc<Self>, TlsError> {
        let same = |fleet: &&Arc<Self>| fleet.configs == configs && fleet.own == own;
        if let Some(fleet) = earlier.iter().find(same) {
            return Ok(Arc::clone(fleet));
        }
        let forwarders = Arc::new(Forwarders::new(configs.clone(), &own, metrics)?);
        let (stop, started) = (watch::Sender::new(false), AtomicBool::new(false));
        Ok(Arc::new(Self { forwarders, configs, own, stop, started }))
    }

    /// The forwarders.
    pub(crate) fn forwarders(&self) -> &Forwarders {
        &self.forwarders
    }

    /// Begins the work beside the queries, if nobody has.
    pub(crate) fn start(&self) {
        if !self.configs.is_empty() && !self.started.swap(true, Ordering::Relaxed) {
            let stop = Stop::of(&self.stop);
            tokio::spawn(Arc::clone(&self.forwarders).serve(stop.clone()));
            tokio::spawn(Arc::clone(&self.forwarders).avoid_loops(stop));
        }
    }
}

impl Forwarders {
    /// Makes a forwarder for each of `configs`, never to ask any of `own`.
    ///
    /// The first whose zone a name is in is asked for it.
    ///
    /// # Errors
    /// [`TlsError`]: an upstream is asked by TLS, and that cannot be set up.
    pub(crate) fn new(
        configs: Vec<ForwardConfig>,
        own: &[SocketAddr],
        metrics: &ForwardMetrics,
    ) -> Result<Self, TlsError> {
        let (queue, renewals) = mpsc::channel(RENEWALS);
        let wanted = configs.iter().any(|config| config.loops == LoopDetection::On);
        let loops = wanted.then(Loops::default);
        let routes = configs.into_iter().enumerate().map(|(place, config)| {
            let dial = Arc::new(Network::new(&config)?);
            let renewals = Renewals { place, queue: queue.clone() };
            Forwarder::new(config, own, dial, renewals, metrics).map(Arc::new)
        });
        let routes = routes.collect::<Result<_, _>>()?;
        Ok(Self { routes, renewals: Mutex::new(renewals), loops })
    }

    /// Whether there is anybody to ask, now or perhaps later.
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.iter().all(|route| lock(&route.sources).is_empty())
    }

    /// Answers `query` from what is kept, or begins to ask.
    pub(crate) fn begin(&self, query: &Query) -> Begun {
        match self.begin_at(0, query) {
            Some((_, begun)) => begun,
            None => Begun::Reply(Given::failure(&key(query))),
        }
    }

    /// Begins to ask the first forwarder from place `from` on that is there for the name, and tells
    /// its place.
    pub(crate) fn begin_at(&self, from: usize, query: &Query) -> Option<(usize, Begun)> {
        let routes = self.routes.iter().enumerate().skip(from);
        let (place, route) =
            routes.into_iter().find(|(_, route)| route.serves(&query.question.name))?;
        Some((place, route.begin(key(query))))
    }

    /// Whether the forwarder behind `place` is asked too after `reply`.
    pub(crate) fn onward(&self, place: usize, reply: &Message) -> Next {
        self.routes.get(place).map_or(Next::Stay, |route| route.next.after(reply))
    }

    /// Whether some forwarder leaves replies to be bettered by others.
    pub(crate) fn any_goes_on(&self) -> bool {
        self.routes.iter().any(|route| !route.next.is_never())
    }

    /// Says that upstreams may lead elsewhere than before.
    pub(crate) fn perhaps_loops(&self) {
        if let Some(loops) = &self.loops {
            loops.perhaps_changed();
        }
    }

    /// Renews what is kept and follows the files that name upstreams, until `stop`.
    pub(crate) async fn serve(self: Arc<Self>, mut stop: Stop) {
        let (_none, nothing) = mpsc::channel(1);
        let mut renewals = std::mem::replace(&mut *lock(&self.renewals), nothing);
        let files = self.routes.iter().flat_map(|route| lock(&route.sources).files()).collect();
        let mut follow = follow::Follow::new(files);
        loop {
            tokio::select! {
                () = stop.ordered() => return,
                Some((place, key)) = renewals.recv() => self.routes[place].renew(&key),
                () = follow.perhaps_changed() => {
                    let changed = self.routes.iter().filter(|route| route.update()).count();
                    if changed > 0 {
                        self.perhaps_loops();
                    }
                }
            }
        }
    }
}

impl Given {
    /// Writes the reply to `query` in at most `limit` octets.
    pub(crate) fn write(&self, query: &Query, policy: Policy, limit: usize, out: &mut Vec<u8>) {
        let Question { name, qtype, class } = &query.question;
        let mut question = Vec::with_capacity(name.len() + 4);
        for label in name {
            // A label has at most 63 octets: `Name` cannot hold a longer one.
            question.push(u8::try_from(label.len()).unwrap_or(0));
            question.extend_from_slice(label);
        }
        question.push(0);
        question.extend_from_slice(&u16::from(*qtype).to_be_bytes());
        question.extend_from_slice(&class.to_be_bytes());
        let request = Request {
            id: query.id,
            flags: query.flags,
            recursion_available: policy.recursion,
            question: &question,
            limit,
            opt: query.opt.map(|opt| OptOut {
                payload_octets: policy.udp_payload_octets,
                dnssec_ok: opt.dnssec_ok,
            }),
        };
        self.response.write(&request, self.ttls, &mut fastrand::Rng::new(), out);
    }

    /// SERVFAIL.
    pub(crate) fn failure(key: &Key) -> Self {
        let response = Arc::new(Response::failure(key, Duration::ZERO));
        Self { response, ttls: Ttls::Aged(0) }
    }
}

/// Puts the forwarders of longer zones first, so that they are asked for what is in both.
pub(crate) fn longest_first(configs: &mut [ForwardConfig]) {
    // Stable, so that of two for one zone the first counts.
    configs.sort_by_key(|config| std::cmp::Reverse(config.from.num_labels()));
}

/// What tells `query` from others.
fn key(query: &Query) -> Key {
    let flags = KeyFlags {
        dnssec_ok: query.opt.is_some_and(|opt| opt.dnssec_ok),
        checking_disabled: query.flags & CD != 0,
        recursion_desired: query.flags & RD != 0,
    };
    let question = &query.question;
    let key = Key::new(question.name.iter(), question.qtype.into(), question.class, flags);
    match &query.onward {
        Some(options) => key.with_options(options),
        None => key,
    }
}

/// Locks; what is kept inside is whole at any time, also after a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
