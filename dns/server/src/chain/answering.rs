//! Plugins that answer some questions from themselves: `acl`, `any`, `chaos`, `local`, `dns64`,
//! `whoami`.

use podway_dns_plugin::{Reply, acl, any, chaos, dns64, local, whoami};

use super::{Delivery, Next, Said, Saying, Stage};
use crate::metrics::StageMetrics;
use crate::query::Query;
use crate::respond::{Source, Transport};

/// What a plugin says.
pub(crate) fn said(asked: &Query, reply: Reply) -> Said {
    let mut said = Said::empty(asked, reply.rcode, Source::Plugin);
    let error = reply.extended_error.clone();
    said.message = reply.into_message(&asked.message());
    if let Some(error) = error {
        said.explain(error.code, &error.reason);
    }
    said
}

/// A reply that is there.
pub(crate) fn ready<'a>(said: Said) -> Saying<'a> {
    Box::pin(std::future::ready(said))
}

/// `acl`: who may ask what.
#[derive(Debug)]
pub(crate) struct Acl(pub(crate) acl::Acl, pub(crate) StageMetrics);

impl Stage for Acl {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let ruling = self.0.decide(&asked.asked(), next.context.client.ip());
        self.1.ruled(&next.context.server, &ruling);
        match ruling.decision {
            acl::Decision::Answer => next.serve(asked),
            acl::Decision::Block(reply) | acl::Decision::Filter(reply) => {
                ready(said(&asked, reply))
            }
            acl::Decision::Drop => {
                let mut said = said(&asked, Reply::failure());
                said.delivery = Delivery::Never;
                ready(said)
            }
        }
    }
}

/// `any`: questions of type ANY.
#[derive(Debug)]
pub(crate) struct Any;

impl Stage for Any {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        match any::answer(&asked.asked()) {
            Some(reply) => ready(said(&asked, reply)),
            None => next.serve(asked),
        }
    }
}

/// `chaos`: questions of class CH about this server.
#[derive(Debug)]
pub(crate) struct Chaos(pub(crate) chaos::Chaos);

impl Stage for Chaos {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        match self.0.answer(&asked.asked()) {
            Some(reply) => ready(said(&asked, reply)),
            None => next.serve(asked),
        }
    }
}

/// `local`: names of this machine.
#[derive(Debug)]
pub(crate) struct Local(pub(crate) local::Local, pub(crate) StageMetrics);

impl Stage for Local {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        match self.0.answer(&asked.asked()) {
            Some(reply) => {
                if self.0.is_of_search_path(&asked.question.name) {
                    self.1.asked_below_localhost();
                }
                ready(said(&asked, reply))
            }
            None => next.serve(asked),
        }
    }
}

/// `dns64`: IPv6 addresses made of IPv4 addresses.
#[derive(Debug)]
pub(crate) struct Dns64(pub(crate) dns64::Dns64, pub(crate) StageMetrics);

impl Stage for Dns64 {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let mut message = asked.message();
        message.edns.clone_from(&next.context.edns);
        if !self.0.concerns(&message, next.context.client.ip()) {
            return next.serve(asked);
        }
        Box::pin(async move {
            let mut said = next.serve(asked.clone()).await;
            if self.0.lacks(&said.message) {
                let instead = asked.about(&dns64::Dns64::instead(&asked.asked()));
                let found = next.serve(instead).await;
                said.message = self.0.synthesize(said.message, found.message);
                self.1.translated(&next.context.server);
            }
            said
        })
    }
}

/// `whoami`: the client, shown to itself.
#[derive(Debug)]
pub(crate) struct Whoami;

impl Stage for Whoami {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let protocol = match next.context.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        ready(said(&asked, whoami::answer(&asked.asked(), next.context.client, protocol)))
    }
}
