//! Names in messages: following pointers when reading.

use crate::response::ReadError;

/// Longest name, in octets (RFC 1035 §2.3.4).
const MAX_NAME_OCTETS: usize = 255;

/// Appends the name at `at`, spelled out, to `out`; returns the place after it in the message.
///
/// Every pointer must lead backward, so that no message can make this run in circles.
pub(crate) fn read(message: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, ReadError> {
    let start = out.len();
    let mut place = at;
    // Where the run of labels began that is being read: pointers lead to before it.
    let mut run = at;
    let mut after = None;
    loop {
        let length = *message.get(place).ok_or(ReadError::Short)?;
        match length {
            0 => {
                out.push(0);
                return Ok(after.unwrap_or(place + 1));
            }
            1..=0x3F => {
                let end = place + 1 + usize::from(length);
                out.extend_from_slice(message.get(place..end).ok_or(ReadError::Short)?);
                // The root is still to come.
                if out.len() - start >= MAX_NAME_OCTETS {
                    return Err(ReadError::Name);
                }
                place = end;
            }
            0xC0.. => {
                let low = *message.get(place + 1).ok_or(ReadError::Short)?;
                let target = usize::from(u16::from_be_bytes([length & 0x3F, low]));
                if target >= run {
                    return Err(ReadError::Name);
                }
                after = after.or(Some(place + 2));
                (place, run) = (target, target);
            }
            0x40..=0xBF => return Err(ReadError::Name),
        }
    }
}

/// The places in a spelled-out name where its labels start, the root left out.
pub(crate) fn labels(name: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = *name.get(at).filter(|length| **length != 0)?;
        let label = at;
        at += 1 + usize::from(length);
        Some(label)
    })
}
