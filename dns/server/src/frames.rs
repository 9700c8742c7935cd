//! Cuts a stream into messages: each has its length before it (RFC 1035 §4.2.2). Pure.

/// Octets before a message that say how long it is.
const LENGTH_OCTETS: usize = 2;

/// Room for what arrives at once.
///
/// 2 KiB: several ordinary queries.
const READ_OCTETS: usize = 2048;

/// Octets of a stream that have arrived and are not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// Octets at the start of `buffer` that are taken.
    taken: usize,
}

impl Frames {
    /// Where to append what arrives.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.reserve(READ_OCTETS);
        &mut self.buffer
    }

    /// Whether a whole message is there.
    pub(crate) fn is_ready(&self) -> bool {
        self.end().is_some_and(|end| end <= self.buffer.len())
    }

    /// Octets of the next message, if they are known.
    pub(crate) fn announced(&self) -> Option<usize> {
        Some(self.end()? - self.taken - LENGTH_OCTETS)
    }

    /// Takes a message, if it has arrived as a whole.
    pub(crate) fn take(&mut self) -> Option<&[u8]> {
        let start = self.taken + LENGTH_OCTETS;
        let end = self.end().filter(|end| *end <= self.buffer.len())?;
        self.taken = end;
        Some(&self.buffer[start..end])
    }

    /// Where the next message ends, if its length is known.
    fn end(&self) -> Option<usize> {
        let length = self.buffer.get(self.taken..self.taken + LENGTH_OCTETS)?;
        let octets = u16::from_be_bytes([length[0], length[1]]);
        Some(self.taken + LENGTH_OCTETS + usize::from(octets))
    }
}

/// Puts the length before a message, so that both leave in one segment.
///
/// A message over 65,535 octets has no length and is not made by anything here: `None`.
pub(crate) fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let octets = u16::try_from(message.len()).ok()?;
    Some([&octets.to_be_bytes()[..], message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        let stream = [&framed(b"first").unwrap()[..], &framed(b"").unwrap(), b"\0\x06second"];
        let stream = stream.concat();
        for step in 1..=stream.len() {
            let mut frames = Frames::default();
            let mut taken = Vec::new();
            for chunk in stream.chunks(step) {
                frames.buffer().extend_from_slice(chunk);
                while let Some(message) = frames.take() {
                    taken.push(message.to_vec());
                }
            }
            assert_eq!(taken, [&b"first"[..], b"", b"second"], "in steps of {step}");
            assert!(!frames.is_ready());
        }
    }

    #[test]
    fn length_over_16_bits_is_refused() {
        assert_eq!(framed(&vec![0; 65_536]), None);
        assert_eq!(framed(&vec![0; 65_535]).map(|framed| framed.len()), Some(65_537));
    }
}
