//! Carries a message from its arrival to its reply, whatever it came by.
//!
//! What is known here is replied at once; the rest becomes a [`Later`], which the transport runs
//! beside its other work. Nothing that a client sends ends the server: a panic is a SERVFAIL.

mod later;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hickory_proto::op::{Message, ResponseCode};

pub(crate) use self::later::Later;
use self::later::{Pending, Staged};
use crate::chain::{Context, Delivery};
use crate::clients::{Admission, Clients};
use crate::forward::Begun;
use crate::metrics::{Entrance, Exchange, LabelText, Metrics, ZoneLabel, server_label};
use crate::observe::Seen;
use crate::query::{Parsed, Query, parse};
use crate::reply::{Body, Policy};
use crate::respond::{
    Ask, Decision, Errand, Replied, Source, Transport, decide, envelope, refusal, refuse_malformed,
};
use crate::site::{Block, Served, Site, Way};

/// Answers for all transports of one address.
#[derive(Debug)]
pub(crate) struct Handler {
    site: ArcSwap<Site>,
    /// The address that is answered at.
    server: SocketAddr,
    /// It as metrics call it.
    label: LabelText,
    clients: Arc<Clients>,
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
    /// The reply stands in the buffer; the transport records it for this zone.
    Reply(Replied, ZoneLabel),
    /// The reply needs others.
    Later(Box<Later>),
    /// There is no reply.
    Silence,
}

/// What a server says of itself where no block is asked.
const NOBODY: Policy = Policy { udp_payload_octets: 1232, recursion: false };

impl Handler {
    /// Answers at `server`, by TLS or not, for `site`.
    pub(crate) fn new(
        site: Arc<Site>,
        (server, by_tls): (SocketAddr, bool),
        clients: Arc<Clients>,
        metrics: Metrics,
    ) -> Self {
        let label = LabelText::from(&*server_label(server, by_tls));
        Self { site: ArcSwap::new(site), server, label, clients, metrics }
    }

    /// The address that is answered at.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// Where the metrics are.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is answered now, for one or several messages.
    pub(crate) fn site(&self) -> Guard<Arc<Site>> {
        self.site.load()
    }

    /// Answers for another site from now on.
    pub(crate) fn replace(&self, site: Arc<Site>) {
        self.site.store(site);
    }

