//! Labels with a fixed set of values, so that no peer can make labels up.

use std::fmt;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A text of the configuration as a label, cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LabelText(Arc<str>);

impl From<&str> for LabelText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl EncodeLabelValue for LabelText {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// What all the rest is called.
pub(super) const OTHER: &str = "other";

/// The types that CoreDNS tells apart, those asked for most first.
pub(super) const QTYPES: [(RecordType, &str); 19] = [
    (RecordType::A, "A"),
    (RecordType::AAAA, "AAAA"),
    (RecordType::SRV, "SRV"),
    (RecordType::PTR, "PTR"),
    (RecordType::HTTPS, "HTTPS"),
    (RecordType::TXT, "TXT"),
    (RecordType::MX, "MX"),
    (RecordType::SOA, "SOA"),
    (RecordType::CNAME, "CNAME"),
    (RecordType::NS, "NS"),
    (RecordType::SVCB, "SVCB"),
    (RecordType::ANY, "ANY"),
    (RecordType::AXFR, "AXFR"),
    (RecordType::IXFR, "IXFR"),
    (RecordType::DS, "DS"),
    (RecordType::DNSKEY, "DNSKEY"),
    (RecordType::RRSIG, "RRSIG"),
    (RecordType::NSEC, "NSEC"),
    (RecordType::NSEC3, "NSEC3"),
];

/// The response codes by their usual names, those given most first.
pub(super) const RCODES: [(ResponseCode, &str); 10] = [
    (ResponseCode::NoError, "NOERROR"),
    (ResponseCode::NXDomain, "NXDOMAIN"),
    (ResponseCode::ServFail, "SERVFAIL"),
    (ResponseCode::FormErr, "FORMERR"),
    (ResponseCode::NotImp, "NOTIMP"),
    (ResponseCode::Refused, "REFUSED"),
    (ResponseCode::BADVERS, "BADVERS"),
    (ResponseCode::NotAuth, "NOTAUTH"),
    (ResponseCode::NotZone, "NOTZONE"),
    (ResponseCode::BADCOOKIE, "BADCOOKIE"),
];

/// Place of a type in [`QTYPES`], or behind the last.
pub(super) fn qtype_place(qtype: Option<RecordType>) -> usize {
    let place = QTYPES.iter().position(|(known, _)| Some(*known) == qtype);
    place.unwrap_or(QTYPES.len())
}

/// Place of a response code in [`RCODES`], or behind the last.
pub(crate) fn rcode_place(rcode: ResponseCode) -> usize {
    RCODES.iter().position(|(known, _)| *known == rcode).unwrap_or(RCODES.len())
}

/// The label at a place of [`QTYPES`].
pub(super) fn qtype_label(place: usize) -> &'static str {
    QTYPES.get(place).map_or(OTHER, |(_, label)| label)
}

/// The label at a place of [`RCODES`].
pub(crate) fn rcode_label(place: usize) -> &'static str {
    RCODES.get(place).map_or(OTHER, |(_, label)| label)
}
