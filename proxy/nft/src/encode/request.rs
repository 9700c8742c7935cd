//! Requests that read.

use netlink_bindings::nftables::{Nfgenmsg, PushSetAttrs, PushSetelemListAttrs};
use podway_proxy_plan::plan::{Family, FrontendKey};

use crate::encode::{NLM_F_REQUEST, SUBSYSTEM, element, family_number};
use crate::names::{SetName, TABLE};

const NLM_F_DUMP: u16 = 0x300;

/// A request for the kernel's count of commits (`NFT_MSG_GETGEN`).
pub(crate) fn get_generation() -> Vec<u8> {
    request(16, 0, 0, |_| {})
}

/// A request for what a set is, without its elements (`NFT_MSG_GETSET`).
pub(crate) fn get_set(family: Family, set: SetName) -> Vec<u8> {
    request(10, 0, family_number(family), |bytes| {
        PushSetAttrs::new(bytes)
            .push_table_bytes(TABLE.as_bytes())
            .push_name_bytes(set.to_string().as_bytes());
    })
}

/// A request for all elements of a set (`NFT_MSG_GETSETELEM`).
pub(crate) fn get_elements(family: Family, set: SetName) -> Vec<u8> {
    request(13, NLM_F_DUMP, family_number(family), |bytes| {
        PushSetelemListAttrs::new(bytes)
            .push_table_bytes(TABLE.as_bytes())
            .push_set_bytes(set.to_string().as_bytes());
    })
}

/// A request for one element of a set of frontends.
pub(crate) fn get_frontend(set: SetName, key: &FrontendKey) -> Vec<u8> {
    let family = family_number(Family::of(key.address));
    request(13, 0, family, |bytes| element::push_frontend(bytes, set, key))
}

/// A message on its own, with `command` of the nftables subsystem.
fn request(command: u16, flags: u16, family: u8, attributes: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = family;
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&((SUBSYSTEM << 8) | command).to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(header.as_slice());
    attributes(&mut bytes);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
