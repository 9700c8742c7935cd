//! Which fields the data of each type has.
//!
//! Data is written in octets by its fields, then hickory-proto says what those mean; so a type is
//! known here by one row. Types that are in no row are given as `\# LENGTH HEX` (RFC 3597,
//! section 5), which is accepted for all.

use std::str::FromStr;

use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};

use super::Fault;
use super::fields::{self, Field, Words};
use super::lexer::Token;

/// The fields of a type.
struct Shape {
    record_type: u16,
    name: &'static str,
    fields: &'static [Field],
}

/// Makes rows of the table.
macro_rules! shapes {
    ($($number:literal $name:ident: $($field:ident)+;)+) => {
        &[$(Shape {
            record_type: $number,
            name: stringify!($name),
            fields: &[$(Field::$field),+],
        }),+]
    };
}

/// Numbers, names and fields of all types with a form of their own.
const SHAPES: &[Shape] = shapes! {
    1 A: Ipv4;
    2 NS: Name;
    5 CNAME: Name;
    6 SOA: Name Name Number32 Time Time Time Time;
    12 PTR: Name;
    13 HINFO: Text Text;
    15 MX: Number16 Name;
    16 TXT: Texts;
    17 RP: Name Name;
    18 AFSDB: Number16 Name;
    28 AAAA: Ipv6;
    33 SRV: Number16 Number16 Number16 Name;
    35 NAPTR: Number16 Number16 Text Text Text Name;
    36 KX: Number16 Name;
    37 CERT: Number16 Number16 Number8 Base64;
    39 DNAME: Name;
    43 DS: Number16 Number8 Number8 Hex;
    44 SSHFP: Number8 Number8 Hex;
    46 RRSIG: Type Number8 Number8 Number32 Moment Moment Number16 Name Base64;
    47 NSEC: Name Types;
    48 DNSKEY: Number16 Number8 Number8 Base64;
    51 NSEC3PARAM: Number8 Number8 Number16 Salt;
    52 TLSA: Number8 Number8 Number8 Hex;
    53 SMIMEA: Number8 Number8 Number8 Hex;
    59 CDS: Number16 Number8 Number8 Hex;
    60 CDNSKEY: Number16 Number8 Number8 Base64;
    61 OPENPGPKEY: Base64;
    62 CSYNC: Number32 Number16 Types;
    64 SVCB: Number16 Name Parameters;
    65 HTTPS: Number16 Name Parameters;
    99 SPF: Texts;
    256 URI: Number16 Number16 LongText;
    257 CAA: Number8 Tag LongText;
};

/// The type that `text` names, in any letter case.
pub(super) fn type_of(text: &[u8]) -> Option<RecordType> {
    let text = std::str::from_utf8(text).ok()?.to_ascii_uppercase();
    if let Some(shape) = SHAPES.iter().find(|shape| shape.name == text) {
        return Some(RecordType::from(shape.record_type));
    }
    if let Some(number) = text.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok()) {
        return Some(RecordType::from(number));
    }
    RecordType::from_str(&text).ok()
}

/// Reads the data of a record: the words after its type, which is `kind`.
pub(super) fn read(
    record_type: RecordType,
    kind: &Token<'_>,
    words: &[Token<'_>],
    origin: &Name,
) -> Result<RData, Fault> {
    let number = u16::from(record_type);
    // Types from 128 to 255 are of questions alone (RFC 6895, section 3.1); 41 is OPT.
    if number == 0 || number == 41 || (128..=255).contains(&number) {
        return Err(kind.fault(format!("{} is no type of records", kind.shown()), ""));
    }
    let mut octets = Vec::new();
    let mut words = Words::new(kind, words, origin);
    let shape = SHAPES.iter().find(|shape| shape.record_type == number);
    if words.begins_with(b"\\#") {
        fields::generic(&mut words, &mut octets)?;
    } else if let Some(shape) = shape {
        for field in shape.fields {
            field.read(&mut words, &mut octets)?;
        }
    } else {
        let problem = format!("data of {} has no form of its own", kind.shown());
        return Err(kind.fault(problem, "\\# LENGTH HEX"));
    }
    words.end()?;
    decode(record_type, &octets)
        .ok_or_else(|| kind.fault(format!("this is no data of {}", kind.shown()), ""))
}

/// What the octets of data mean; `None` if nothing.
fn decode(record_type: RecordType, octets: &[u8]) -> Option<RData> {
    let length = u16::try_from(octets.len()).ok()?;
    let mut decoder = BinDecoder::new(octets);
    RData::read(&mut decoder, record_type, Restrict::new(length)).ok()
}
