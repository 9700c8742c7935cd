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
//! | `metrics` | counters |

pub(crate) mod config;
mod flights;
mod follow;
mod kept;
pub(crate) mod metrics;
mod outgoing;
mod race;
mod resolver;
#[cfg(test)]
mod tests;
mod transport;
mod upstream;
mod zone;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use podway_dns_cache::{Key, KeyFlags, OptOut, Request, Response, Ttls};
use tokio::sync::mpsc;

use self::config::ForwardConfig;
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

/// Forwards names of all zones.
#[derive(Debug)]
pub(crate) struct Forwarders {
    /// The longest zones first.
    routes: Vec<Arc<Forwarder>>,
    renewals: Mutex<mpsc::Receiver<(usize, Key)>>,
}

impl Forwarders {
    /// Makes a forwarder for each of `configs`, never to ask any of `own`.
    ///
    /// # Errors
    /// [`TlsError`]: an upstream is asked by TLS, and that cannot be set up.
    pub(crate) fn new(
        mut configs: Vec<ForwardConfig>,
        own: &[SocketAddr],
        metrics: &ForwardMetrics,
    ) -> Result<Self, TlsError> {
        // Stable, so that of two for one zone the first counts.
        configs.sort_by_key(|config| std::cmp::Reverse(config.from.num_labels()));
        let (queue, renewals) = mpsc::channel(RENEWALS);
        let routes = configs.into_iter().enumerate().map(|(place, config)| {
            let dial = Arc::new(Network::new(&config)?);
            let renewals = Renewals { place, queue: queue.clone() };
            Forwarder::new(config, own, dial, renewals, metrics).map(Arc::new)
        });
        Ok(Self { routes: routes.collect::<Result<_, _>>()?, renewals: Mutex::new(renewals) })
    }

    /// Whether there is anybody to ask, now or perhaps later.
    pub(crate) fn is_empty(&self) -> bool {
        self.routes.iter().all(|route| lock(&route.sources).is_empty())
    }

    /// Answers `query` from what is kept, or begins to ask.
    pub(crate) fn begin(&self, query: &Query) -> Begun {
        let name = &query.question.name;
        let key = key(query);
        match self.routes.iter().find(|route| route.serves(name)) {
            Some(route) => route.begin(key),
            None => Begun::Reply(Given::failure(&key)),
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
                    for route in &self.routes {
                        route.update();
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

/// What tells `query` from others.
fn key(query: &Query) -> Key {
    let flags = KeyFlags {
        dnssec_ok: query.opt.is_some_and(|opt| opt.dnssec_ok),
        checking_disabled: query.flags & CD != 0,
        recursion_desired: query.flags & RD != 0,
    };
    let question = &query.question;
    Key::new(question.name.iter(), question.qtype.into(), question.class, flags)
}

/// Locks; what is kept inside is whole at any time, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
