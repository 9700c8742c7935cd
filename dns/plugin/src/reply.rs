//! Replies of plugins, before they become messages.
//!
//! Limits of size and compression are for the writer of the message; so is OPT, where the extended
//! error goes when the query had one.

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use podway_dns_corefile::plugin::ExtendedError;

/// A reply as a plugin makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The response code.
    pub rcode: ResponseCode,
    /// Whether the plugin speaks for the name: the AA bit.
    pub authoritative: bool,
    /// Whether records are missing already: the TC bit.
    pub truncated: bool,
    /// The answer section; aliases stand first, in the order in which they are followed.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
    /// The additional section, without OPT.
    pub additionals: Vec<Record>,
    /// Why the reply is as it is, for clients that speak EDNS (RFC 8914).
    pub extended_error: Option<ExtendedError>,
}

/// What an answering plugin makes of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// This is the reply.
    Reply(Reply),
    /// The reply begins with aliases; the name they lead to has to be asked for.
    Follow(Follow),
    /// The plugin has nothing to say: the next one is asked.
    Next,
}

/// A reply whose aliases lead to a name that the plugin does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    /// The reply so far: aliases alone.
    pub reply: Reply,
    /// What is to be asked, of the whole server.
    pub question: Query,
}

impl Reply {
    /// A reply without records that speaks for the name.
    #[must_use]
    pub fn empty(rcode: ResponseCode) -> Self {
        Self {
            rcode,
            authoritative: true,
            truncated: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            extended_error: None,
        }
    }

    /// The reply of a plugin that cannot answer: SERVFAIL, in nobody's name.
    #[must_use]
    pub fn failure() -> Self {
        Self { authoritative: false, ..Self::empty(ResponseCode::ServFail) }
    }

    /// A positive reply of these records.
    #[must_use]
    pub fn of(answers: Vec<Record>) -> Self {
        Self { answers, ..Self::empty(ResponseCode::NoError) }
    }

    /// The message that replies to `query`; EDNS is left to the writer.
    #[must_use]
    pub fn into_message(self, query: &Message) -> Message {
        let mut message = Message::response(query.metadata.id, query.metadata.op_code);
        message.metadata.recursion_desired = query.metadata.recursion_desired;
        message.metadata.checking_disabled = query.metadata.checking_disabled;
        message.metadata.authoritative = self.authoritative;
        message.metadata.truncation = self.truncated;
        message.metadata.response_code = self.rcode;
        message.queries.clone_from(&query.queries);
        message.answers = self.answers;
        message.authorities = self.authorities;
        message.additionals = self.additionals;
        message
    }

    /// Spells owner names that are the name asked as it was asked.
    pub(crate) fn spell_as(&mut self, asked: &Name) {
        let sections = [&mut self.answers, &mut self.authorities, &mut self.additionals];
        for record in sections.into_iter().flatten() {
            if record.name == *asked {
                record.name.clone_from(asked);
            }
        }
    }
}

impl Follow {
    /// The whole reply, given the reply to the question; `None` when there was none.
    ///
    /// The response code is that of the last name (RFC 6604, section 2.1).
    #[must_use]
    pub fn finish(self, found: Option<Message>) -> Reply {
        let mut reply = self.reply;
        let Some(found) = found else {
            reply.rcode = ResponseCode::ServFail;
            return reply;
        };
        let code = found.metadata.response_code;
        let known = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        reply.rcode = if known { code } else { ResponseCode::ServFail };
        reply.truncated |= found.metadata.truncation;
        if known {
            reply.answers.extend(found.answers);
        }
        reply
    }
}

impl From<Option<Reply>> for Outcome {
    fn from(reply: Option<Reply>) -> Self {
        reply.map_or(Self::Next, Self::Reply)
    }
}

/// A record of class IN.
pub(crate) fn record(owner: &Name, ttl: u32, data: RData) -> Record {
    Record::from_rdata(owner.clone(), ttl, data)
}

/// Whether a question is about class IN.
pub(crate) fn of_internet(question: &Query) -> bool {
    matches!(question.query_class, DNSClass::IN | DNSClass::ANY)
}
