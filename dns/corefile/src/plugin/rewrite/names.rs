//! Which names a rule fits, what they become, and how answers are changed back.

use std::fmt;

use super::{Change, whole_name};
use crate::line::Line;
use crate::plugin::Effects;
use crate::syntax::Word;
use crate::value::{Pattern, Refusal, Replacement, Zone, pattern};

/// What may follow a rule for names.
const ANSWER_FORM: &str = "answer auto, answer name FROM TO, answer value FROM TO";

/// Which names a rule fits; letter case does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameMatch {
    /// This name.
    Exact(Zone),
    /// Names that begin with this text.
    Prefix(String),
    /// Names that end with this text, which ends with a dot like every name.
    Suffix(String),
    /// Names that hold this text.
    Substring(String),
    /// Names that match, each with the dot at its end.
    Regex(Pattern),
}

impl fmt::Display for NameMatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(formatter, "{name}"),
            Self::Prefix(text) => write!(formatter, "{text}<any>"),
            Self::Suffix(text) => write!(formatter, "<any>{text}"),
            Self::Substring(text) => write!(formatter, "<any>{text}<any>"),
            Self::Regex(pattern) => write!(formatter, "{pattern}"),
        }
    }
}

/// Names that become others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution {
    /// Which names.
    pub from: NameMatch,
    /// What the matching part becomes; groups are those of the expression, if there is one.
    pub to: Replacement,
}

impl Substitution {
    /// What a whole name becomes, in the form in which [`NameMatch`] shows it.
    pub(super) fn target(&self) -> String {
        let to = &self.to;
        match self.from {
            NameMatch::Exact(_) | NameMatch::Regex(_) => to.to_string(),
            NameMatch::Prefix(_) => format!("{to}<any>"),
            NameMatch::Suffix(_) => format!("<any>{to}"),
            NameMatch::Substring(_) => format!("<any>{to}<any>"),
        }
    }
}

/// A rule for names: what is asked instead, and how answers are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRewrite {
    /// What is asked.
    pub question: Substitution,
    /// Whether owner names of the answer are changed back as the question was changed; always so
    /// for exact names.
    pub answer_auto: bool,
    /// How owner names of the answer are changed, in this order.
    pub answer_names: Vec<Substitution>,
    /// How names in the data of the answer are changed, in this order.
    pub answer_values: Vec<Substitution>,
}

impl NameRewrite {
    /// Says how answers are changed.
    pub(super) fn answer_effects(&self, say: &mut Effects) {
        say.line_if(self.answer_auto, "the answer bears the name that was asked");
        for Substitution { from, to } in &self.answer_names {
            say.line(format!("in the answer the name {from} becomes {to}"));
        }
        for Substitution { from, to } in &self.answer_values {
            say.line(format!("in the answer the value {from} becomes {to}"));
        }
    }
}

/// The words of one rule, taken one by one.
pub(super) struct Words<'a> {
    line: &'a Line<'a>,
    field: &'a Word,
    rest: &'a [Word],
    form: &'static str,
}

impl<'a> Words<'a> {
    /// The words after `field`.
    pub(super) fn new(
        line: &'a Line<'a>,
        field: &'a Word,
        rest: &'a [Word],
        form: &'static str,
    ) -> Self {
        Self { line, field, rest, form }
    }

    fn take(&mut self) -> Option<&'a Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn need(&mut self, what: &str) -> Option<&'a Word> {
        let word = self.take();
        if word.is_none() {
            self.line.fault(self.field, format!("{what} is missing"), self.form);
        }
        word
    }

    fn check<T>(
        &self,
        what: &str,
        word: &Word,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let fill = |refusal: Refusal| match refusal.accepted.as_str() {
            "" => Refusal::new(refusal.problem, self.form),
            _ => refusal,
        };
        self.line.check(what, word, |text| parse(text).map_err(fill))
    }

    /// Takes one word and reads it.
    pub(super) fn value<T>(
        &mut self,
        what: &str,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let word = self.need(what)?;
        self.check(what, word, parse)
    }

    /// Takes the next word if it is `text`.
    pub(super) fn take_if(&mut self, text: &str) -> bool {
        let found = self.rest.first().is_some_and(|word| word.text == text);
        if found {
            self.take();
        }
        found
    }

