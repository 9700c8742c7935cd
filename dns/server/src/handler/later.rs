//! Replies that are not there at once: what is waited for, and what is made of it.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use podway_dns_cache::Kind;

use super::{Arrival, replied};
use crate::chain::{Context, Said};
use crate::forward::{Given, Waiting};
use crate::metrics::ZoneLabel;
use crate::query::Query;
use crate::reply::Policy;
use crate::respond::{Ask, Errand, Replied, STREAM_OCTETS, Source, Transport, envelope};
use crate::site::{Block, Served};

/// A query whose reply needs others.
#[derive(Debug)]
pub(crate) struct Later {
    pub(super) block: Arc<Block>,
    /// The zone that it is counted for.
    pub(super) zone: ZoneLabel,
    pub(super) pending: Pending,
    pub(super) client: SocketAddr,
    pub(super) request_octets: usize,
    pub(super) received: Instant,
    /// The query, where somebody wants to see it.
    pub(super) message: Box<[u8]>,
}

/// What is waited for.
#[derive(Debug)]
pub(super) enum Pending {
    /// Upstreams.
    Upstream {
        /// What for.
        ask: Ask,
        /// Them.
        waiting: Waiting,
    },
    /// Some stage.
    Staged(Staged),
}

/// A query on its way through the stages.
pub(super) struct Staged {
    query: Query,
    saying: Pin<Box<dyn Future<Output = Said> + Send>>,
}

impl fmt::Debug for Staged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Staged").field("query", &self.query).finish_non_exhaustive()
    }
}

impl Later {
    /// What waits for `pending` on behalf of `arrival`.
    pub(super) fn new(served: &Served, arrival: Arrival<'_>, pending: Pending) -> Self {
        let Arrival { message, client, received, .. } = arrival;
        let Served { block, label, .. } = served;
        let seen = !block.observers.is_nobody();
        Self {
            block: Arc::clone(block),
            zone: *label,
            pending,
            client,
            request_octets: message.len(),
            received,
            message: if seen { message.into() } else { Box::default() },
        }
    }
}

impl Staged {
    /// Sets out with `query`.
    pub(super) fn begin(block: Arc<Block>, query: Query, context: Context) -> Self {
        let asked = query.clone();
        let saying = Box::pin(async move { block.say(asked, &context).await });
        Self { query, saying }
    }

    /// The query.
    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// The reply, if nothing has to be waited for.
    pub(super) fn try_now(&mut self) -> Option<Said> {
        // Whoever waits polls again, and is woken then.
        let mut context = std::task::Context::from_waker(Waker::noop());
        match self.saying.as_mut().poll(&mut context) {
            Poll::Ready(said) => Some(said),
            Poll::Pending => None,
        }
    }

    /// Waits for the reply.
    pub(super) async fn wait(&mut self) -> Said {
        self.saying.as_mut().await
    }
}

impl Ask {
    /// The query that upstreams are asked on behalf of the client.
    pub(super) fn asked(&self) -> Cow<'_, Query> {
        match &self.errand {
            Errand::Forward => Cow::Borrowed(&self.query),
            Errand::Follow(alias) => Cow::Owned(alias.0.query(&self.query)),
        }
    }

    /// Writes what upstreams said, as the answer or as the end of a chain of aliases.
    pub(super) fn pass_on(
        self,
        given: &Given,
        policy: Policy,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Replied {
        let limit = match self.errand {
            Errand::Forward => envelope(&self.query, transport, policy).limit,
            Errand::Follow(_) => STREAM_OCTETS,
        };
        given.write(&self.asked(), policy, limit, out);
        let Self { query, errand } = self;
        match errand {
            Errand::Forward => replied(&query, given.response.rcode().into(), Source::Upstream),
            Errand::Follow(alias) => {
                let said = given.response.kind() != Kind::Failure;
                let mut body = alias.0.finish(said.then_some(&out[..]));
                envelope(&query, transport, policy).encode(&mut body, out);
                replied(&query, body.rcode, Source::Zone)
            }
        }
    }
}
