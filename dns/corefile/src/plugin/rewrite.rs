//! `rewrite`: questions changed before they are answered, and answers changed after.

mod edns;
mod names;

use std::fmt;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};

use super::{Directive, Effects};
use crate::line::{Line, Scope};
use crate::syntax::Word;
use crate::value::{Refusal, Ttl, Zone, class, rcode, rcode_name, record_type};

pub use edns::{EdnsAction, EdnsData, EdnsRewrite, EdnsVariable};
use names::Words;
pub use names::{NameMatch, NameRewrite, Substitution};

/// `rewrite`: one rule; the rules of a block are tried in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// What is changed.
    pub rule: RewriteRule,
    /// What comes after a rule that fits.
    pub then: Then,
}

/// What comes after a rule that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Then {
    /// No other rule.
    #[default]
    Stop,
    /// The next rule.
    Continue,
}

/// What one rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteRule {
    /// Another name is asked.
    Name(NameRewrite),
    /// Another type is asked.
    Type(Change<RecordType>),
    /// Another class is asked.
    Class(Change<DNSClass>),
    /// Records of names that match live for another time.
    Ttl {
        /// The names.
        names: NameMatch,
        /// The time.
        range: TtlRange,
    },
    /// The response code of names that match is another.
    Rcode {
        /// The names.
        names: NameMatch,
        /// The code.
        change: Change<ResponseCode>,
    },
    /// The target of CNAME records is another name, which is looked up anew.
    Cname(Substitution),
    /// An EDNS option of the query is another.
    Edns(EdnsRewrite),
}

/// One value in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<T> {
    /// What is found.
    pub from: T,
    /// What it becomes.
    pub to: T,
}

/// Bounds of a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlRange {
    /// What less becomes.
    pub least: Ttl,
    /// What more becomes; never less than the least.
    pub most: Ttl,
}

impl fmt::Display for TtlRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, most) if least == most => write!(formatter, "{least}"),
            (least, Ttl::MAX) => write!(formatter, "{least} or longer"),
            (least, most) => write!(formatter, "{least} to {most}"),
        }
    }
}

/// The forms of rules, each found by its first word.
const FORMS: &[(&str, &str)] = &[
    ("name", "name [exact|prefix|suffix|substring|regex] FROM TO [answer auto|name|value ...]"),
    ("type", "type FROM TO"),
    ("class", "class FROM TO"),
    ("ttl", "ttl [exact|prefix|suffix|substring|regex] NAME SECONDS|MIN-MAX"),
    ("rcode", "rcode [exact|prefix|suffix|substring|regex] NAME FROM TO"),
    ("cname", "cname [exact|prefix|suffix|substring|regex] FROM TO"),
    ("edns0", edns::FORM),
];

impl Directive for Rewrite {
    const FORM: &'static str = "rewrite [continue|stop] name|type|class|ttl|rcode|cname|edns0 ...";

    fn parse(mut line: Line<'_>, _: Scope<'_>) -> Option<Self> {
        let mut all: Vec<Word> = line.rest().to_vec();
        all.extend(line.body_words());
        let mut words = all.as_slice();
        let then = match words {
            [first, rest @ ..] if first.text == "stop" || first.text == "continue" => {
                words = rest;
                if first.text == "stop" { Then::Stop } else { Then::Continue }
            }
            _ => Then::default(),
        };
        let rule = match words {
            [field, rest @ ..] => rule(&line, field, rest),
            [] => {
                line.fault(line.name(), "has no rule", Self::FORM);
                None
            }
        };
        line.end();
        rule.map(|rule| Self { rule, then })
    }

