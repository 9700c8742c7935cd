//! Errors with their causes, in one line.

use std::error::Error;
use std::fmt;
use std::iter::successors;

/// Prints an error and everything behind it: `outer: inner: innermost`.
///
/// No error of ours has its source in its own text; those of some libraries do, and so each is said
/// once.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        formatter.write_str(&said)?;
        for cause in successors(self.0.source(), |&error| error.source()) {
            let text = cause.to_string();
            if !said.ends_with(&text) {
                write!(formatter, ": {text}")?;
                said = text;
            }
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

    #[derive(Debug, Error)]
    #[error("not read: {0}")]
    struct Repeating(#[source] Middle);

    #[test]
    fn every_cause_is_printed_once() {
        let error = Outer(Middle(std::io::Error::other("no such file")));
        assert_eq!(
            Chain(&error).to_string(),
            "table ip podway was not written: batch of 3 messages refused: no such file"
        );
        let error = Repeating(Middle(std::io::Error::other("no such file")));
        assert_eq!(
            Chain(&error).to_string(),
            "not read: batch of 3 messages refused: no such file"
        );
    }
}
