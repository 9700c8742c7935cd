//! Records with gaps: the part of Go's templates that `template` plugins use.

use std::collections::BTreeSet;
use std::fmt;

use crate::value::Refusal;

/// The actions that are supported.
pub(super) const ACCEPTED: &str = "{{ .Name }}, {{ .Type }}, {{ .Class }}, {{ .Zone }}, \
                                   {{ .Remote }}, {{ .Group.NAME }}, {{ index .Match NUMBER }}";

/// A record in the form of a master file, with gaps that the question fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateText(Vec<TemplatePart>);

/// A piece of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// These characters.
    Text(String),
    /// What the question says.
    Field(TemplateField),
}

/// What fills a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateField {
    /// The name asked, in lower case.
    Name,
    /// The type asked.
    Type,
    /// The class asked.
    Class,
    /// The zone of the template that the name is in.
    Zone,
    /// Address of the client.
    Remote,
    /// A named group of the expression that matched.
    Group(String),
    /// A group of the expression that matched, by number; 0 is the whole match.
    Match(usize),
}

/// The groups that may be named.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) names: BTreeSet<String>,
    /// How many there are, the whole match included.
    pub(super) count: usize,
}

/// What became of a text.
#[derive(Debug)]
pub(super) enum Parsed {
    Supported(TemplateText),
    /// It holds this action, which Go knows and we do not.
    Unsupported(String),
}

impl TemplateText {
    /// The pieces, in their order.
    #[must_use]
    pub fn parts(&self) -> &[TemplatePart] {
        &self.0
    }

    /// Reads a text.
    pub(super) fn parse(text: &str, groups: &Groups) -> Result<Parsed, Refusal> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once("{{") {
            let Some((action, after)) = from.split_once("}}") else {
                return Err(Refusal::new("has {{ without }}", ACCEPTED));
            };
            // `{{-` and `-}}` take the blanks beside them away.
            let (left, action) = trim_sign(action.strip_prefix('-'), action);
            let (right, action) = trim_sign(action.strip_suffix('-'), action);
            let before = if left { before.trim_end() } else { before };
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_owned()));
            }
            match field(action.trim(), groups)? {
                Some(field) => parts.push(TemplatePart::Field(field)),
                None => return Ok(Parsed::Unsupported(action.to_owned())),
            }
            rest = if right { after.trim_start() } else { after };
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        Ok(Parsed::Supported(Self(parts)))
    }
}

/// Whether a sign was there, and the action without it.
fn trim_sign<'a>(without: Option<&'a str>, action: &'a str) -> (bool, &'a str) {
    (without.is_some(), without.unwrap_or(action))
}

/// Reads one action; `None` for those that are not supported.
fn field(action: &str, groups: &Groups) -> Result<Option<TemplateField>, Refusal> {
    if let Some(name) = action.strip_prefix(".Group.") {
        if groups.names.contains(name) {
            return Ok(Some(TemplateField::Group(name.to_owned())));
        }
        let problem = format!("names the group {name:?} that no expression has");
        return Err(Refusal::new(problem, format!("a group (?P<{name}>...) in match")));
    }
    if let Some(number) = action.strip_prefix("index .Match ") {
        return match number.trim().parse::<usize>() {
            Ok(number) if number < groups.count => Ok(Some(TemplateField::Match(number))),
            Ok(_) => {
                let problem = format!("names group {number} that no expression has");
                Err(Refusal::new(problem, format!("0 to {}", groups.count - 1)))
            }
            Err(_) => Ok(None),
        };
    }
    Ok(match action {
        ".Name" | ".Question.Name" => Some(TemplateField::Name),
        ".Type" => Some(TemplateField::Type),
        ".Class" => Some(TemplateField::Class),
        ".Zone" => Some(TemplateField::Zone),
        ".Remote" => Some(TemplateField::Remote),
        _ => None,
    })
}

impl fmt::Display for TemplateText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => formatter.write_str(text)?,
                TemplatePart::Field(field) => write!(formatter, "<{field}>")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for TemplateField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => formatter.write_str("name"),
            Self::Type => formatter.write_str("type"),
            Self::Class => formatter.write_str("class"),
            Self::Zone => formatter.write_str("zone"),
            Self::Remote => formatter.write_str("client"),
            Self::Group(name) => write!(formatter, "group {name}"),
            Self::Match(number) => write!(formatter, "group {number}"),
        }
    }
}
