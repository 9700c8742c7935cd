//! One line about one reply, in the format that the Corefile gives.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name};
use podway_dns_corefile::plugin::{LogField, LogFormat, LogPart, ResponseClass};

use super::Seen;
use crate::metrics::{rcode_label, rcode_place};
use crate::query::{AA, CD, Parsed, QR, Query, RA, RD, TC, parse, u16_at};
use crate::respond::{Source, Transport};

/// The AD bit of the flags.
const AD: u16 = 0x0020;

/// Flags of a reply by their names, in the order of the bits.
const FLAGS: [(u16, &str); 7] =
    [(QR, "qr"), (AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (AD, "ad"), (CD, "cd")];

/// What a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is data.
    Success,
    /// There is no such name.
    NoName,
    /// There is no data.
    NoData,
    /// The server could not say.
    Error,
}

impl Kind {
    /// The class that lines are chosen by.
    pub(super) fn class(self) -> ResponseClass {
        match self {
            Self::Success => ResponseClass::Success,
            Self::NoName | Self::NoData => ResponseClass::Denial,
            Self::Error => ResponseClass::Error,
        }
    }
}

/// Everything that a line can say.
#[derive(Debug)]
pub(super) struct Facts<'s> {
    seen: &'s Seen<'s>,
    query: Query,
    /// The name asked.
    pub(super) name: Name,
    /// What the reply is.
    pub(super) kind: Kind,
    rcode: ResponseCode,
    flags: u16,
}

impl<'s> Facts<'s> {
    /// Reads query and reply; `None` where the query has no question.
    pub(super) fn read(seen: &'s Seen<'s>) -> Option<Self> {
        let Parsed::Query(query) = parse(seen.query) else { return None };
        let flags = u16_at(seen.reply, 2)?;
        let [_, low] = flags.to_be_bytes();
        let rcode = ResponseCode::from_low(low & 0xF);
        let answers = u16_at(seen.reply, 6)?;
        let kind = if rcode == ResponseCode::NXDomain {
            Kind::NoName
        } else if rcode != ResponseCode::NoError {
            Kind::Error
        } else if answers == 0 {
            Kind::NoData
        } else {
            Kind::Success
        };
        Some(Self { seen, name: query.question.name.clone(), query, kind, rcode, flags })
    }

    /// The line of `log`.
    pub(super) fn line(&self, format: &LogFormat) -> String {
        let mut line = String::new();
        for part in format.parts() {
            match part {
                LogPart::Text(text) => line.push_str(text),
                LogPart::Field(field) => self.field(*field, &mut line),
            }
        }
        line
    }

    /// The line of `errors`.
    pub(super) fn failure(&self) -> String {
        let reason = match self.seen.source {
            Source::Upstream => "no upstream has a good reply",
            Source::Zone => "the cluster is not known yet, or an alias leads nowhere",
            Source::Plugin => "a plugin has no answer",
            Source::Protocol => "the query could not be answered",
        };
        format!("{} {} {}: {reason}", self.rcode.low(), self.name, self.query.question.qtype)
    }

    /// Appends one fact.
    fn field(&self, field: LogField, line: &mut String) {
        let Self { seen, query, .. } = self;
        let question = &query.question;
        let mut put = |value: &dyn std::fmt::Display| line.push_str(&value.to_string());
        match field {
            LogField::Type => put(&question.qtype),
            LogField::Name => put(&question.name.to_lowercase()),
            LogField::Class => put(&DNSClass::from(question.class)),
            LogField::Protocol => put(&match seen.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            }),
            LogField::Remote => put(&host(seen.client)),
            LogField::Local => put(&host(seen.server)),
            LogField::Port => put(&seen.client.port()),
            LogField::QuerySize => put(&seen.query.len()),
            LogField::ReplySize => put(&seen.reply.len()),
            LogField::Duration => put(&format_args!("{:.9}s", seen.duration.as_secs_f64())),
            LogField::Rcode => put(&rcode_label(rcode_place(self.rcode))),
            LogField::ReplyFlags => put(&self.flags_text()),
            LogField::BufferSize => put(&query.offered_octets().unwrap_or(512).max(512)),
            LogField::DnssecOk => put(&query.opt.is_some_and(|opt| opt.dnssec_ok)),
            LogField::Id => put(&query.id),
            // No other operation gets as far as this.
            LogField::Opcode => put(&0),
            LogField::ReplyClass => put(&match self.kind {
                Kind::Success => "success",
                Kind::NoName | Kind::NoData => "denial",
                Kind::Error => "error",
            }),
            LogField::ReplyType => put(&match self.kind {
                Kind::Success => "NOERROR",
                Kind::NoName => "NXDOMAIN",
                Kind::NoData => "NODATA",
                Kind::Error => "OTHERERROR",
            }),
        }
    }

    /// The flags of the reply, with commas between.
    fn flags_text(&self) -> String {
        let set = FLAGS.iter().filter(|(bit, _)| self.flags & bit != 0);
        set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    }
}

/// An address; IPv6 in brackets, since a port follows.
fn host(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn line_of_the_common_format_is_that_of_coredns() {
        let query = b"\x00\x07\x01\x00\0\x01\0\0\0\0\0\0\x03WeB\x07example\0\0\x01\0\x01";
        let mut reply = query.to_vec();
        (reply[2], reply[3]) = (0x85, 0x83);
        let seen = Seen {
            query,
            reply: &reply,
            client: "[2001:db8::1]:40000".parse().unwrap(),
            server: "192.0.2.1:53".parse().unwrap(),
            transport: Transport::Udp,
            duration: Duration::from_micros(1500),
            source: Source::Zone,
        };
        let facts = Facts::read(&seen).unwrap();
        assert_eq!(
            facts.line(&LogFormat::default()),
            "[2001:db8::1]:40000 - 7 \"A IN web.example. udp 29 false 512\" NXDOMAIN qr,aa,rd,ra 29 \
             0.001500000s"
        );
        assert_eq!(facts.kind.class(), ResponseClass::Denial);
    }
}
