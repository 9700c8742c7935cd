//! What of a Corefile cannot be served, or has less effect than one may think.

use std::cell::RefCell;

use podway_dns_corefile::{Lenience, Mistake, Place};

use super::NotServed;

/// Collects findings while a blueprint is made.
#[derive(Debug)]
pub(super) struct Reports {
    lenience: Lenience,
    refused: RefCell<Vec<Mistake>>,
    notes: RefCell<Vec<Mistake>>,
}

impl Reports {
    /// Nothing found yet.
    pub(super) fn new(lenience: Lenience) -> Self {
        Self { lenience, refused: RefCell::default(), notes: RefCell::default() }
    }

    /// Notes something that cannot be done, whatever one is ready to do without.
    pub(super) fn mistake(&self, place: &Place, text: impl Into<String>, accepted: &str) {
        self.refused.borrow_mut().push(finding(place, text, accepted));
    }

    /// Notes something that is not served yet: a mistake, or left out where one asked for that.
    pub(super) fn unserved(&self, place: &Place, what: &str, instead: &str) {
        match self.lenience {
            Lenience::Strict => {
                self.mistake(place, format!("{what} is not served by Podway"), instead);
            }
            Lenience::Lenient => {
                self.note(place, format!("{what} is not served by Podway and left out"));
            }
        }
    }

    /// Notes something that has less effect than one may think.
    pub(super) fn note(&self, place: &Place, text: impl Into<String>) {
        self.notes.borrow_mut().push(finding(place, text, ""));
    }

    /// The notes, if nothing is refused.
    pub(super) fn into_notes(self) -> Result<Vec<Mistake>, NotServed> {
        let sorted = |found: RefCell<Vec<Mistake>>| {
            let mut found = found.into_inner();
            found.sort();
            found.dedup();
            found
        };
        let refused = sorted(self.refused);
        if refused.is_empty() { Ok(sorted(self.notes)) } else { Err(NotServed(refused)) }
    }
}

/// A finding; an empty `accepted` says nothing.
fn finding(place: &Place, text: impl Into<String>, accepted: &str) -> Mistake {
    let accepted = Some(accepted.to_owned()).filter(|accepted| !accepted.is_empty());
    Mistake { place: place.clone(), text: text.into(), accepted }
}
