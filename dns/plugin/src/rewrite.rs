//! `rewrite`: questions changed before they are answered, and answers changed back.
//!
//! The rules of a block are tried in the order of the file, each on what those before made of the
//! question. What they did is kept in an [`Undo`], by which the reply becomes one to the question
//! that was asked: changes of names are undone in reverse order. Where a rule for names does not
//! say how answers are changed, they bear the name that was asked instead.

mod edns;
mod names;
mod undo;

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Message, Query};
use podway_dns_corefile::plugin::{self, RewriteRule, Then};

use names::{Names, Renamed, Substitute};
pub use undo::{Undo, resume};

/// The rewrite rules of a server block.
#[derive(Debug, Clone, Default)]
pub struct Rewrite(Vec<Arc<Rule>>);

/// Whence a query came, for options that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The client.
    pub client: SocketAddr,
    /// Where it was received, if that is known.
    pub server: Option<SocketAddr>,
    /// By what it came: `udp` or `tcp`.
    pub protocol: &'static str,
}

/// A name was made that is none; the query gets SERVFAIL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rewriting {asked} gives {made:?}, which {problem}")]
pub struct ImpossibleName {
    asked: String,
    made: String,
    problem: &'static str,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    rule: RewriteRule,
    then: Then,
    /// What names become, of a rule that says so.
    substitute: Option<Substitute>,
    /// Changes of owner names in answers, then of names in their data.
    answer_names: Vec<Substitute>,
    answer_values: Vec<Substitute>,
}

/// A rule that took part in a question, and what it did.
#[derive(Debug, Clone)]
struct Done {
    rule: Arc<Rule>,
    renamed: Option<Renamed>,
}

impl Rewrite {
    /// The rules of these lines, in their order.
    pub fn new<'c>(lines: impl IntoIterator<Item = &'c plugin::Rewrite>) -> Self {
        Self(lines.into_iter().map(|line| Arc::new(Rule::new(line))).collect())
    }

    /// Changes the question and the options of a query; `None` when no rule fits.
    ///
    /// # Errors
    /// [`ImpossibleName`]: the query is as it was.
    pub fn question(
        &self,
        query: &mut Message,
        exchange: &Exchange,
    ) -> Result<Option<Undo>, ImpossibleName> {
        let [question] = query.queries.as_slice() else { return Ok(None) };
        let original = question.clone();
        let mut question = question.clone();
        let mut edns = query.edns.clone();
        let mut done = Vec::new();
        for rule in &self.0 {
            let renamed = match rule.fit(&question)? {
                Fit::No => continue,
                Fit::Renamed(renamed) => {
                    question.name = renamed.to.clone();
                    Some(renamed)
                }
                Fit::Yes => {
                    match &rule.rule {
                        RewriteRule::Type(change) => question.query_type = change.to,
                        RewriteRule::Class(change) => question.query_class = change.to,
                        RewriteRule::Edns(change) => {
                            if !edns::change(change, &mut edns, &question, exchange) {
                                continue;
                            }
                        }
                        RewriteRule::Name(_)
                        | RewriteRule::Ttl { .. }
                        | RewriteRule::Rcode { .. }
                        | RewriteRule::Cname(_) => {}
                    }
                    None
                }
            };
            done.push(Done { rule: Arc::clone(rule), renamed });
            if rule.then == Then::Stop {
                break;
            }
        }
        if done.is_empty() {
            return Ok(None);
        }
        query.queries = vec![question.clone()];
        query.edns = edns;
        Ok(Some(Undo::new(original, question, done)))
    }
}

/// How a rule fits a question.
enum Fit {
    No,
    Yes,
    Renamed(Renamed),
}

impl Rule {
    fn new(line: &plugin::Rewrite) -> Self {
        let compiled = |list: &[plugin::Substitution]| list.iter().map(Substitute::new).collect();
        let mut rule = Self {
            rule: line.rule.clone(),
            then: line.then,
            substitute: None,
            answer_names: Vec::new(),
            answer_values: Vec::new(),
        };
        match &line.rule {
            RewriteRule::Name(rewrite) => {
                rule.substitute = Some(Substitute::new(&rewrite.question));
                rule.answer_names = compiled(&rewrite.answer_names);
                rule.answer_values = compiled(&rewrite.answer_values);
            }
            RewriteRule::Cname(substitution) => {
                rule.substitute = Some(Substitute::new(substitution));
            }
            RewriteRule::Type(_)
            | RewriteRule::Class(_)
            | RewriteRule::Ttl { .. }
            | RewriteRule::Rcode { .. }
            | RewriteRule::Edns(_) => {}
        }
        rule
    }

    /// Whether the rule fits, and for a rule for names what the name becomes.
    fn fit(&self, question: &Query) -> Result<Fit, ImpossibleName> {
        let fits = match &self.rule {
            RewriteRule::Name(_) => {
                let rename = |substitute: &Substitute| substitute.rename(&question.name);
                let renamed = self.substitute.as_ref().map(rename).transpose()?.flatten();
                return Ok(renamed.map_or(Fit::No, Fit::Renamed));
            }
            RewriteRule::Type(change) => change.from == question.query_type,
            RewriteRule::Class(change) => change.from == question.query_class,
            RewriteRule::Ttl { names, .. } | RewriteRule::Rcode { names, .. } => {
                Names(names).fit(&question.name)
            }
            RewriteRule::Edns(_) | RewriteRule::Cname(_) => true,
        };
        Ok(if fits { Fit::Yes } else { Fit::No })
    }
}

#[cfg(test)]
mod tests;
