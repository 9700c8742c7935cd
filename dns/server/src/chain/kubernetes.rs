//! Names of the cluster as a stage.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record};
use podway_dns_zone::{Answer, ZoneIndex, answer};

use super::{Next, Said, Saying, Stage};
use crate::query::{CD, CLASS_IN, Query, Question, RD};
use crate::respond::Source;

/// `kubernetes`: answers from the live index; nothing of it is kept anywhere.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    zone: Arc<ArcSwap<ZoneIndex>>,
}

impl Kubernetes {
    /// Answers from `zone`.
    pub(crate) fn new(zone: Arc<ArcSwap<ZoneIndex>>) -> Self {
        Self { zone }
    }
}

impl Stage for Kubernetes {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let found = answer(&self.zone.load(), &asked.question.name, asked.question.qtype);
        if matches!(found, Answer::NotOurs) {
            return next.serve(asked);
        }
        if asked.question.class != CLASS_IN {
            let said = Said::empty(&asked, ResponseCode::Refused, Source::Protocol);
            return Box::pin(std::future::ready(said));
        }
        if let Answer::Alias { cname, target } = found {
            return Box::pin(follow(asked, cname, target, next));
        }
        Box::pin(std::future::ready(said(&asked, found)))
    }
}

/// The reply with what the index has.
fn said(asked: &Query, found: Answer) -> Said {
    let mut said = Said::empty(asked, ResponseCode::NoError, Source::Zone);
    let message = &mut said.message;
    message.metadata.authoritative = true;
    let (rcode, soa) = match found {
        Answer::NotOurs | Answer::Refused | Answer::Alias { .. } => {
            return Said::empty(asked, ResponseCode::Refused, Source::Protocol);
        }
        Answer::Records { answers, additionals } => {
            message.answers = answers;
            message.additionals = additionals;
            return said;
        }
        Answer::NotSynced { soa } => (ResponseCode::ServFail, soa),
        Answer::NoData { soa } => (ResponseCode::NoError, soa),
        Answer::NxDomain { soa } => (ResponseCode::NXDomain, soa),
    };
    message.metadata.response_code = rcode;
    message.authorities.push(soa);
    said
}

/// Puts what the whole server has for `target` behind the alias.
///
/// The response code is that of the last name (RFC 6604 §2). Of what others said only the answer is
/// taken: the rest is about their own zones.
async fn follow(asked: Query, cname: Record, target: Name, next: Next<'_>) -> Said {
    let question = Question { name: target.clone(), qtype: asked.question.qtype, class: CLASS_IN };
    let onward = Query { question, flags: RD | (asked.flags & CD), ..asked.clone() };
    let mut said = Said::empty(&asked, ResponseCode::ServFail, Source::Zone);
    said.message.metadata.authoritative = true;
    let owner = cname.name.clone();
    said.message.answers.push(cname);
    if target == owner {
        return said;
    }
    let end = next.context.resolve(onward).await.message;
    let circular = end
        .answers
        .iter()
        .any(|record| matches!(record.data, RData::CNAME(_)) && record.name == owner);
    if circular {
        return said;
    }
    said.message.metadata.response_code = end.metadata.response_code;
    said.message.metadata.truncation = end.metadata.truncation;
    said.message.answers.extend(end.answers);
    if end.metadata.authoritative {
        said.message.authorities = end.authorities;
        said.message.additionals = end.additionals;
    }
    said
}
