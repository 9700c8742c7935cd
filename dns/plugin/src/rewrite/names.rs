//! Which names a rule fits, and what they become.

use hickory_proto::rr::Name;
use podway_dns_corefile::plugin::{NameMatch, Substitution};

use super::ImpossibleName;
use crate::presentation;

/// Names that a rule fits.
pub(super) struct Names<'r>(pub(super) &'r NameMatch);

impl Names<'_> {
    /// Whether the rule fits `name`.
    pub(super) fn fit(&self, name: &Name) -> bool {
        let text = || presentation::lower_text(name);
        match self.0 {
            NameMatch::Exact(zone) => zone.name() == name,
            NameMatch::Prefix(prefix) => text().starts_with(prefix),
            NameMatch::Suffix(suffix) => text().ends_with(suffix),
            NameMatch::Substring(part) => text().contains(part),
            NameMatch::Regex(pattern) => pattern.regex().is_match(&text()),
        }
    }
}

/// A name that became another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Renamed {
    /// What it was.
    pub(super) from: Name,
    /// What it is now.
    pub(super) to: Name,
}

impl Renamed {
    /// Undoes the change for the name and for those below it.
    pub(super) fn undo(&self, name: &mut Name) {
        if !self.to.zone_of(name) || self.to.is_root() {
            return;
        }
        if *name == self.to {
            name.clone_from(&self.from);
            return;
        }
        let below = name.iter().len().saturating_sub(self.to.iter().len());
        let labels: Vec<&[u8]> = name.iter().take(below).chain(self.from.iter()).collect();
        // A name that gets too long stays what it is.
        if let Ok(mut undone) = Name::from_labels(labels) {
            undone.set_fqdn(true);
            *name = undone;
        }
    }
}

/// Names that become others.
#[derive(Debug, Clone)]
pub(super) struct Substitute {
    rule: Substitution,
    /// The text in the place of what fits, when it is the same for all.
    literal: String,
}

impl Substitute {
    /// By this rule.
    pub(super) fn new(rule: &Substitution) -> Self {
        // Without an expression there are no groups, and the text stands for itself.
        Self { rule: rule.clone(), literal: rule.to.to_string() }
    }

    /// What `name` becomes; `None` if the rule does not fit.
    pub(super) fn rename(&self, name: &Name) -> Result<Option<Renamed>, ImpossibleName> {
        let Some(made) = self.text(name) else { return Ok(None) };
        match presentation::name(made.as_bytes(), &Name::root()) {
            Ok(to) => Ok(Some(Renamed { from: name.clone(), to })),
            Err(problem) => Err(ImpossibleName { asked: name.to_ascii(), made, problem }),
        }
    }

    /// Changes `name` if the rule fits and what it makes is a name.
    pub(super) fn apply(&self, name: &mut Name) -> bool {
        match self.rename(name) {
            Ok(Some(renamed)) => {
                *name = renamed.to;
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// The text that `name` becomes.
    fn text(&self, name: &Name) -> Option<String> {
        let literal = &self.literal;
        let text = || presentation::lower_text(name);
        match &self.rule.from {
            NameMatch::Exact(zone) => (zone.name() == name).then(|| literal.clone()),
            NameMatch::Prefix(prefix) => {
                text().strip_prefix(prefix.as_str()).map(|rest| format!("{literal}{rest}"))
            }
            NameMatch::Suffix(suffix) => {
                text().strip_suffix(suffix.as_str()).map(|rest| format!("{rest}{literal}"))
            }
            NameMatch::Substring(part) => {
                let text = text();
                text.contains(part.as_str()).then(|| text.replace(part.as_str(), literal))
            }
            NameMatch::Regex(pattern) => {
                let text = text();
                pattern.regex().captures(&text).map(|captures| self.rule.to.expand(&captures))
            }
        }
    }
}
