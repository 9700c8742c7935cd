//! The query as an upstream sees it, and which replies belong to it.
//!
//! It is made anew, not passed on: an id of its own, the name in small letters or mixed at random,
//! OPT of our own without the client's options, which are about the client's hop, and with those that
//! the configuration sets. A reply must
//! repeat id and question (RFC 5452 §9.1), and in datagrams the letters' case where it was mixed.

use podway_dns_cache::Key;

use crate::query::{CD, QR, RD, u16_at};
use crate::wire::{HEADER_OCTETS, OPT_TYPE};

/// The AD bit: we understand it in the reply (RFC 6840 §5.7).
const AD: u16 = 0x0020;

/// Largest datagram that upstreams may send, in octets.
///
/// 1232 octets pass every IPv6 path without fragments (DNS Flag Day 2020).
const PAYLOAD_OCTETS: u16 = 1232;

/// How the name is spelled in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// In small letters.
    Small,
    /// With the case of each letter at random.
    Mixed,
}

/// What an upstream is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) key: Key,
    pub(crate) spelling: Spelling,
    /// Whether the query has OPT.
    pub(crate) edns: bool,
}

/// A query as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The whole message.
    pub(crate) octets: Vec<u8>,
    /// Octet after the question.
    question_end: usize,
}

/// What a message is to a query that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The reply, with the name spelled as it was.
    Reply,
    /// The reply but for the case of the letters.
    OtherSpelling,
    /// An error without the question: the upstream could make nothing of the query.
    BareError,
    /// No reply to it.
    Unrelated,
}

impl Outgoing {
    /// The message under `id`.
    pub(crate) fn with_id(&self, id: u16) -> Sent {
        let flags = self.key.flags();
        let bits = AD
            | if flags.recursion_desired { RD } else { 0 }
            | if flags.checking_disabled { CD } else { 0 };
        let mut octets = Vec::with_capacity(HEADER_OCTETS + self.key.question().len() + 11);
        for field in [id, bits, 1, 0, 0, u16::from(self.edns)] {
            octets.extend_from_slice(&field.to_be_bytes());
        }
        octets.extend_from_slice(self.key.question());
        let question_end = octets.len();
        if self.spelling == Spelling::Mixed {
            let name_end = HEADER_OCTETS + self.key.name().len();
            // Octets that are lengths are below the letters.
            for letter in octets[HEADER_OCTETS..name_end].iter_mut().filter(|o| is_letter(**o)) {
                *letter ^= u8::from(rand::random::<bool>()) << 5;
            }
        }
        if self.edns {
            octets.push(0);
            octets.extend_from_slice(&OPT_TYPE.to_be_bytes());
            octets.extend_from_slice(&PAYLOAD_OCTETS.to_be_bytes());
            octets.extend_from_slice(&[0, 0, u8::from(flags.dnssec_ok) << 7, 0]);
            // Options that are longer than a message can be are none.
            let options = self.key.options();
            let length = u16::try_from(options.len()).unwrap_or(0);
            octets.extend_from_slice(&length.to_be_bytes());
            octets.extend_from_slice(&options[..usize::from(length)]);
        }
        Sent { octets, question_end }
    }
}

fn is_letter(octet: u8) -> bool {
    octet.is_ascii_lowercase()
}

