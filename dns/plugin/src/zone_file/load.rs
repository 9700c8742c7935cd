//! Files to records, included ones too.

use std::sync::Arc;

use hickory_proto::rr::Name;
use podway_dns_corefile::{Mistake, Place, SourceError};

use super::Zone;
use super::build::{Builder, Findings};
use crate::master::{Fault, Item, Lexer, Reader};

/// Shows a file that another one includes, by its path.
pub type Include<'i> = &'i dyn Fn(&str) -> Result<Vec<u8>, SourceError>;

/// Most files in one another.
const DEEPEST_INCLUDE: usize = 7;

/// Most files that a zone is read from: a few that include each other over and over would be read
/// thousands of times.
const MOST_FILES: usize = 1000;

/// Most entries of a zone, so that a file which includes another many times cannot exhaust a node.
const MOST_ENTRIES: usize = 5_000_000;

/// A zone and what has no effect in its file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The zone.
    pub zone: Zone,
    /// What has no effect, in order of place.
    pub warnings: Vec<Mistake>,
}

/// Reads the text of the file `file` as the zone `origin`.
///
/// # Errors
/// Every mistake with its line, in order of place.
pub fn parse(
    file: &str,
    text: &[u8],
    origin: &Name,
    include: Include<'_>,
) -> Result<Loaded, Vec<Mistake>> {
    let mut origin = origin.to_lowercase();
    origin.set_fqdn(true);
    let file: Arc<str> = file.into();
    let reader = Reader::new(origin.clone());
    let mut loader = Loader {
        builder: Builder::new(origin),
        findings: Findings::default(),
        include,
        open: Vec::new(),
        files: 0,
        entries: 0,
    };
    loader.read(&file, text, reader);
    let Loader { builder, mut findings, .. } = loader;
    let zone = builder.zone(&file, &mut findings);
    let Findings { mistakes, warnings } = findings;
    match zone {
        Some(zone) if mistakes.is_empty() => Ok(Loaded { zone, warnings: warnings.listed() }),
        Some(_) | None => Err(mistakes.listed()),
    }
}

/// Reads the files of one zone.
struct Loader<'i> {
    builder: Builder,
    findings: Findings,
    include: Include<'i>,
    /// The file that is being read, behind those that include it.
    open: Vec<Arc<str>>,
    files: usize,
    entries: usize,
}

impl Loader<'_> {
    /// Reads a file and what it includes; returns the reader as it is at the end.
    fn read(&mut self, file: &Arc<str>, text: &[u8], mut reader: Reader) -> Reader {
        self.open.push(Arc::clone(file));
        self.files += 1;
        let mut lexer = Lexer::new(text);
        while let Some(entry) = lexer.next_entry() {
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                let fault =
                    Fault::at((1, 1), format!("there are more than {MOST_ENTRIES} entries"), "");
                self.findings.mistakes.add(mistake(file, fault));
                break;
            }
            let line = entry.as_ref().map_or(0, |entry| entry.line);
            match entry.and_then(|entry| reader.read(&entry)) {
                Ok(Item::Nothing) => {}
                Ok(Item::Record(record)) => {
                    let place = Place { file: Arc::clone(file), line, column: 1 };
                    self.builder.add(record, place, &mut self.findings);
                }
                Ok(Item::Include { file: path, origin, place }) => {
                    if let Err(fault) = self.include(file, &path, &mut reader, origin) {
                        let fault = Fault::at(place, fault, "");
                        self.findings.mistakes.add(mistake(file, fault));
                    }
                }
                Err(fault) => self.findings.mistakes.add(mistake(file, fault)),
            }
        }
        self.open.pop();
        reader
    }

    /// Reads an included file.
    fn include(
        &mut self,
        file: &str,
        path: &str,
        reader: &mut Reader,
        origin: Name,
    ) -> Result<(), String> {
        if self.open.len() > DEEPEST_INCLUDE {
            return Err(format!("{path:?} is the file no. {} in one another", self.open.len() + 1));
        }
        let path = beside(file, path);
        if self.open.iter().any(|open| **open == *path) {
            return Err(format!("{path:?} includes itself"));
        }
        if self.files >= MOST_FILES {
            return Err(format!("{path:?} is one more than {MOST_FILES} files"));
        }
        let text = (self.include)(&path).map_err(|error| format!("{path:?}: {error}"))?;
        let included = reader.included(origin);
        let included = self.read(&path.into(), &text, included);
        reader.resume(&included);
        Ok(())
    }
}

/// The path of an included file: beside the file that names it, unless it is absolute.
fn beside(file: &str, path: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        Some(_) | None => path.to_owned(),
    }
}

/// A fault of a file.
fn mistake(file: &Arc<str>, fault: Fault) -> Mistake {
    let Fault { line, column, text, accepted } = fault;
    let place = Place { file: Arc::clone(file), line, column };
    Mistake { place, text, accepted: Some(accepted).filter(|accepted| !accepted.is_empty()) }
}
