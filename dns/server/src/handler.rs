//! Carries a message from its arrival to its reply, whatever it came by.
//!
//! What the zone knows is replied at once; the rest becomes a [`Later`], which the transport runs
//! beside its other work. Nothing that a client sends ends the server: a panic is a SERVFAIL.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hickory_proto::op::ResponseCode;
use podway_dns_zone::ZoneIndex;

use crate::clients::{Admission, Clients};
use crate::config::ClientLimits;
use crate::forward::{ForwardError, Forwarder, Outgoing, Reply, Slot};
use crate::metrics::{Entrance, Exchange, Metrics};
use crate::query::{Parsed, Query, Question, parse};
use crate::reply::{Body, Policy};
use crate::respond::{Ask, Errand, Outcome, Replied, Source, Transport, envelope, respond};

/// Answers for all transports.
#[derive(Debug)]
pub(crate) struct Handler {
    zone: Arc<ArcSwap<ZoneIndex>>,
    policy: Policy,
    forwarder: Forwarder,
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
    message: Vec<u8>,
    slot: Slot,
    client: IpAddr,
    received: Instant,
}

impl Handler {
    /// Puts a handler together.
    pub(crate) fn new(
        zone: Arc<ArcSwap<ZoneIndex>>,
        policy: Policy,
        forwarder: Forwarder,
        clients: ClientLimits,
        metrics: Metrics,
    ) -> Self {
        Self { zone, policy, forwarder, clients: Clients::new(clients, Instant::now()), metrics }
    }

    /// Where the metrics are.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
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
        let outcome =
            catch_unwind(AssertUnwindSafe(|| respond(zone, message, transport, self.policy, out)));
        let replied = match outcome {
            Ok(Outcome::Drop) => return Handled::Silence,
            Ok(Outcome::Reply(replied)) => replied,
            Ok(Outcome::Ask(ask)) => {
                if let Some(slot) = self.forwarder.slot() {
                    let (ask, message, client) = (*ask, message.to_vec(), client.ip());
                    let later = Later { ask, message, slot, client, received };
                    return Handled::Later(Box::new(later));
                }
                self.fail(&ask.query, ask.errand, transport, out)
            }
            Err(_payload) => {
                self.metrics.panicked();
                tracing::error!(%client, "answering a query panicked");
                let Parsed::Query(query) = parse(message) else { return Handled::Silence };
                self.fail(&query, Errand::Forward, transport, out)
            }
        };
        Handled::Reply(replied)
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

    /// Asks upstreams, writes the reply into `out` and records it.
    pub(crate) async fn finish(&self, later: Later, entrance: &Entrance, out: &mut Vec<u8>) {
        let Later { ask: Ask { query, errand }, message, slot, client, received } = later;
        let (transport, request_octets) = (entrance.transport, message.len());
        let replied = match errand {
            Errand::Forward => {
                let outgoing = Outgoing::new(message, &query, self.policy.udp_payload_octets);
                let reply = self.forwarder.ask(outgoing, transport, slot).await;
                match or_log(&query, reply) {
                    Some(reply) => self.pass_on(&query, reply, transport, out),
                    None => self.fail(&query, Errand::Forward, transport, out),
                }
            }
            Errand::Follow(alias) => {
                let message = alias.0.query(&query, self.policy);
                let reply = match parse(&message) {
                    Parsed::Query(asked) => {
                        let outgoing =
                            Outgoing::new(message, &asked, self.policy.udp_payload_octets);
                        self.forwarder.ask(outgoing, transport, slot).await
                    }
                    // The message was written just now; it is a query.
                    Parsed::Malformed(_) | Parsed::Silence => Err(ForwardError::AllFailed),
                };
                let reply = or_log(&query, reply);
                let mut body = alias.0.finish(reply.as_ref().map(|reply| &reply.message[..]));
                envelope(&query, transport, self.policy).encode(&mut body, out);
                replied(&query, body.rcode, Source::Zone)
            }
        };
        let (response_octets, duration) = (out.len(), received.elapsed());
        entrance.record(&Exchange { replied, client, request_octets, response_octets, duration });
    }

    /// Writes the reply of an upstream, or the question with TC if it is too large.
    fn pass_on(
        &self,
        query: &Query,
        reply: Reply,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Replied {
        let envelope = envelope(query, transport, self.policy);
        let rcode = reply.rcode();
        if reply.message.len() > envelope.limit {
            envelope.encode_oversize(reply.flags(), out);
        } else {
            *out = reply.message;
        }
        replied(query, rcode, Source::Upstream)
    }

    /// Writes SERVFAIL: never REFUSED, which some stub resolvers take for a lost packet.
    fn fail(
        &self,
        query: &Query,
        errand: Errand,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Replied {
        let (mut body, source) = match errand {
            Errand::Forward => (Body::empty(ResponseCode::ServFail, false), Source::Upstream),
            Errand::Follow(alias) => (alias.0.finish(None), Source::Zone),
        };
        envelope(query, transport, self.policy).encode(&mut body, out);
        replied(query, body.rcode, source)
    }
}

/// The reply of an upstream, if there is one.
fn or_log(query: &Query, reply: Result<Reply, ForwardError>) -> Option<Reply> {
    let Question { name, qtype, .. } = &query.question;
    reply.inspect_err(|error| tracing::debug!(%name, %qtype, %error, "not forwarded")).ok()
}

/// What a reply to `query` was.
fn replied(query: &Query, rcode: ResponseCode, source: Source) -> Replied {
    let dnssec_ok = query.opt.is_some_and(|opt| opt.dnssec_ok);
    Replied { rcode, qtype: Some(query.question.qtype), source, dnssec_ok }
}
