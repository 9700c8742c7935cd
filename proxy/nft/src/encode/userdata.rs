//! What nft keeps beside a set or an element so that it can print them well.
//!
//! The kernel stores it unread. It is a list of type, length (both one octet) and value, as in
//! nft's `src/netlink.c` and `src/expression.c`; without it `nft list` could not tell that a part
//! of a key is a random number, nor print a comment.

use podway_proxy_plan::plan::Family;

use crate::ruleset::{Part, Set};

/// `NFTNL_UDATA_SET_*`.
const SET_KEY_BYTE_ORDER: u8 = 0;
const SET_DATA_BYTE_ORDER: u8 = 1;
const SET_KEY_TYPEOF: u8 = 3;
const SET_DATA_TYPEOF: u8 = 4;
const SET_DATA_INTERVAL: u8 = 6;

/// `enum byteorder`: none for a concatenation.
const BYTE_ORDER_INVALID: u32 = 0;
const BYTE_ORDER_HOST: u32 = 1;
const BYTE_ORDER_BIG_ENDIAN: u32 = 2;

/// `NFTNL_UDATA_SET_ELEM_COMMENT`.
const ELEMENT_COMMENT: u8 = 0;

/// `enum expr_types`.
const EXPRESSION_PAYLOAD: u32 = 7;
const EXPRESSION_META: u32 = 9;
const EXPRESSION_CONNTRACK: u32 = 12;
const EXPRESSION_CONCATENATION: u32 = 13;
const EXPRESSION_NUMGEN: u32 = 23;

/// `enum proto_desc_id`.
const PROTOCOL_TRANSPORT: u32 = 11;
const PROTOCOL_IP: u32 = 12;
const PROTOCOL_IP6: u32 = 13;

/// Userdata of a set: how its key and data were written.
pub(super) fn of_set(family: Family, set: Set) -> Vec<u8> {
    let (parts, data) = (set.key.parts(), set.kind.data());
    let mut userdata = number(SET_KEY_BYTE_ORDER, byte_order(&parts));
    if !data.is_empty() {
        userdata.extend(number(SET_DATA_BYTE_ORDER, byte_order(data)));
    }
    userdata.extend(field(SET_KEY_TYPEOF, &typeof_parts(family, &parts)));
    if !data.is_empty() {
        userdata.extend(field(SET_DATA_TYPEOF, &typeof_parts(family, data)));
        userdata.extend(number(SET_DATA_INTERVAL, 0));
    }
    userdata
}

/// In which order the octets of a lone part stand.
fn byte_order(parts: &[Part]) -> u32 {
    match parts {
        [Part::ConnectionMark | Part::Random(_) | Part::SourceHash { .. }] => BYTE_ORDER_HOST,
        [_] => BYTE_ORDER_BIG_ENDIAN,
        _ => BYTE_ORDER_INVALID,
    }
}

/// Userdata of an element with a comment.
pub(super) fn of_comment(text: &str) -> Vec<u8> {
    field(ELEMENT_COMMENT, &[text.as_bytes(), &[0]].concat())
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    // Every value made here is shorter than 256 octets: a comment has at most 127.
    let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
    [&[kind, length], value].concat()
}

fn number(kind: u8, value: u32) -> Vec<u8> {
    field(kind, &value.to_ne_bytes())
}

/// An expression: its type, and what it is made of.
fn expression(kind: u32, content: &[u8]) -> Vec<u8> {
    [number(0, kind), field(1, content)].concat()
}

fn typeof_parts(family: Family, parts: &[Part]) -> Vec<u8> {
    match parts {
        [part] => typeof_part(family, *part),
        parts => {
            let numbered = (0_u8..).zip(parts);
            let content: Vec<u8> = numbered
                .flat_map(|(index, part)| field(index, &typeof_part(family, *part)))
                .collect();
            expression(EXPRESSION_CONCATENATION, &content)
        }
    }
}

fn typeof_part(family: Family, part: Part) -> Vec<u8> {
    let payload = |protocol, template| {
        let content = [number(0, protocol), number(1, template)].concat();
        expression(EXPRESSION_PAYLOAD, &content)
    };
    match (part, family) {
        (Part::Source, Family::Ip) => payload(PROTOCOL_IP, 11),
        (Part::Destination, Family::Ip) => payload(PROTOCOL_IP, 12),
        (Part::Source, Family::Ip6) => payload(PROTOCOL_IP6, 8),
        (Part::Destination, Family::Ip6) => payload(PROTOCOL_IP6, 9),
        (Part::SourcePort, _) => payload(PROTOCOL_TRANSPORT, 1),
        (Part::DestinationPort, _) => payload(PROTOCOL_TRANSPORT, 2),
        // `NFT_META_L4PROTO`.
        (Part::Protocol, _) => expression(EXPRESSION_META, &number(0, 16)),
        (Part::ConnectionMark, _) => {
            // `NFT_CT_MARK`, of no direction.
            let content = [number(0, 3), number(1, u32::MAX)].concat();
            expression(EXPRESSION_CONNTRACK, &content)
        }
        // A map is declared with a random number, which has the same type.
        (Part::Random(modulus) | Part::SourceHash { modulus, .. }, _) => {
            // `NFT_NG_RANDOM`, modulus, offset.
            let content = [number(0, 1), number(1, modulus), number(2, 0)].concat();
            expression(EXPRESSION_NUMGEN, &content)
        }
    }
}
