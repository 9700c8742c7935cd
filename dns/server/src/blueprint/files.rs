//! What the files of plugins are made into, and what is said when they are no good.

use std::io;

use podway_dns_corefile::Mistake;
use podway_dns_plugin::load_balance::Weights;

/// The weights that a file holds; `None` where it is no good.
pub(super) fn weights(file: &str, contents: Result<Vec<u8>, io::ErrorKind>) -> Option<Weights> {
    let text = readable(file, contents)?;
    Weights::parse(file, &text).map_err(|mistakes| tell(file, &mistakes)).ok()
}

/// What a file holds; `None` where it cannot be read.
pub(super) fn readable(file: &str, contents: Result<Vec<u8>, io::ErrorKind>) -> Option<Vec<u8>> {
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
