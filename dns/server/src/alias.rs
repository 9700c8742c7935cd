//! Follows aliases (ExternalName Services) to what stands behind them.
//!
//! Names of our zones are followed here; the first that is not is handed back as a [`Chase`], to be
//! finished with what an upstream says. The response code is that of the last name (RFC 6604 §2).

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record};
use podway_dns_zone::{Answer, ZoneIndex, answer};

use crate::query::{CD, CLASS_IN, Query, Question, RD};
use crate::reply::Body;

/// Longest chain of aliases that is followed, as in CoreDNS.
const MAX_ALIASES: usize = 10;

/// Where a chain of aliases ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Followed {
    /// In our zones: the reply is known.
    Known(Body),
    /// Outside.
    Outside(Chase),
}

/// A chain of aliases that leads out of our zones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chase {
    /// The aliases so far.
    aliases: Vec<Record>,
    /// The name outside.
    target: Name,
}

/// Follows the alias `cname` of the name asked.
pub(crate) fn follow(
    zone: &ZoneIndex,
    question: &Question,
    cname: Record,
    target: Name,
) -> Followed {
    let mut body = Body::empty(ResponseCode::NoError, true);
    body.aliases.push(cname);
    let mut target = target;
    loop {
        let circular = body.aliases.iter().any(|alias| alias.name == target);
        if circular || body.aliases.len() > MAX_ALIASES {
            body.rcode = ResponseCode::ServFail;
            return Followed::Known(body);
        }
        match answer(zone, &target, question.qtype) {
            Answer::NotOurs => {
                return Followed::Outside(Chase { aliases: body.aliases, target });
            }
            Answer::Alias { cname, target: next } => {
                body.aliases.push(cname);
                target = next;
                continue;
            }
            Answer::Records { answers, additionals } => {
                body.answers = answers;
                body.additionals = additionals;
            }
            Answer::NoData { soa } => body.authorities.push(soa),
            Answer::NxDomain { soa } => {
                body.rcode = ResponseCode::NXDomain;
                body.authorities.push(soa);
            }
            Answer::NotSynced { soa } => {
                body.rcode = ResponseCode::ServFail;
                body.authorities.push(soa);
            }
            Answer::Refused => body.rcode = ResponseCode::Refused,
        }
        return Followed::Known(body);
    }
}

impl Chase {
    /// The query for the name outside, on behalf of the client's.
    pub(crate) fn query(&self, asked: &Query) -> Query {
        let question =
            Question { name: self.target.clone(), qtype: asked.question.qtype, class: CLASS_IN };
        Query { question, flags: RD | (asked.flags & CD), ..asked.clone() }
    }

    /// The reply, given what an upstream said; `None` if none said anything.
    ///
    /// Only the upstream's answer section is taken: what else it sent is about its own zones.
    pub(crate) fn finish(self, reply: Option<&[u8]>) -> Body {
        let mut body = Body::empty(ResponseCode::ServFail, true);
        body.aliases = self.aliases;
        let Some(Ok(reply)) = reply.map(Message::from_vec) else { return body };
        if !matches!(reply.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return body;
        }
        body.rcode = reply.metadata.response_code;
        body.truncated = reply.metadata.truncation;
        for record in reply.answers {
            if matches!(record.data, RData::CNAME(_)) {
                body.aliases.push(record);
            } else {
                body.answers.push(record);
            }
        }
        body
    }
}
