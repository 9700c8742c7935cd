//! Reads queries without anything unusual.

use hickory_proto::rr::RecordType;
use podway_dns_zone::AskedName;

use crate::query::{CLASS_IN, OPCODE, QR, options_add_up, u16_at};
use crate::reply::Policy;
use crate::respond::{STREAM_OCTETS, Transport};
use crate::wire::{HEADER_OCTETS, OPT_TYPE};

/// A query without anything unusual.
pub(crate) struct PlainQuery<'m> {
    pub(super) message: &'m [u8],
    pub(super) flags: u16,
    pub(super) name: AskedName,
    pub(super) qtype: RecordType,
    /// Octet after the question.
    question_end: usize,
    pub(super) opt: Option<PlainOpt>,
}

/// What the OPT record of such a query says.
#[derive(Clone, Copy)]
pub(super) struct PlainOpt {
    payload_octets: u16,
    pub(super) dnssec_ok: bool,
    has_options: bool,
}

impl<'m> PlainQuery<'m> {
    /// Reads a query of one question in class IN and at most OPT; `None` for all else.
    pub(crate) fn read(message: &'m [u8]) -> Option<Self> {
        let flags = u16_at(message, 2)?;
        let additionals = match message.get(4..HEADER_OCTETS)? {
            [0, 1, 0, 0, 0, 0, 0, additionals @ (0 | 1)] => *additionals,
            _ => return None,
        };
        if flags & (QR | OPCODE) != 0 {
            return None;
        }
        let name = AskedName::read(&message[HEADER_OCTETS..])?;
        let name_end = HEADER_OCTETS + name.octets();
        let (qtype, class) = (u16_at(message, name_end)?, u16_at(message, name_end + 2)?);
        if class != CLASS_IN {
            return None;
        }
        let question_end = name_end + 4;
        let opt = match additionals {
            0 => None,
            _ => Some(read_opt(&message[question_end..])?),
        };
        let qtype = RecordType::from(qtype);
        Some(Self { message, flags, name, qtype, question_end, opt })
    }

    /// The name asked.
    pub(crate) fn name(&self) -> &AskedName {
        &self.name
    }

    /// The type asked.
    pub(crate) fn qtype(&self) -> RecordType {
        self.qtype
    }

    /// Whether OPT has options.
    pub(crate) fn has_options(&self) -> bool {
        self.opt.is_some_and(|opt| opt.has_options)
    }

    /// Whether the DO bit is set.
    pub(crate) fn is_dnssec_ok(&self) -> bool {
        self.opt.is_some_and(|opt| opt.dnssec_ok)
    }

    /// Octets that the reply may have.
    pub(super) fn limit(&self, transport: Transport, policy: Policy) -> usize {
        match transport {
            Transport::Udp => policy.udp_limit(self.opt.map(|opt| opt.payload_octets)),
            Transport::Tcp => STREAM_OCTETS,
        }
    }

    /// The question as it stands in the query.
    pub(super) fn question(&self) -> &'m [u8] {
        &self.message[HEADER_OCTETS..self.question_end]
    }

    /// The name asked from its octet `at` on, the final zero included.
    pub(super) fn name_from(&self, at: usize) -> &'m [u8] {
        &self.message[HEADER_OCTETS + at..self.question_end - 4]
    }
}

/// Reads an OPT record of version 0 at the start of `octets`.
fn read_opt(octets: &[u8]) -> Option<PlainOpt> {
    let [0, type_high, type_low, high, low, _, 0, flags, _, data_high, data_low, rest @ ..] =
        octets
    else {
        return None;
    };
    if u16::from_be_bytes([*type_high, *type_low]) != OPT_TYPE {
        return None;
    }
    let data = rest.get(..usize::from(u16::from_be_bytes([*data_high, *data_low])))?;
    let payload_octets = u16::from_be_bytes([*high, *low]);
    let (dnssec_ok, has_options) = (flags & 0x80 != 0, !data.is_empty());
    options_add_up(data).then_some(PlainOpt { payload_octets, dnssec_ok, has_options })
}
