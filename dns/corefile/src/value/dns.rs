//! Words of the DNS protocol: record types, classes, response codes.

use std::str::FromStr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};

use super::Refusal;

/// Response codes by the names that zone tools print.
const RCODES: &[(&str, ResponseCode)] = &[
    ("NOERROR", ResponseCode::NoError),
    ("FORMERR", ResponseCode::FormErr),
    ("SERVFAIL", ResponseCode::ServFail),
    ("NXDOMAIN", ResponseCode::NXDomain),
    ("NOTIMP", ResponseCode::NotImp),
    ("REFUSED", ResponseCode::Refused),
    ("YXDOMAIN", ResponseCode::YXDomain),
    ("YXRRSET", ResponseCode::YXRRSet),
    ("NXRRSET", ResponseCode::NXRRSet),
    ("NOTAUTH", ResponseCode::NotAuth),
    ("NOTZONE", ResponseCode::NotZone),
    ("BADSIG", ResponseCode::BADSIG),
    ("BADKEY", ResponseCode::BADKEY),
    ("BADTIME", ResponseCode::BADTIME),
    ("BADMODE", ResponseCode::BADMODE),
    ("BADNAME", ResponseCode::BADNAME),
    ("BADALG", ResponseCode::BADALG),
    ("BADTRUNC", ResponseCode::BADTRUNC),
    ("BADCOOKIE", ResponseCode::BADCOOKIE),
];

/// Reads a response code by name in any letter case, or by number.
pub(crate) fn rcode(text: &str) -> Result<ResponseCode, Refusal> {
    let by_name = RCODES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let by_number = || {
        let number = text.parse::<u16>().ok()?;
        RCODES.iter().find(|(_, code)| u16::from(*code) == number)
    };
    by_name.or_else(by_number).map(|(_, code)| *code).ok_or_else(|| {
        let names: Vec<&str> = RCODES.iter().map(|(name, _)| *name).collect();
        Refusal::new("is no response code", names.join(", "))
    })
}

/// The name of a response code.
pub(crate) fn rcode_name(code: ResponseCode) -> &'static str {
    let found = RCODES.iter().find(|(_, known)| *known == code);
    found.map_or("unknown", |(name, _)| name)
}

/// Reads a record type by name in any letter case, or as `TYPE65280` (RFC 3597, section 5).
pub(crate) fn record_type(text: &str) -> Result<RecordType, Refusal> {
    let upper = text.to_ascii_uppercase();
    let by_number = || {
        let number = upper.strip_prefix("TYPE")?.parse::<u16>().ok()?;
        Some(RecordType::from(number))
    };
    RecordType::from_str(&upper).ok().or_else(by_number).ok_or_else(|| {
        Refusal::new("is no record type", "a type such as A, AAAA, SRV, ANY or TYPE65280")
    })
}

/// Reads a class by name in any letter case.
pub(crate) fn class(text: &str) -> Result<DNSClass, Refusal> {
    DNSClass::from_str(&text.to_ascii_uppercase())
        .or(Err(Refusal::new("is no class", "IN, CH, HS, ANY")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_protocol_are_read_in_any_case() {
        assert_eq!(rcode("nxdomain"), Ok(ResponseCode::NXDomain));
        assert_eq!(rcode("5"), Ok(ResponseCode::Refused));
        assert!(rcode("11").is_err() && rcode("x").is_err());
        assert_eq!(record_type("aaaa"), Ok(RecordType::AAAA));
        assert_eq!(record_type("TYPE1"), Ok(RecordType::A));
        assert!(record_type("TYPE65536").is_err() && record_type("").is_err());
        assert_eq!(class("any"), Ok(DNSClass::ANY));
        assert!(class("XX").is_err());
    }

    #[test]
    fn every_response_code_is_called_as_it_is_read() {
        for (name, code) in RCODES {
            assert_eq!((rcode(name), rcode_name(*code)), (Ok(*code), *name));
        }
    }
}