    /// Deals with a message; a reply, if there is one now, is written into `out`.
    pub(crate) fn handle(
        &self,
        site: &Arc<Site>,
        arrival: Arrival<'_>,
        out: &mut Vec<u8>,
    ) -> Handled {
        let Arrival { message, client, transport, received } = arrival;
        if !self.serves(client.ip(), received) || !self.admits(client.ip(), received) {
            return Handled::Silence;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.answer(site, arrival, out)));
        outcome.unwrap_or_else(|_payload| {
            self.metrics.panicked();
            tracing::error!(%client, "answering a query panicked");
            let Parsed::Query(query) = parse(message) else { return Handled::Silence };
            let mut body = Body::empty(ResponseCode::ServFail, false);
            envelope(&query, transport, NOBODY).encode(&mut body, out);
            Handled::Reply(replied(&query, body.rcode, Source::Zone), ZoneLabel::DROPPED)
        })
    }

    /// Answers now, or begins to ask those who know.
    fn answer(&self, site: &Arc<Site>, arrival: Arrival<'_>, out: &mut Vec<u8>) -> Handled {
        let Arrival { message, transport, .. } = arrival;
        if let Some((served, replied)) = site.reply_directly(message, transport, out) {
            self.see(&served.block, &arrival, replied.source, out);
            return Handled::Reply(replied, served.label);
        }
        let query = match parse(message) {
            Parsed::Silence => return Handled::Silence,
            Parsed::Malformed(malformed) => {
                return Handled::Reply(refuse_malformed(malformed, out), ZoneLabel::DROPPED);
            }
            Parsed::Query(query) => query,
        };
        let nobody = |query: &Query, rcode, out: &mut Vec<u8>| {
            envelope(query, transport, NOBODY).encode(&mut Body::empty(rcode, false), out);
            Handled::Reply(replied(query, rcode, Source::Protocol), ZoneLabel::DROPPED)
        };
        if site.came_back(&query.question) {
            return nobody(&query, ResponseCode::ServFail, out);
        }
        let Some(served) = site.served(&query.question) else {
            return nobody(&query, refusal(&query).unwrap_or(ResponseCode::Refused), out);
        };
        let block = &served.block;
        let handled = match (&block.way, refusal(&query)) {
            (_, Some(rcode)) => {
                let mut body = Body::empty(rcode, false);
                envelope(&query, transport, block.policy).encode(&mut body, out);
                Handled::Reply(replied(&query, rcode, Source::Protocol), served.label)
            }
            (Way::Plain(zone), None) => {
                let index = zone.as_ref().map(|zone| zone.load());
                let decision = decide(index.as_deref().map(AsRef::as_ref), &query);
                self.decided(site, served, (query, decision), arrival, out)
            }
            (Way::Staged, None) => self.staged(site, served, query, arrival, out),
        };
        if let Handled::Reply(replied, _) = &handled {
            self.see(block, &arrival, replied.source, out);
        }
        handled
    }

    /// Answers as the index decided, or begins to ask upstreams.
    fn decided(
        &self,
        site: &Arc<Site>,
        served: &Served,
        (query, decision): (Query, Decision),
        arrival: Arrival<'_>,
        out: &mut Vec<u8>,
    ) -> Handled {
        let (block, transport) = (&served.block, arrival.transport);
        let errand = match decision {
            Decision::Reply(mut body, source) => {
                envelope(&query, transport, block.policy).encode(&mut body, out);
                return Handled::Reply(replied(&query, body.rcode, source), served.label);
            }
            // Another block may know where the alias leads.
            Decision::Ask(Errand::Follow(_)) if !site.has_one_block() => {
                return self.staged(site, served, query, arrival, out);
            }
            Decision::Ask(errand) => errand,
        };
        let ask = Ask { query, errand };
        match block.fleet.forwarders().begin(&ask.asked()) {
            Begun::Reply(given) => {
                Handled::Reply(ask.pass_on(&given, block.policy, transport, out), served.label)
            }
            Begun::Wait(waiting) => {
                let pending = Pending::Upstream { ask, waiting: *waiting };
                Handled::Later(Box::new(Later::new(served, arrival, pending)))
            }
        }
    }

    /// Answers by the stages: at once, unless one of them has to wait.
    fn staged(
        &self,
        site: &Arc<Site>,
        served: &Served,
        query: Query,
        arrival: Arrival<'_>,
        out: &mut Vec<u8>,
    ) -> Handled {
        let Arrival { client, transport, .. } = arrival;
        let edns = query.opt.and_then(|_| Message::from_vec(arrival.message).ok()?.edns);
        let (site, local, server) = (Arc::clone(site), self.server, self.label.clone());
        let context = Context { site, local, server, client, transport, edns, depth: 0 };
        let block = &served.block;
        let mut staged = Staged::begin(Arc::clone(block), query, context);
        match staged.try_now() {
            Some(said) if said.delivery == Delivery::Never => Handled::Silence,
            Some(said) => {
                let replied = said.write(staged.query(), block.policy, transport, out);
                Handled::Reply(replied, served.label)
            }
            None => {
                let pending = Pending::Staged(staged);
                Handled::Later(Box::new(Later::new(served, arrival, pending)))
            }
        }
    }

    /// Has those who watch a block see a reply.
    fn see(&self, block: &Block, arrival: &Arrival<'_>, source: Source, reply: &[u8]) {
        if block.observers.is_nobody() {
            return;
        }
        let Arrival { message: query, client, transport, received } = *arrival;
        let (server, duration) = (self.server, received.elapsed());
        block.observers.see(&Seen { query, reply, client, server, transport, duration, source });
    }

    /// Whether `client` is in a network that is served; that it is not is counted and, now and then,
    /// logged.
    pub(crate) fn serves(&self, client: IpAddr, now: Instant) -> bool {
        let is_served = self.clients.serves(client);
        if !is_served {
            self.metrics.stranger_dropped();
            if self.clients.may_log_at(now) {
                tracing::warn!(%client, "a client in no network that is served asks; it is dropped");
            }
        }
        is_served
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

    /// Waits for the others, writes the reply into `out` and records it; `out` stays empty where the
    /// client gets none.
    pub(crate) async fn finish(&self, later: Later, entrance: &Entrance, out: &mut Vec<u8>) {
        let Later { block, zone, pending, client, request_octets, received, message } = later;
        let transport = entrance.transport;
        let replied = match pending {
            Pending::Upstream { ask, waiting } => {
                let given = waiting.finish().await;
                ask.pass_on(&given, block.policy, transport, out)
            }
            Pending::Staged(mut staged) => {
                let said = staged.wait().await;
                if said.delivery == Delivery::Never {
                    return out.clear();
                }
                said.write(staged.query(), block.policy, transport, out)
            }
        };
        let (response_octets, duration) = (out.len(), received.elapsed());
        let arrival = Arrival { message: &message, client, transport, received };
        self.see(&block, &arrival, replied.source, out);
        let client = client.ip();
        entrance.record(&Exchange {
            replied,
            zone,
            client,
            request_octets,
            response_octets,
            duration,
        });
    }
}

/// What a reply to `query` was.
pub(crate) fn replied(query: &Query, rcode: ResponseCode, source: Source) -> Replied {
    let dnssec_ok = query.opt.is_some_and(|opt| opt.dnssec_ok);
    Replied { rcode, qtype: Some(query.question.qtype), source, dnssec_ok }
}
