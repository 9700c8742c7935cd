//! Carries a message from its arrival to its reply, whatever it came by.
//!
//! What the zone knows is replied at once; the rest becomes a [`Later`], which the transport runs
//! beside its other work. Nothing that a client sends ends the server: a panic is a SERVFAIL.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hickory_proto::op::ResponseCode;
use podway_dns_cache::Kind;
use podway_dns_zone::ZoneIndex;

use crate::clients::{Admission, Clients};
use crate::config::ClientLimits;
use crate::forward::{Begun, Forwarders, Given, Waiting};
use crate::metrics::{Entrance, Exchange, Metrics};
use crate::query::{Parsed, Query, parse};
use crate::reply::{Body, Policy};
use crate::respond::{
    Ask, Errand, Outcome, Replied, STREAM_OCTETS, Source, Transport, envelope, respond,
};

/// Answers for all transports.
#[derive(Debug)]
pub(crate) struct Handler {
    zone: Arc<ArcSwap<ZoneIndex>>,
    policy: Policy,
    forwarders: Arc<Forwarders>,
    clients: Clients,
    metrics: Metrics,
}

/// A message and whence it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'m> {
    /// The message.
    pub(crate) message: &'m [u8],
    /// Who sent it.
    pub(crate) client: SocketAddr,
    /// By what means it came.
    pub(crate) transport: Transport,
    /// When it was received.
    pub(crate) received: Instant,
}

/// What became of a message so far.
#[derive(Debug)]
pub(crate) enum Handled {
    /// The reply stands in the buffer; the transport records it.
    Reply(Replied),
    /// The reply needs an upstream.
    Later(Box<Later>),
    /// There is no reply.
    Silence,
}

/// A query whose reply needs an upstream.
#[derive(Debug)]
pub(crate) struct Later {
    ask: Ask,
    waiting: Waiting,
    client: IpAddr,
    request_octets: usize,
    received: Instant,
}

impl Handler {
    /// Puts a handler together.
    pub(crate) fn new(
        zone: Arc<ArcSwap<ZoneIndex>>,
        policy: Policy,
        forwarders: Arc<Forwarders>,
        clients: ClientLimits,
        metrics: Metrics,
    ) -> Self {
        Self { zone, policy, forwarders, clients: Clients::new(clients, Instant::now()), metrics }
    }

    /// Where the metrics are.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Who is asked for names outside the zones.
    pub(crate) fn forwarders(&self) -> Arc<Forwarders> {
        Arc::clone(&self.forwarders)
    }

    /// The zone as it is now, to answer one or several messages from.
    pub(crate) fn zone(&self) -> Guard<Arc<ZoneIndex>> {
        self.zone.load()
    }

    /// Deals with a message; a reply, if there is one now, is written into `out`.
    pub(crate) fn handle(
        &self,
        zone: &ZoneIndex,
        arrival: Arrival<'_>,
        out: &mut Vec<u8>,
    ) -> Handled {
        let Arrival { message, client, transport, received } = arrival;
        if !self.admits(client.ip(), received) {
            return Handled::Silence;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.answer(zone, arrival, out)));
        outcome.unwrap_or_else(|_payload| {
            self.metrics.panicked();
            tracing::error!(%client, "answering a query panicked");
            let Parsed::Query(query) = parse(message) else { return Handled::Silence };
            let mut body = Body::empty(ResponseCode::ServFail, false);
            envelope(&query, transport, self.policy).encode(&mut body, out);
            Handled::Reply(replied(&query, body.rcode, Source::Zone))
        })
    }

    /// Answers from the zone or from what is kept of upstreams, or begins to ask them.
    fn answer(&self, zone: &ZoneIndex, arrival: Arrival<'_>, out: &mut Vec<u8>) -> Handled {
        let Arrival { message, client, transport, received } = arrival;
        let ask = match respond(zone, message, transport, self.policy, out) {
            Outcome::Drop => return Handled::Silence,
            Outcome::Reply(replied) => return Handled::Reply(replied),
            Outcome::Ask(ask) => *ask,
        };
        match self.forwarders.begin(&asked(&ask)) {
            Begun::Reply(given) => Handled::Reply(self.pass_on(ask, &given, transport, out)),
            Begun::Wait(waiting) => {
                let (waiting, client, request_octets) = (*waiting, client.ip(), message.len());
                Handled::Later(Box::new(Later { ask, waiting, client, request_octets, received }))
            }
        }
    }

    /// Whether a message of `client` is looked at.
    fn admits(&self, client: IpAddr, now: Instant) -> bool {
        match self.clients.admit(client, now) {
            Admission::Granted => return true,
            Admission::Denied => {}
            Admission::DeniedAloud => {
                tracing::warn!(%client, "a client asks more than its share; queries are dropped");
            }
        }
        self.metrics.client_limited();
        false
    }

    /// Waits for upstreams, writes the reply into `out` and records it.
    pub(crate) async fn finish(&self, later: Later, entrance: &Entrance, out: &mut Vec<u8>) {
        let Later { ask, waiting, client, request_octets, received } = later;
        let given = waiting.finish().await;
        let replied = self.pass_on(ask, &given, entrance.transport, out);
        let (response_octets, duration) = (out.len(), received.elapsed());
        entrance.record(&Exchange { replied, client, request_octets, response_octets, duration });
    }

    /// Writes what upstreams said, as the answer or as the end of a chain of aliases.
    fn pass_on(&self, ask: Ask, given: &Given, transport: Transport, out: &mut Vec<u8>) -> Replied {
        let limit = match ask.errand {
            Errand::Forward => envelope(&ask.query, transport, self.policy).limit,
            Errand::Follow(_) => STREAM_OCTETS,
        };
        given.write(&asked(&ask), self.policy, limit, out);
        let Ask { query, errand } = ask;
        match errand {
            Errand::Forward => replied(&query, given.response.rcode().into(), Source::Upstream),
            Errand::Follow(alias) => {
                let said = given.response.kind() != Kind::Failure;
                let mut body = alias.0.finish(said.then_some(&out[..]));
                envelope(&query, transport, self.policy).encode(&mut body, out);
                replied(&query, body.rcode, Source::Zone)
            }
        }
    }
}

/// The query that upstreams are asked on behalf of the client.
fn asked(ask: &Ask) -> Cow<'_, Query> {
    match &ask.errand {
        Errand::Forward => Cow::Borrowed(&ask.query),
        Errand::Follow(alias) => Cow::Owned(alias.0.query(&ask.query)),
    }
}

/// What a reply to `query` was.
fn replied(query: &Query, rcode: ResponseCode, source: Source) -> Replied {
    let dnssec_ok = query.opt.is_some_and(|opt| opt.dnssec_ok);
    Replied { rcode, qtype: Some(query.question.qtype), source, dnssec_ok }
}
