//! What the files of plugins are made into, and what is said when they are no good.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use arc_swap::ArcSwap;
use podway_dns_corefile::{Mistake, SourceError};
use podway_dns_plugin::load_balance::Weights;
use podway_dns_plugin::zone_file::ZoneFiles;

use crate::keeper::{self, Contents, Included};

/// The weights that a file holds; `None` where it is no good.
pub(super) fn weights(file: &str, contents: Contents) -> Option<Weights> {
    let text = readable(file, contents)?;
    Weights::parse(file, &text).map_err(|mistakes| tell(file, &mistakes)).ok()
}

/// Puts the zones of a file into force; one that is no good leaves those in force that were.
///
/// Returns the files that it includes.
pub(super) fn zones(target: &ArcSwap<ZoneFiles>, file: &str, contents: Contents) -> Included {
    let Some(text) = readable(file, contents) else { return Vec::new() };
    let included = RefCell::new(BTreeMap::new());
    let include = |path: &str| {
        let mut included = included.borrow_mut();
        let path = PathBuf::from(path);
        // Read once, however often: else one zone would be made of two states of it.
        let contents = included.entry(path.clone()).or_insert_with(|| keeper::contents(&path));
        contents.clone().map_err(|error| {
            if error == io::ErrorKind::NotFound {
                return SourceError::Missing;
            }
            SourceError::Unreadable { reason: error.to_string() }
        })
    };
    // Another file's zones may be replaced at the same time; then this is done once more.
    target.rcu(|zones| {
        let mut zones = ZoneFiles::clone(zones);
        match zones.load(file, &text, &include) {
            Ok(load) => tell(file, &load.warnings),
            Err(mistakes) => tell(file, &mistakes),
        }
        zones
    });
    included.into_inner().into_iter().collect()
}

/// What a file holds; `None` where it cannot be read.
pub(super) fn readable(file: &str, contents: Contents) -> Option<Vec<u8>> {
    contents
        .map_err(|error| {
            tracing::warn!(file, %error, "a file of the Corefile cannot be read and changes nothing");
        })
        .ok()
}

/// Says what is wrong with a file.
pub(super) fn tell(file: &str, mistakes: &[Mistake]) {
    for mistake in mistakes {
        tracing::warn!(file, %mistake, "a file of the Corefile has a mistake");
    }
}
