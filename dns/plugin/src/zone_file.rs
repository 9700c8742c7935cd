//! `file`: zones answered from master files.
//!
//! Rules: RFC 1034, section 4.3.2; RFC 2308 for denials; RFC 4592 for wildcards; RFC 6672 for DNAME;
//! RFC 8020 for names between others. An alias that leads out of the zone, or below a delegation,
//! is followed by the caller. Questions of type ANY get one set of records (RFC 8482, section 4.1).
//! Signatures in a file are records like others: they are given to those who ask for their type, and
//! not beside what they sign.
//!
//! | module | owns |
//! |---|---|
//! | `load` | files to records, included ones too |
//! | `build` | records to a zone, and what must not be in one |
//! | `zone` | the names of a zone, and what stands at them |
//! | `lookup` | which of them a question is about, and the reply |

mod build;
mod load;
mod lookup;
mod zone;

use std::sync::Arc;

use hickory_proto::op::Query;
use hickory_proto::rr::Name;
use podway_dns_corefile::plugin::{self, ZoneFileChange};

use crate::reply::of_internet;
use crate::{Outcome, Reply};
pub use load::{Include, Loaded, parse};
use lookup::Found;
pub use zone::Zone;

use podway_dns_corefile::Mistake;

/// The zone files of a server block.
///
/// A clone shares the zones, so that one with another content can take its place.
#[derive(Debug, Clone, Default)]
pub struct ZoneFiles(Vec<Slot>);

/// One zone, and the line that it stands in.
#[derive(Debug, Clone)]
struct Slot {
    origin: Name,
    line: Arc<plugin::ZoneFile>,
    /// `None` until the file has been read once without mistakes.
    zone: Option<Arc<Zone>>,
}

/// What became of the zones of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Whether a zone is another one now.
    pub changed: bool,
    /// What has no effect in the file.
    pub warnings: Vec<Mistake>,
}

impl ZoneFiles {
    /// The zones of these lines, all of them without content.
    pub fn new<'c>(lines: impl IntoIterator<Item = &'c plugin::ZoneFile>) -> Self {
        let mut slots = Vec::new();
        for line in lines {
            let line = Arc::new(line.clone());
            for zone in &line.zones {
                let (origin, line) = (zone.name().clone(), Arc::clone(&line));
                slots.push(Slot { origin, line, zone: None });
            }
        }
        Self(slots)
    }

    /// The files, each once.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = Vec::new();
        for slot in &self.0 {
            if !files.contains(&slot.line.file.as_str()) {
                files.push(&slot.line.file);
            }
        }
        files
    }

    /// Takes the text of `file` as the content of its zones.
    ///
    /// Where the line goes by serials, a zone with the serial that it has already stays as it is.
    ///
    /// # Errors
    /// Every mistake with its line; then all zones of the file stay as they are.
    pub fn load(
        &mut self,
        file: &str,
        text: &[u8],
        include: Include<'_>,
    ) -> Result<Load, Vec<Mistake>> {
        let mut load = Load { changed: false, warnings: Vec::new() };
        let mut mistakes: Vec<Mistake> = Vec::new();
        let mut replaced = self.0.clone();
        for slot in replaced.iter_mut().filter(|slot| slot.line.file == file) {
            match parse(file, text, &slot.origin, include) {
                Ok(Loaded { zone, warnings }) => {
                    load.warnings.extend(warnings);
                    if slot.takes(&zone) {
                        slot.zone = Some(Arc::new(zone));
                        load.changed = true;
                    }
                }
                // A file of several zones has most of its mistakes in each of them.
                Err(found) => {
                    mistakes.extend(found);
                    mistakes.sort_unstable();
                    mistakes.dedup();
                }
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        self.0 = replaced;
        Ok(load)
    }

    /// The zone with this origin, if it has content.
    #[must_use]
    pub fn zone(&self, origin: &Name) -> Option<&Arc<Zone>> {
        self.0.iter().find(|slot| slot.origin == *origin)?.zone.as_ref()
    }

    /// Answers a question from the smallest zone that its name is in.
    #[must_use]
    pub fn answer(&self, question: &Query) -> Outcome {
        let around = |slot: &&Slot| slot.origin.zone_of(&question.name);
        let slot = self.0.iter().filter(around).max_by_key(|slot| slot.origin.iter().len());
        let Some(slot) = slot.filter(|_slot| of_internet(question)) else { return Outcome::Next };
        let Some(zone) = &slot.zone else { return Outcome::Reply(Reply::failure()) };
        match zone.find(question) {
            Found::Missing(_) if slot.line.fallthrough.covers(&question.name) => Outcome::Next,
            Found::Missing(reply) | Found::Reply(reply) => Outcome::Reply(reply),
            Found::Follow(follow) => Outcome::Follow(follow),
        }
    }
}

impl Slot {
    /// Whether `zone` takes the place of what there is.
    fn takes(&self, zone: &Zone) -> bool {
        match (&self.zone, self.line.change) {
            (None, _) | (Some(_), ZoneFileChange::ModificationTime) => true,
            (Some(old), ZoneFileChange::Serial) => old.serial() != zone.serial(),
        }
    }
}

#[cfg(test)]
mod tests;
