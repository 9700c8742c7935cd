//! The query as an upstream sees it, and which replies belong to it.
//!
//! The client's octets go out unchanged but for the id and the offered size, which is lowered to
//! what this server takes; a reply must repeat id and question (RFC 5452 §9.1).

use hickory_proto::op::ResponseCode;

use crate::query::{CLASSIC_PAYLOAD_OCTETS, QR, Query, RA, TC, u16_at};
use crate::wire::HEADER_OCTETS;

/// A query ready to be sent under any id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The whole message, with the client's id.
    message: Vec<u8>,
    /// Octet after the question.
    question_end: usize,
}

/// A reply to [`Outgoing`], its id and question checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The whole message, with id and question as the client sent them.
    pub(crate) message: Vec<u8>,
}

impl Outgoing {
    /// Prepares `message`, which was read as `query`.
    pub(crate) fn new(mut message: Vec<u8>, query: &Query, largest: u16) -> Self {
        if let Some(opt) = query.opt {
            let payload = opt.payload_octets.min(largest).max(CLASSIC_PAYLOAD_OCTETS);
            message[opt.payload_at..opt.payload_at + 2].copy_from_slice(&payload.to_be_bytes());
        }
        Self { message, question_end: query.question_end }
    }

    /// The message under another id.
    pub(crate) fn with_id(&self, id: u16) -> Vec<u8> {
        let mut message = self.message.clone();
        message[..2].copy_from_slice(&id.to_be_bytes());
        message
    }

    /// Takes `message` as the reply to what was sent under `id`, if it is that.
    pub(crate) fn accept(&self, id: u16, message: &[u8]) -> Option<Reply> {
        let flags = u16_at(message, 2)?;
        if u16_at(message, 0)? != id || flags & QR == 0 || u16_at(message, 4)? != 1 {
            return None;
        }
        let sent = self.message.get(HEADER_OCTETS..self.question_end)?;
        let repeated = message.get(HEADER_OCTETS..self.question_end)?;
        let (name, type_and_class) = sent.split_at(sent.len() - 4);
        let (repeated_name, repeated_type_and_class) = repeated.split_at(sent.len() - 4);
        // Octets that are lengths are below the letters, so comparing all of them as text is exact.
        if !name.eq_ignore_ascii_case(repeated_name) || type_and_class != repeated_type_and_class {
            return None;
        }
        let mut message = message.to_vec();
        message[..2].copy_from_slice(&self.message[..2]);
        message[HEADER_OCTETS..self.question_end].copy_from_slice(sent);
        // To the client this server is the one that recurses.
        message[2..4].copy_from_slice(&(flags | RA).to_be_bytes());
        Some(Reply { message })
    }

    /// Whether `message` says, under `id` and without repeating the question, that the upstream
    /// could make nothing of the query.
    pub(crate) fn is_bare_error(&self, id: u16, message: &[u8]) -> bool {
        let is_error = |flags: u16| flags & QR != 0 && flags & 0xF != 0;
        u16_at(message, 0) == Some(id)
            && u16_at(message, 4) == Some(0)
            && u16_at(message, 2).is_some_and(is_error)
    }
}

impl Reply {
    /// The flags.
    pub(crate) fn flags(&self) -> u16 {
        u16_at(&self.message, 2).unwrap_or(0)
    }

    /// The response code, without the extension in OPT.
    pub(crate) fn rcode(&self) -> ResponseCode {
        ResponseCode::from_low(self.flags().to_be_bytes()[1] & 0xF)
    }

    /// Whether the upstream left something out.
    pub(crate) fn is_truncated(&self) -> bool {
        self.flags() & TC != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Parsed, parse};

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03wWw\0\0\x41\0\x01\
                           \0\0\x29\x10\0\0\0\0\0\0\0";

    fn outgoing() -> Outgoing {
        let Parsed::Query(query) = parse(QUERY) else { panic!("not a query") };
        Outgoing::new(QUERY.to_vec(), &query, 1232)
    }

    /// The query turned into a reply under `id`.
    fn reply(id: u16, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut message = outgoing().with_id(id);
        message[2] |= 0x80;
        change(&mut message);
        message
    }

    #[test]
    fn only_id_and_offered_size_differ_from_what_the_client_sent() {
        let sent = outgoing().with_id(0xBEEF);
        let mut expected = QUERY.to_vec();
        expected[..2].copy_from_slice(&[0xBE, 0xEF]);
        expected[24..26].copy_from_slice(&1232u16.to_be_bytes());
        assert_eq!(sent, expected);
    }

    #[test]
    fn reply_gets_the_clients_id_and_spelling_and_offers_recursion() {
        let upstream = reply(9, |message| message[12..16].copy_from_slice(b"\x03WWW"));
        let accepted = outgoing().accept(9, &upstream).unwrap();
        assert_eq!(accepted.message[..2], QUERY[..2]);
        assert_eq!(accepted.message[12..21], QUERY[12..21]);
        assert_eq!(accepted.flags(), QR | RA | 0x0100);
    }

    #[test]
    fn messages_that_are_not_the_reply_are_told_apart() {
        let outgoing = outgoing();
        let cases: [(&str, Vec<u8>); 6] = [
            ("another id", reply(8, |_| {})),
            ("a query", reply(9, |message| message[2] &= 0x7F)),
            ("another name", reply(9, |message| message[13] = b'v')),
            // 'A' and 'a' as numbers: types must not be compared as letters.
            ("another type", reply(9, |message| message[18] = 0x61)),
            ("two questions", reply(9, |message| message[5] = 2)),
            ("cut within the question", reply(9, |message| message.truncate(19))),
        ];
        for (case, message) in cases {
            assert_eq!(outgoing.accept(9, &message), None, "{case}");
        }
    }

    #[test]
    fn error_without_question_is_known_as_such() {
        let bare = |rcode: u8, id: u16| {
            let mut message = reply(id, |message| message.truncate(12));
            message[3] = rcode;
            message[5] = 0;
            message
        };
        assert!(outgoing().is_bare_error(9, &bare(1, 9)));
        assert!(!outgoing().is_bare_error(9, &bare(0, 9)));
        assert!(!outgoing().is_bare_error(9, &bare(1, 8)));
    }
}
