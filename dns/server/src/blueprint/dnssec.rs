//! The keys of `dnssec`, from their files.

use std::num::NonZeroUsize;

use podway_dns_corefile::{Place, plugin};
use podway_dns_sign::{Key, Signer};

use super::reports::Reports;

/// What signs answers as `own` says; `None` where it cannot.
pub(super) fn signer(own: &plugin::Dnssec, place: &Place, reports: &Reports) -> Option<Signer> {
    let mut keys = Vec::new();
    let mut complete = true;
    for stem in &own.keys {
        match key(stem) {
            Ok(key) => keys.push(key),
            Err(problem) => {
                let accepted = "the files NAME.key and NAME.private of BIND's tools";
                reports.mistake(place, format!("dnssec: {problem}"), accepted);
                complete = false;
            }
        }
    }
    if !complete {
        return None;
    }
    for key in &keys {
        if let Ok(ds) = key.ds() {
            tracing::info!(zone = %key.owner(), %ds, "answers are signed; the zone above has to have this");
        }
    }
    let zones: Vec<_> = own.zones.iter().map(|zone| zone.name().clone()).collect();
    let kept = NonZeroUsize::new(own.cache_capacity).unwrap_or(NonZeroUsize::MIN);
    Signer::new(&zones, keys, kept)
        .map_err(|error| {
            reports.mistake(place, format!("dnssec: {error}"), "zones, each with a key of its own");
        })
        .ok()
}

/// Reads the two files of a key.
fn key(stem: &str) -> Result<Key, String> {
    let read = |ending: &str| {
        let file = format!("{stem}.{ending}");
        std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))
    };
    Key::read(&read("key")?, &read("private")?).map_err(|error| format!("{stem}: {error}"))
}