impl Sent {
    /// Decides what `message` is to this query.
    pub(crate) fn judge(&self, message: &[u8]) -> Judgement {
        let (id, flags) = (u16_at(message, 0), u16_at(message, 2).unwrap_or(0));
        if id != u16_at(&self.octets, 0) || flags & QR == 0 {
            return Judgement::Unrelated;
        }
        match u16_at(message, 4) {
            Some(0) if flags & 0xF != 0 => return Judgement::BareError,
            Some(1) => {}
            _ => return Judgement::Unrelated,
        }
        let sent = &self.octets[HEADER_OCTETS..self.question_end];
        let Some(repeated) = message.get(HEADER_OCTETS..self.question_end) else {
            return Judgement::Unrelated;
        };
        let (name, rest) = sent.split_at(sent.len() - 4);
        let (repeated_name, repeated_rest) = repeated.split_at(sent.len() - 4);
        if !name.eq_ignore_ascii_case(repeated_name) || rest != repeated_rest {
            Judgement::Unrelated
        } else if name == repeated_name {
            Judgement::Reply
        } else {
            Judgement::OtherSpelling
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use podway_dns_cache::KeyFlags;

    use super::*;

    fn outgoing(spelling: Spelling, edns: bool, flags: KeyFlags) -> Outgoing {
        let key = Key::new([&b"wWw"[..], b"example"], 0x41, 1, flags);
        Outgoing { key, spelling, edns }
    }

    /// The query turned into a reply.
    fn reply(sent: &Sent, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = sent.octets.clone();
        message[2] |= 0x80;
        change(&mut message);
        message
    }

    #[test]
    fn query_has_an_opt_of_our_own_and_the_clients_wishes() {
        let plain = outgoing(Spelling::Small, false, KeyFlags::default()).with_id(0xBEEF);
        let question = b"\x03www\x07example\0\0\x41\0\x01";
        let mut expected = b"\xBE\xEF\0\x20\0\x01\0\0\0\0\0\0".to_vec();
        expected.extend_from_slice(question);
        assert_eq!(plain.octets, expected);
        let all = KeyFlags { dnssec_ok: true, checking_disabled: true, recursion_desired: true };
        let full = outgoing(Spelling::Small, true, all).with_id(0xBEEF);
        expected[2..4].copy_from_slice(&[0x01, 0x30]);
        expected[11] = 1;
        expected.extend_from_slice(&[0, 0, 41, 0x04, 0xD0, 0, 0, 0x80, 0, 0, 0]);
        assert_eq!(full.octets, expected);
    }

    #[test]
    fn mixed_letters_differ_from_query_to_query_and_nothing_else_does() {
        let outgoing = outgoing(Spelling::Mixed, true, KeyFlags::default());
        let queries: Vec<_> = (0..64).map(|_| outgoing.with_id(1).octets).collect();
        let small = Outgoing { spelling: Spelling::Small, ..outgoing }.with_id(1).octets;
        assert!(queries.iter().all(|query| query.eq_ignore_ascii_case(&small)));
        assert!(queries.iter().all(|query| query[25..] == small[25..]));
        assert!(queries.iter().collect::<BTreeSet<_>>().len() > 32);
    }

    #[test]
    fn messages_are_told_apart() {
        let sent = outgoing(Spelling::Small, false, KeyFlags::default()).with_id(9);
        let rows: [(&str, Vec<u8>, Judgement); 10] = [
            ("the reply", reply(&sent, |_| {}), Judgement::Reply),
            ("capitals", reply(&sent, |message| message[13] = b'W'), Judgement::OtherSpelling),
            ("another id", reply(&sent, |message| message[1] = 8), Judgement::Unrelated),
            ("a query", reply(&sent, |message| message[2] &= 0x7F), Judgement::Unrelated),
            ("another name", reply(&sent, |message| message[13] = b'v'), Judgement::Unrelated),
            // 'A' and 'a' as numbers: types must not be compared as letters.
            ("another type", reply(&sent, |message| message[26] = 0x61), Judgement::Unrelated),
            ("two questions", reply(&sent, |message| message[5] = 2), Judgement::Unrelated),
            ("cut", reply(&sent, |message| message.truncate(19)), Judgement::Unrelated),
            (
                "an error without question",
                reply(&sent, |message| {
                    message.truncate(12);
                    (message[3], message[5]) = (1, 0);
                }),
                Judgement::BareError,
            ),
            (
                "neither error nor question",
                reply(&sent, |message| {
                    message.truncate(12);
                    message[5] = 0;
                }),
                Judgement::Unrelated,
            ),
        ];
        assert_eq!(sent.octets[25..27], [0, 0x41]);
        for (row, message, expected) in rows {
            assert_eq!(sent.judge(&message), expected, "{row}");
        }
    }
}
