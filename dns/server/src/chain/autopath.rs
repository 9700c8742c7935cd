//! `autopath` as a stage: the first name of a client's search path is answered with what the rest of
//! the path finds.
//!
//! Which names those are is decided in `dns/zone`. The reply is an alias from the name asked, so that
//! a resolver takes it for what it asked for. Where nothing is found, or somebody does not say, the
//! client gets what it would have got anyhow, and goes on by itself.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use podway_dns_zone::{Step, Walk, ZoneIndex};

use super::{Next, Said, Saying, Stage};
use crate::metrics::StageMetrics;
use crate::query::{CLASS_IN, Query, Question};

/// `autopath`: walks the search paths of the pods that an index knows.
#[derive(Debug)]
pub(crate) struct Autopath {
    zone: Arc<ArcSwap<ZoneIndex>>,
    metrics: StageMetrics,
}

impl Autopath {
    /// Walks the paths of the pods that `zone` knows.
    pub(crate) fn new(zone: Arc<ArcSwap<ZoneIndex>>, metrics: StageMetrics) -> Self {
        Self { zone, metrics }
    }

    /// Asks for the name, and while it does not exist for the next of the path.
    async fn walk(&self, asked: Query, mut walk: Walk, next: Next<'_>) -> Said {
        let first = next.serve(asked.clone()).await;
        if first.message.metadata.response_code != ResponseCode::NXDomain {
            return first;
        }
        loop {
            // Not across the wait: whoever changes the zone does not wait for readers.
            let step = walk.step(&self.zone.load());
            let (alias, name) = match step {
                Step::Found { alias, name, .. } | Step::Outside { alias, name } => (alias, name),
                Step::Exhausted => return first,
            };
            let question = Question { name, ..asked.question.clone() };
            let mut said = next.serve(Query { question, ..asked.clone() }).await;
            let code = said.message.metadata.response_code;
            if code == ResponseCode::NoError {
                said.message.queries = vec![asked.asked()];
                said.message.answers.insert(0, alias);
                self.metrics.search_succeeded(&next.context.server);
                return said;
            }
            if code != ResponseCode::NXDomain {
                return first;
            }
        }
    }
}

impl Stage for Autopath {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let Question { name, qtype, class } = &asked.question;
        let client = next.context.client.ip();
        let walk = Walk::begin(&self.zone.load(), client, name, *qtype);
        match walk.filter(|_| *class == CLASS_IN) {
            Some(walk) => Box::pin(self.walk(asked, walk, next)),
            None => next.serve(asked),
        }
    }
}
