//! Prints an error with its causes.

use std::error::Error;
use std::fmt;

/// Prints an error and everything behind it: `outer: inner: innermost`.
///
/// No error's own text contains its source, so each is said once.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("table ip podway was not written")]
    struct Outer(#[source] Middle);

    #[derive(Debug, Error)]
    #[error("batch of 3 messages refused")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn every_cause_is_printed_once() {
        let error = Outer(Middle(std::io::Error::other("no such file")));
        assert_eq!(
            Chain(&error).to_string(),
            "table ip podway was not written: batch of 3 messages refused: no such file"
        );
    }
}