    fn effects(&self, say: &mut Effects) {
        let then = match self.then {
            Then::Stop => "",
            Then::Continue => ", and the next rule is tried",
        };
        match &self.rule {
            RewriteRule::Name(rewrite) => {
                let Substitution { from, .. } = &rewrite.question;
                say.line(format!("{from} is asked as {}{then}", rewrite.question.target()));
                rewrite.answer_effects(say);
            }
            RewriteRule::Type(Change { from, to }) => {
                say.line(format!("type {from} is asked as {to}{then}"));
            }
            RewriteRule::Class(Change { from, to }) => {
                say.line(format!("class {from} is asked as {to}{then}"));
            }
            RewriteRule::Ttl { names, range } => {
                say.line(format!("records of {names} live for {range}{then}"));
            }
            RewriteRule::Rcode { names, change: Change { from, to } } => {
                let (from, to) = (rcode_name(*from), rcode_name(*to));
                say.line(format!("{from} for {names} becomes {to}{then}"));
            }
            RewriteRule::Cname(substitution) => {
                let (from, to) = (&substitution.from, substitution.target());
                say.line(format!("CNAME targets that are {from} become {to}{then}"));
            }
            RewriteRule::Edns(rewrite) => say.line(format!("{rewrite}{then}")),
        }
    }
}

/// Reads one rule: its field and the words after it.
fn rule(line: &Line<'_>, field: &Word, words: &[Word]) -> Option<RewriteRule> {
    let form = FORMS.iter().find(|(name, _)| *name == field.text).map(|(_, form)| *form);
    let Some(form) = form else {
        match field.text.as_str() {
            "answer" => {
                line.fault(field, "answer comes after a name rule only", "name FROM TO answer ...");
            }
            other => {
                let fields: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
                line.fault(field, format!("{other:?} is no field"), &fields.join(", "));
            }
        }
        return None;
    };
    let mut words = Words::new(line, field, words, form);
    match field.text.as_str() {
        "type" => words.change("type", record_type).map(RewriteRule::Type),
        "class" => words.change("class", class).map(RewriteRule::Class),
        "ttl" => {
            let names = words.name_match(1)?;
            let range = words.value("time to live", ttl_range);
            words.end();
            Some(RewriteRule::Ttl { names, range: range? })
        }
        "rcode" => {
            let names = words.name_match(2)?;
            let change = words.change("response code", rcode)?;
            Some(RewriteRule::Rcode { names, change })
        }
        "cname" => {
            let substitution = words.substitution();
            words.end();
            substitution.map(RewriteRule::Cname)
        }
        "edns0" => edns::edns_rewrite(&mut words).map(RewriteRule::Edns),
        _ => words.name_rewrite().map(RewriteRule::Name),
    }
}

/// Reads `SECONDS`, `MIN-MAX`, `MIN-` or `-MAX`.
fn ttl_range(text: &str) -> Result<TtlRange, Refusal> {
    let accepted = "SECONDS, MIN-MAX, MIN- or -MAX";
    let seconds = |text: &str, absent: Ttl| match text {
        "" => Ok(absent),
        digits => match digits.parse::<u32>() {
            Ok(seconds) if seconds <= Ttl::MAX.seconds() => Ok(Ttl::from_seconds(seconds)),
            Ok(_) | Err(_) => Err(Refusal::new("is no time to live", accepted)),
        },
    };
    let (least, most) = match text.split_once('-') {
        Some(("", "")) => return Err(Refusal::new("is no time to live", accepted)),
        Some((least, most)) => (seconds(least, Ttl::from_seconds(0))?, seconds(most, Ttl::MAX)?),
        None if text.is_empty() => return Err(Refusal::new("is empty", accepted)),
        None => {
            let both = seconds(text, Ttl::MAX)?;
            (both, both)
        }
    };
    if least > most {
        return Err(Refusal::new("ends before it begins", accepted));
    }
    Ok(TtlRange { least, most })
}

/// Reads a whole name of a rule.
fn whole_name(text: &str) -> Result<Zone, Refusal> {
    Zone::named(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_are_numbers_and_ranges() {
        for (text, shown) in [
            ("30", "30 s"),
            ("30-300", "30 s to 300 s"),
            ("-30", "0 s to 30 s"),
            ("30-", "30 s or longer"),
        ] {
            assert_eq!(ttl_range(text).unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "-", "x", "30-20", "1-2-3", "4294967295"] {
            assert!(ttl_range(text).is_err(), "{text}");
        }
    }
}
