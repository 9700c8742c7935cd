//! What holds of every file that somebody may take for a Corefile, however malformed.
//!
//! Shared by the property tests and the fuzz target.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use podway_dns_corefile::{Lenience, SourceError, Sources, read};

/// Sources in which every file has the same contents and every variable the same value.
struct Same<'a>(&'a [u8]);

impl Sources for Same<'_> {
    fn variable(&self, _: &str) -> Option<String> {
        Some("{$X} \"".to_owned())
    }

    fn read(&self, _: &str) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.to_vec())
    }

    fn list(&self, _: &str) -> Result<Vec<String>, SourceError> {
        Ok(vec!["one".to_owned(), "two".to_owned()])
    }
}

/// Reads in both ways; mistakes must lie in the file, and a configuration must say something.
pub(crate) fn check(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for lenience in [Lenience::Strict, Lenience::Lenient] {
        match read("Corefile", bytes, &Same(bytes), lenience) {
            Ok(reading) => assert!(!reading.config.to_string().is_empty()),
            Err(mistakes) => {
                assert!(!mistakes.as_slice().is_empty());
                for mistake in mistakes.as_slice() {
                    let line = usize::try_from(mistake.place.line).unwrap();
                    assert!((1..=lines).contains(&line), "{mistake}");
                    assert!(mistake.place.column >= 1, "{mistake}");
                }
            }
        }
    }
}
