//! Names that others know, as a stage.

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};

use super::{Next, Said, Saying, Stage};
use crate::forward::{Begun, Fleet, Next as Onward};
use crate::query::Query;
use crate::reply::Policy;
use crate::respond::{STREAM_OCTETS, Source};

/// All `forward`s of a block, in the order of the file.
#[derive(Debug)]
pub(crate) struct Forward {
    fleet: Arc<Fleet>,
    policy: Policy,
}

impl Forward {
    /// Asks by way of `fleet`.
    pub(crate) fn new(fleet: Arc<Fleet>, policy: Policy) -> Self {
        Self { fleet, policy }
    }

    /// Asks one `forward` after the other until one's reply is not to be bettered.
    async fn ask(&self, asked: Query, next: Next<'_>) -> Said {
        let mut from = 0;
        let mut kept = None;
        while let Some((place, begun)) = self.fleet.forwarders().begin_at(from, &asked) {
            let given = match begun {
                Begun::Reply(given) => given,
                Begun::Wait(waiting) => waiting.finish().await,
            };
            let mut octets = Vec::new();
            given.write(&asked, self.policy, STREAM_OCTETS, &mut octets);
            let mut said = Said::empty(&asked, ResponseCode::ServFail, Source::Upstream);
            if let Ok(message) = Message::from_vec(&octets) {
                said.message = message;
                said.message.edns = None;
            }
            if self.fleet.forwarders().onward(place, &said.message) == Onward::Stay {
                return said;
            }
            kept = Some(said);
            from = place + 1;
        }
        match kept {
            Some(said) => said,
            None => next.serve(asked).await,
        }
    }
}

impl Stage for Forward {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        Box::pin(self.ask(asked, next))
    }
}