    /// Takes `FROM TO`, the last words of a rule.
    pub(super) fn change<T>(
        &mut self,
        what: &str,
        parse: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<Change<T>> {
        let from = self.value(what, &parse);
        let to = self.value(what, &parse);
        self.end();
        Some(Change { from: from?, to: to? })
    }

    /// Reports words that are left over.
    pub(super) fn end(&self) {
        if let Some(word) = self.rest.first() {
            self.line.fault(word, format!("{:?} is one word too many", word.text), self.form);
        }
    }

    /// Takes `[TYPE] NAME`, with `after` words behind it when the type is left out.
    pub(super) fn name_match(&mut self, after: usize) -> Option<NameMatch> {
        let kind = Kind::of(self.rest.first());
        // Without a type the first word is the name, also when it is called like a type.
        let kind = kind.filter(|_| self.rest.len() > after + 1);
        if kind.is_some() {
            self.take();
        }
        let word = self.need("name")?;
        self.check("name", word, |text| kind.unwrap_or(Kind::Exact).read(text))
    }

    /// Takes `[TYPE] FROM TO`.
    pub(super) fn substitution(&mut self) -> Option<Substitution> {
        let from = self.name_match(1);
        let word = self.need("name that it becomes")?;
        self.replacement(from?, word)
    }

    /// Reads what the names of `from` become.
    fn replacement(&self, from: NameMatch, word: &Word) -> Option<Substitution> {
        let to = self.check("name", word, |text| match &from {
            NameMatch::Exact(_) => {
                let name = whole_name(text)?.name().to_ascii();
                Replacement::parse(&name, 0)
            }
            NameMatch::Regex(pattern) => {
                Replacement::parse(text, pattern.regex().captures_len() - 1)
            }
            NameMatch::Suffix(_) => Replacement::parse(&with_dot(text), 0),
            NameMatch::Prefix(_) | NameMatch::Substring(_) => Replacement::parse(text, 0),
        });
        Some(Substitution { from, to: to? })
    }

    /// Takes `[TYPE] FROM TO [[answer] auto|name FROM TO|value FROM TO]...`.
    pub(super) fn name_rewrite(&mut self) -> Option<NameRewrite> {
        let question = self.substitution();
        let exact = matches!(&question, Some(Substitution { from: NameMatch::Exact(_), .. }));
        let mut rewrite = Answers { auto: exact, names: Vec::new(), values: Vec::new() };
        let mut explicit_auto = None;
        while let Some(word) = self.take() {
            match word.text.as_str() {
                "answer" => self.expect_change(word),
                "auto" => {
                    rewrite.auto = true;
                    explicit_auto = Some(word);
                }
                "name" if self.rest.first().is_some_and(|word| word.text == "auto") => {}
                "name" => rewrite.names.extend(self.answer()),
                "value" => rewrite.values.extend(self.answer()),
                other => {
                    let problem = format!("{other:?} is no change of the answer");
                    self.line.fault(word, problem, ANSWER_FORM);
                    break;
                }
            }
        }
        if let (Some(word), false) = (explicit_auto, rewrite.names.is_empty()) {
            let problem = "answer auto and answer name do not go together";
            self.line.fault(word, problem, "either of both");
        }
        let Answers { auto, names, values } = rewrite;
        let question = question?;
        Some(NameRewrite {
            question,
            answer_auto: auto,
            answer_names: names,
            answer_values: values,
        })
    }

    /// Reports that nothing follows `answer`.
    fn expect_change(&self, answer: &Word) {
        if self.rest.is_empty() {
            let problem = "nothing follows \"answer\"";
            self.line.fault(answer, problem, ANSWER_FORM);
        }
    }

    /// Takes `FROM TO` of a changed answer, FROM being an expression.
    fn answer(&mut self) -> Option<Substitution> {
        let from = self.value("expression", |text| pattern(text).map(NameMatch::Regex));
        let to = self.need("name that it becomes")?;
        self.replacement(from?, to)
    }
}

/// Changes of the answer, as they are read.
struct Answers {
    auto: bool,
    names: Vec<Substitution>,
    values: Vec<Substitution>,
}

/// How a name is matched.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Substring,
    Regex,
}

impl Kind {
    /// The kind that `word` names.
    fn of(word: Option<&Word>) -> Option<Self> {
        match word?.text.to_ascii_lowercase().as_str() {
            "exact" => Some(Self::Exact),
            "prefix" => Some(Self::Prefix),
            "suffix" => Some(Self::Suffix),
            "substring" => Some(Self::Substring),
            "regex" => Some(Self::Regex),
            _ => None,
        }
    }

    /// Reads what is matched.
    fn read(self, text: &str) -> Result<NameMatch, Refusal> {
        if text.is_empty() {
            return Err(Refusal::new("is empty", ""));
        }
        match self {
            Self::Exact => whole_name(text).map(NameMatch::Exact),
            Self::Prefix => Ok(NameMatch::Prefix(text.to_ascii_lowercase())),
            Self::Suffix => Ok(NameMatch::Suffix(with_dot(&text.to_ascii_lowercase()))),
            Self::Substring => Ok(NameMatch::Substring(text.to_ascii_lowercase())),
            Self::Regex => pattern(text).map(NameMatch::Regex),
        }
    }
}

/// The text with the dot at its end that every absolute name has.
fn with_dot(text: &str) -> String {
    if text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}
