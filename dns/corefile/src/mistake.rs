//! What is wrong with a Corefile, and where.
//!
//! Reading goes on after a mistake, so that one look at the list is enough to mend the file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as it was named to the reader or by an `import`.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The first character of the word meant.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong, or for a warning: of no effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// What was found there.
    pub text: String,
    /// What would be right, where that can be said in short.
    pub accepted: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.text)?;
        match &self.accepted {
            Some(accepted) => write!(formatter, "; accepted: {accepted}"),
            None => Ok(()),
        }
    }
}

/// Every mistake of a Corefile and of what it imports, in order of place; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Mistakes {
    mistakes: Vec<Mistake>,
    unlisted: usize,
}

impl Mistakes {
    /// The mistakes, in order of place.
    #[must_use]
    pub fn as_slice(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// How many more there were than are listed.
    #[must_use]
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(formatter, "{end}{mistake}")?;
        }
        if self.unlisted > 0 {
            write!(formatter, "\nand {} more", self.unlisted)?;
        }
        Ok(())
    }
}

/// What becomes of plugins and options that CoreDNS knows and Podway does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lenience {
    /// They are mistakes.
    #[default]
    Strict,
    /// They are left out, with a warning.
    Lenient,
}

/// Most mistakes, and most warnings, that are listed.
///
/// A file with more is no Corefile, and its list would not be read.
const MOST_LISTED: usize = 500;

/// Collects what is found wrong while a file is read.
#[derive(Debug)]
pub(crate) struct Faults {
    lenience: Lenience,
    mistakes: RefCell<Found>,
    warnings: RefCell<Found>,
}

/// Findings of one kind; one that comes twice, as from a snippet imported twice, counts once.
#[derive(Debug, Default)]
struct Found {
    listed: BTreeSet<Mistake>,
    unlisted: usize,
}

impl Found {
    fn add(&mut self, mistake: Mistake) {
        if self.listed.len() < MOST_LISTED {
            self.listed.insert(mistake);
        } else if !self.listed.contains(&mistake) {
            self.unlisted += 1;
        }
    }
}

impl Faults {
    /// Nothing found yet.
    pub(crate) fn new(lenience: Lenience) -> Self {
        Self { lenience, mistakes: RefCell::default(), warnings: RefCell::default() }
    }

    /// Notes a mistake.
    pub(crate) fn mistake(&self, place: &Place, text: impl Into<String>, accepted: &str) {
        self.mistakes.borrow_mut().add(finding(place, text, accepted));
    }

    /// Notes something without effect.
    pub(crate) fn warning(&self, place: &Place, text: impl Into<String>, accepted: &str) {
        self.warnings.borrow_mut().add(finding(place, text, accepted));
    }

    /// Notes something that CoreDNS has and Podway does not.
    pub(crate) fn unsupported(&self, place: &Place, what: impl fmt::Display, instead: &str) {
        match self.lenience {
            Lenience::Strict => {
                self.mistake(place, format!("{what} is not supported by Podway"), instead);
            }
            Lenience::Lenient => {
                let text = format!("{what} is not supported by Podway and left out");
                self.warning(place, text, instead);
            }
        }
    }

    /// What becomes of the unsupported.
    pub(crate) fn lenience(&self) -> Lenience {
        self.lenience
    }

    /// Whether there is a mistake.
    pub(crate) fn any(&self) -> bool {
        !self.mistakes.borrow().listed.is_empty()
    }

    /// The warnings if there is no mistake.
    pub(crate) fn into_warnings(self) -> Result<Vec<Mistake>, Mistakes> {
        let Found { listed, unlisted } = self.mistakes.into_inner();
        if listed.is_empty() {
            return Ok(self.warnings.into_inner().listed.into_iter().collect());
        }
        Err(Mistakes { mistakes: listed.into_iter().collect(), unlisted })
    }
}

/// A finding; an empty `accepted` says nothing.
fn finding(place: &Place, text: impl Into<String>, accepted: &str) -> Mistake {
    let accepted = Some(accepted.to_owned()).filter(|accepted| !accepted.is_empty());
    Mistake { place: place.clone(), text: text.into(), accepted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32) -> Place {
        Place { file: "Corefile".into(), line, column: 3 }
    }

    #[test]
    fn mistakes_are_listed_by_place_and_once() {
        let faults = Faults::new(Lenience::Strict);
        faults.mistake(&place(2), "two", "");
        faults.mistake(&place(1), "one", "1");
        faults.mistake(&place(2), "two", "");
        let mistakes = faults.into_warnings().unwrap_err();
        assert_eq!(mistakes.to_string(), "Corefile:1:3: one; accepted: 1\nCorefile:2:3: two");
    }

    #[test]
    fn a_flood_of_mistakes_is_counted_not_listed() {
        let faults = Faults::new(Lenience::Strict);
        for line in 0..502 {
            faults.mistake(&place(line), "wrong", "");
        }
        let mistakes = faults.into_warnings().unwrap_err();
        assert_eq!((mistakes.as_slice().len(), mistakes.unlisted()), (MOST_LISTED, 2));
        assert!(mistakes.to_string().ends_with("\nand 2 more"));
    }

    #[test]
    fn lenience_makes_the_unsupported_a_warning() {
        let faults = Faults::new(Lenience::Lenient);
        faults.unsupported(&place(1), "etcd", "");
        let warnings = faults.into_warnings().unwrap();
        assert_eq!(
            warnings.iter().map(Mistake::to_string).collect::<Vec<_>>(),
            ["Corefile:1:3: etcd is not supported by Podway and left out"]
        );
    }
}
