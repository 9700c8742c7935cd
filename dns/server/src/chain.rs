//! The way of one query through the plugins of its server block.
//!
//! A [`Stage`] sees the question, and then answers, or passes it on, changed or not, and may change
//! the reply on its way back. Stages stand in CoreDNS's fixed order. One that needs another name
//! resolved asks the whole server again, by [`Context::resolve`].

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::opt::EdnsOption;

use crate::handler::replied;
use crate::metrics::LabelText;
use crate::query::{CD, Query, Question, RD};
use crate::reply::{Body, Policy};
use crate::respond::{Replied, Source, Transport, envelope};
use crate::site::Site;

pub(crate) mod answering;
pub(crate) mod autopath;
pub(crate) mod dnssec;
pub(crate) mod forward;
pub(crate) mod kubernetes;
pub(crate) mod message;
pub(crate) mod rewrite;
pub(crate) mod tables;

/// How often one query may ask the whole server again, one time within another.
///
/// 10, as long as a chain of aliases may be: longer than any that is meant, and a circle ends soon.
const DEEPEST: u8 = 10;

/// What a stage is on its way to say.
pub(crate) type Saying<'a> = Pin<Box<dyn Future<Output = Said> + Send + 'a>>;

/// One plugin at work.
pub(crate) trait Stage: fmt::Debug + Send + Sync {
    /// Answers `asked`, by itself or with the help of the stages behind it.
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a>;
}

/// The stages behind one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next<'a> {
    rest: &'a [Box<dyn Stage>],
    /// Where the query comes from.
    pub(crate) context: &'a Context,
}

/// Where a query comes from.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The server blocks of the address that was asked.
    pub(crate) site: Arc<Site>,
    /// That address.
    pub(crate) local: SocketAddr,
    /// It as metrics call it.
    pub(crate) server: LabelText,
    /// Who asks.
    pub(crate) client: SocketAddr,
    /// By what means.
    pub(crate) transport: Transport,
    /// OPT of the client's query.
    pub(crate) edns: Option<Edns>,
    /// How often the whole server was asked again.
    pub(crate) depth: u8,
}

/// A reply before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// The reply; its question is the one that was asked of the stage.
    pub(crate) message: Message,
    /// Who made it.
    pub(crate) source: Source,
    /// Whether the order of addresses has a meaning, and must stay.
    pub(crate) ordered: bool,
    /// The RA bit, where a plugin decides about it.
    pub(crate) recursion: Option<bool>,
    /// Whether the client gets it.
    pub(crate) delivery: Delivery,
}

/// Whether a client gets a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It does.
    Sent,
    /// It gets nothing.
    Never,
}

impl<'a> Next<'a> {
    /// Begins with the first of `stages`.
    pub(crate) fn first(stages: &'a [Box<dyn Stage>], context: &'a Context) -> Self {
        Self { rest: stages, context }
    }

    /// Has the next stage answer; behind the last one there is no answer.
    pub(crate) fn serve(self, asked: Query) -> Saying<'a> {
        match self.rest.split_first() {
            Some((stage, rest)) => stage.serve(asked, Next { rest, context: self.context }),
            None => {
                let said = Said::empty(&asked, ResponseCode::ServFail, Source::Upstream);
                Box::pin(std::future::ready(said))
            }
        }
    }
}

impl Context {
    /// Asks the whole server, as a client would.
    pub(crate) async fn resolve(&self, asked: Query) -> Said {
        let refused = |rcode| Said::empty(&asked, rcode, Source::Protocol);
        if self.depth >= DEEPEST {
            return refused(ResponseCode::ServFail);
        }
        let Some(served) = self.site.served(&asked.question) else {
            return refused(ResponseCode::Refused);
        };
        let block = Arc::clone(&served.block);
        let context = Self { depth: self.depth + 1, ..self.clone() };
        let saying: Saying<'_> = Box::pin(async move { block.say(asked, &context).await });
        saying.await
    }
}

impl Said {
    /// A reply without records.
    pub(crate) fn empty(asked: &Query, rcode: ResponseCode, source: Source) -> Self {
        let mut message = asked.message();
        message.metadata.message_type = MessageType::Response;
        message.metadata.response_code = rcode;
        message.metadata.authentic_data = false;
        let (ordered, recursion, delivery) = (false, None, Delivery::Sent);
        Self { message, source, ordered, recursion, delivery }
    }

    /// Adds why the reply is as it is (RFC 8914).
    pub(crate) fn explain(&mut self, code: u16, reason: &str) {
        let data = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        let edns = self.message.edns.get_or_insert_with(Edns::new);
        edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, data));
    }
}

/// Number of the option that explains errors (RFC 8914, section 2).
const EXTENDED_ERROR: u16 = 15;

/// The AD bit of the flags.
const AD: u16 = 0x0020;

impl Said {
    /// Writes the reply to the client's `query` into `out`.
    pub(crate) fn write(
        self,
        query: &Query,
        policy: Policy,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Replied {
        let Self { message, source, ordered, recursion, delivery: _ } = self;
        let policy = Policy { recursion: recursion.unwrap_or(policy.recursion), ..policy };
        let metadata = message.metadata;
        let mut body = Body::empty(metadata.response_code, metadata.authoritative);
        for record in message.answers {
            if matches!(record.data, RData::CNAME(_)) && body.answers.is_empty() {
                body.aliases.push(record);
            } else {
                body.answers.push(record);
            }
        }
        body.authorities = message.authorities;
        body.additionals = message.additionals;
        body.truncated = metadata.truncation;
        body.ordered = ordered;
        body.options = message.edns.map(options).unwrap_or_default();
        envelope(query, transport, policy).encode(&mut body, out);
        // A client that says neither AD nor DO may not know the bit (RFC 6840 §5.8).
        let knows = query.flags & AD != 0 || query.opt.is_some_and(|opt| opt.dnssec_ok);
        if metadata.authentic_data && knows {
            let [_, low] = AD.to_be_bytes();
            out[3] |= low;
        }
        replied(query, metadata.response_code, source)
    }
}

/// The options of OPT in wire form.
fn options(edns: Edns) -> Vec<u8> {
    let mut octets = Vec::new();
    for (code, option) in edns.options().as_ref() {
        let Ok(data) = Vec::<u8>::try_from(option) else { continue };
        let Ok(length) = u16::try_from(data.len()) else { continue };
        octets.extend_from_slice(&u16::from(*code).to_be_bytes());
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(&data);
    }
    octets
}

impl Query {
    /// The query as a message, without what the client's OPT has beyond the DO bit.
    pub(crate) fn message(&self) -> Message {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.flags & RD != 0;
        message.metadata.checking_disabled = self.flags & CD != 0;
        message.add_query(self.asked());
        message
    }

    /// The question as plugins take it.
    pub(crate) fn asked(&self) -> hickory_proto::op::Query {
        let Question { name, qtype, class } = &self.question;
        let mut question = hickory_proto::op::Query::query(name.clone(), *qtype);
        question.set_query_class((*class).into());
        question
    }

    /// The same client's query about something else.
    pub(crate) fn about(&self, question: &hickory_proto::op::Query) -> Self {
        let question = Question {
            name: question.name().clone(),
            qtype: question.query_type(),
            class: question.query_class().into(),
        };
        Self { question, ..self.clone() }
    }
}
