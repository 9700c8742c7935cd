//! Replies made replies to the question that was asked.

use std::collections::BTreeSet;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podway_dns_corefile::plugin::{Change, NameRewrite, RewriteRule, TtlRange};

use super::Done;
use super::edns;
use super::names::Substitute;

/// What was done to a question, to be undone in the reply.
#[derive(Debug, Clone)]
pub struct Undo {
    /// The question that was asked.
    asked: Query,
    /// What became of it.
    made: Query,
    done: Vec<Done>,
}

impl Undo {
    pub(super) fn new(asked: Query, made: Query, done: Vec<Done>) -> Self {
        Self { asked, made, done }
    }

    /// The question that was asked.
    #[must_use]
    pub fn asked(&self) -> &Query {
        &self.asked
    }

    /// The options of `query`, as the rules left it, that a rule is about; in wire form, for whoever
    /// is asked next.
    #[must_use]
    pub fn options(&self, query: &Message) -> Vec<u8> {
        let Some(edns) = &query.edns else { return Vec::new() };
        let mut codes = BTreeSet::new();
        for done in &self.done {
            if let RewriteRule::Edns(change) = &done.rule.rule {
                codes.insert(change.data.code());
            }
        }
        edns::wire(edns, &codes)
    }

    /// Gives the first alias whose target has a rule another target, and says what is to be asked
    /// for then; the answer goes to [`resume`].
    ///
    /// What stood behind the alias is about the old target, and is taken away.
    pub fn retarget(&self, reply: &mut Message) -> Option<Query> {
        let aliases = |done: &&Done| matches!(done.rule.rule, RewriteRule::Cname(_));
        let rules = self.done.iter().filter(aliases);
        let rules: Vec<&Substitute> =
            rules.filter_map(|done| done.rule.substitute.as_ref()).collect();
        let changed = |record: &mut Record| {
            let RData::CNAME(target) = &mut record.data else { return None };
            let fits = rules.iter().any(|rule| rule.apply(&mut target.0));
            fits.then(|| target.0.clone())
        };
        let target = reply.answers.iter_mut().find_map(changed)?;
        if self.made.query_type == RecordType::CNAME {
            return None;
        }
        let is_alias =
            |record: &Record| matches!(&record.data, RData::CNAME(alias) if alias.0 == target);
        let last = reply.answers.iter().position(is_alias).unwrap_or(0);
        reply.answers.truncate(last + 1);
        reply.authorities.clear();
        reply.additionals.clear();
        let mut question = self.made.clone();
        question.name = target;
        Some(question)
    }

    /// Makes `reply` one to the question that was asked.
    pub fn reply(&self, reply: &mut Message) {
        for Done { rule, renamed } in self.done.iter().rev() {
            match &rule.rule {
                RewriteRule::Name(NameRewrite { answer_auto, .. }) => {
                    if let (true, Some(renamed)) = (answer_auto, renamed) {
                        for_names(reply, &mut |name| renamed.undo(name));
                        for_values(reply, &mut |name| renamed.undo(name));
                    }
                    for_names(reply, &mut |name| apply_all(&rule.answer_names, name));
                    for_values(reply, &mut |name| apply_all(&rule.answer_values, name));
                }
                RewriteRule::Ttl { range: TtlRange { least, most }, .. } => {
                    for_records(reply, &mut |record| {
                        record.ttl = record.ttl.clamp(least.seconds(), most.seconds());
                    });
                }
                RewriteRule::Rcode { change: Change { from, to }, .. } => {
                    if reply.metadata.response_code == *from {
                        reply.metadata.response_code = *to;
                    }
                }
                RewriteRule::Edns(change) => edns::revert(change, reply),
                RewriteRule::Type(_) | RewriteRule::Class(_) | RewriteRule::Cname(_) => {}
            }
        }
        for_names(reply, &mut |name| {
            if *name == self.asked.name {
                name.clone_from(&self.asked.name);
            }
        });
        reply.queries = vec![self.asked.clone()];
    }
}

/// Completes a reply whose alias got another target, given the reply about that; `None` when there
/// was none.
pub fn resume(reply: &mut Message, found: Option<Message>) {
    let Some(found) = found else {
        reply.metadata.response_code = ResponseCode::ServFail;
        return;
    };
    // The response code is that of the last name (RFC 6604, section 2.1).
    reply.metadata.response_code = found.metadata.response_code;
    reply.metadata.truncation |= found.metadata.truncation;
    reply.answers.extend(found.answers);
    reply.authorities = found.authorities;
    reply.additionals = found.additionals;
}

/// Applies rules to a name, each to what those before made of it.
fn apply_all(rules: &[Substitute], name: &mut Name) {
    for rule in rules {
        rule.apply(name);
    }
}

/// Visits the records of all sections.
fn for_records(reply: &mut Message, visit: &mut dyn FnMut(&mut Record)) {
    let sections = [&mut reply.answers, &mut reply.authorities, &mut reply.additionals];
    sections.into_iter().flatten().for_each(visit);
}

/// Visits owner names.
fn for_names(reply: &mut Message, visit: &mut dyn FnMut(&mut Name)) {
    for_records(reply, &mut |record| visit(&mut record.name));
}

/// Visits names in the data of records.
#[expect(clippy::wildcard_enum_match_arm, reason = "the data of other types stays")]
fn for_values(reply: &mut Message, visit: &mut dyn FnMut(&mut Name)) {
    for_records(reply, &mut |record| match &mut record.data {
        RData::CNAME(target) => visit(&mut target.0),
        RData::NS(target) => visit(&mut target.0),
        RData::PTR(target) => visit(&mut target.0),
        RData::MX(mx) => visit(&mut mx.exchange),
        RData::SRV(srv) => visit(&mut srv.target),
        RData::NAPTR(naptr) => visit(&mut naptr.replacement),
        RData::SOA(soa) => visit(&mut soa.mname),
        _ => {}
    });
}
