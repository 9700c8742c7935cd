//! `rewrite` as a stage: another question is asked, and the answer made one to the client's.

use podway_dns_plugin::rewrite;

use super::{Next, Said, Saying, Stage};
use crate::query::Query;
use crate::respond::{Source, Transport};

/// The `rewrite`s of a block, in the order of the file.
#[derive(Debug)]
pub(crate) struct Rewrite(pub(crate) rewrite::Rewrite);

impl Stage for Rewrite {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let mut message = asked.message();
        message.edns.clone_from(&next.context.edns);
        let exchange = rewrite::Exchange {
            client: next.context.client,
            server: Some(next.context.local).filter(|local| !local.ip().is_unspecified()),
            protocol: match next.context.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            },
        };
        let undo = match self.0.question(&mut message, &exchange) {
            Ok(Some(undo)) => undo,
            Ok(None) => return next.serve(asked),
            Err(error) => {
                tracing::debug!(%error, "question cannot be rewritten");
                let failure =
                    Said::empty(&asked, hickory_proto::op::ResponseCode::ServFail, Source::Plugin);
                return Box::pin(std::future::ready(failure));
            }
        };
        let [question] = message.queries.as_slice() else { return next.serve(asked) };
        let mut onward = asked.about(question);
        let options = undo.options(&message);
        if !options.is_empty() {
            onward.onward = Some(options.into());
        }
        Box::pin(async move {
            let context = next.context;
            let mut said = next.serve(onward).await;
            if let Some(question) = undo.retarget(&mut said.message) {
                let found = context.resolve(asked.about(&question)).await;
                rewrite::resume(&mut said.message, Some(found.message));
            }
            undo.reply(&mut said.message);
            said
        })
    }
}
