//! Cuts a stream of bytes into lines, each of which is one event.

use thiserror::Error;

/// Longest line in bytes.
///
/// 16 MiB: etcd takes no object of more than 1.5 MB, and JSON is a few times that at most. A server
/// that never ends a line must not fill the memory.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Bytes of a cut line that are kept allocated for the next one.
const KEPT_BYTES: usize = 64 << 10;

/// A line is longer than any event can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an event has more than {MAX_LINE_BYTES} bytes")]
pub(super) struct LineTooLong;

/// What came of a line that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes in `bytes` and gives every line that ends in them, without its end, to `take`.
    pub(super) fn feed<E: From<LineTooLong>>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.begun.is_empty() {
                take(line)?;
            } else {
                self.begin(line)?;
                let whole = std::mem::take(&mut self.begun);
                let taken = take(&whole);
                self.reuse(whole);
                taken?;
            }
        }
        self.begin(bytes).map_err(E::from)
    }

    /// Adds to the line that has not ended.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        if self.begun.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(LineTooLong);
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    fn reuse(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES);
        self.begun = buffer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str]) -> Vec<String> {
        let (mut lines, mut taken) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines
                .feed(chunk.as_bytes(), |line| {
                    taken.push(String::from_utf8(line.to_vec()).unwrap());
                    Ok::<_, LineTooLong>(())
                })
                .unwrap();
        }
        taken
    }

    #[test]
    fn lines_are_whole_however_the_bytes_come() {
        assert_eq!(lines(&["one\ntwo\n"]), ["one", "two"]);
        assert_eq!(lines(&["o", "ne\nt", "w", "o\n", "begun"]), ["one", "two"]);
        assert_eq!(lines(&["one", "\n", "\ntwo\n"]), ["one", "", "two"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; MAX_LINE_BYTES];
        let ignore = |_: &[u8]| Ok::<_, LineTooLong>(());
        assert_eq!(lines.feed(&chunk, ignore), Ok(()));
        assert_eq!(lines.feed(b"x", ignore), Err(LineTooLong));
    }
}
