//! `dnssec`: signs what the stages behind it say, for clients that ask for that by the DO bit.
//!
//! How is decided in `dns/sign`; here are the time, and which types a name of the cluster has.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use podway_dns_sign::{Answer, Asked, Signer, UnixSeconds};
use podway_dns_zone::{AskedName, Found, ZoneIndex, direct};

use super::{Context, Next, Said, Saying, Stage};
use crate::query::{CLASS_IN, Query};
use crate::respond::Source;

/// The CO bit of the flags of OPT: the client knows compact denial (RFC 9824, section 5.1).
const COMPACT_OK: u16 = 0x4000;

/// Types that names of the cluster have, unless they are aliases.
const TYPES: [RecordType; 7] = [
    RecordType::A,
    RecordType::NS,
    RecordType::SOA,
    RecordType::PTR,
    RecordType::TXT,
    RecordType::AAAA,
    RecordType::SRV,
];

/// The plugin.
#[derive(Debug)]
pub(crate) struct Dnssec {
    pub(crate) signer: Arc<Signer>,
    /// The names of the cluster, where the block has them.
    pub(crate) index: Option<Arc<ArcSwap<ZoneIndex>>>,
}

impl Stage for Dnssec {
    fn serve<'a>(&'a self, asked: Query, next: Next<'a>) -> Saying<'a> {
        let question = &asked.question;
        if question.class != CLASS_IN || !self.signer.signs(&question.name) {
            return next.serve(asked);
        }
        Box::pin(async move {
            let mut said = match self.keys(&asked) {
                Some(said) => said,
                None => next.serve(asked.clone()).await,
            };
            if asked.opt.is_some_and(|opt| opt.dnssec_ok) {
                self.sign(&asked, next.context, &mut said);
            }
            said
        })
    }
}

impl Dnssec {
    /// The answer to a question for the keys of a zone, whoever asks.
    fn keys(&self, asked: &Query) -> Option<Said> {
        if asked.question.qtype != RecordType::DNSKEY {
            return None;
        }
        let keys = self.signer.dnskeys(&asked.question.name)?;
        let mut said = Said::empty(asked, ResponseCode::NoError, Source::Plugin);
        said.message.metadata.authoritative = true;
        said.message.add_answers(keys);
        Some(said)
    }

    /// Signs a reply.
    fn sign(&self, asked: &Query, context: &Context, said: &mut Said) {
        let compact_ok = context.edns.as_ref().is_some_and(|edns| edns.flags().z & COMPACT_OK != 0);
        let question = &asked.question;
        let message = &mut said.message;
        let mut answer = Answer {
            rcode: &mut message.metadata.response_code,
            answers: &mut message.answers,
            authorities: &mut message.authorities,
            additionals: &mut message.additionals,
        };
        let question = Asked { name: &question.name, qtype: question.qtype, compact_ok };
        let index = self.index.as_ref().map(|index| index.load());
        let types = |name: &Name| types(index.as_deref()?, &self.signer, name);
        self.signer.sign(question, &mut answer, &types, now());
    }
}

/// The types that `name` may have, if it is one of the cluster that exists and is no alias.
///
/// What the index cannot tell without making records is taken to be there: a resolver that asks for
/// it is told better.
fn types(index: &ZoneIndex, signer: &Signer, name: &Name) -> Option<Vec<RecordType>> {
    let asked = AskedName::from(name);
    // No name has this type, so it tells of the name alone.
    let exists = matches!(direct(index, &asked, RecordType::NULL)?.found, Found::NoData);
    let lacks = |rtype: &RecordType| {
        direct(index, &asked, *rtype).is_some_and(|direct| matches!(direct.found, Found::NoData))
    };
    let mut types: Vec<_> = TYPES.into_iter().filter(|rtype| !lacks(rtype)).collect();
    if signer.dnskeys(name).is_some() {
        types.push(RecordType::DNSKEY);
    }
    exists.then_some(types)
}

/// The time, for signatures; a clock before 1970 makes none that is valid.
fn now() -> UnixSeconds {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
