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
