//! Elements as bytes.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use netlink_bindings::nftables::{
    PushDataAttrs, PushSetelemAttrs, PushSetelemListAttrs, PushSetelemListElemAttrs, SetElemFlags,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_nested_header};
use podway_proxy_plan::plan::{Family, FrontendKey};

use crate::element::{Element, Learned};
use crate::encode::{Batch, Message, userdata};
use crate::names::{SetName, TABLE};

/// How many bytes of elements go into one message.
///
/// The list of elements is one attribute, whose length is sixteen bits; an element is below 256
/// bytes.
const CHUNK_BYTES: usize = 60_000;

impl Batch {
    /// A batch that gives `elements` their whole time again, or puts them in.
    #[must_use]
    pub fn renewing(family: Family, elements: &[Element]) -> Self {
        let mut batch = Self::begin(family);
        // Adding first makes the deletion succeed, whether or not they have expired.
        push(&mut batch, elements.iter(), Message::AddElements);
        push(&mut batch, elements.iter(), Message::DeleteElements);
        push(&mut batch, elements.iter(), Message::AddElements);
        batch.end()
    }

    /// A batch that takes `elements` out, whether or not they have expired.
    #[must_use]
    pub fn withdrawing(family: Family, elements: &[Element]) -> Self {
        let mut batch = Self::begin(family);
        push(&mut batch, elements.iter(), Message::AddElements);
        push(&mut batch, elements.iter(), Message::DeleteElements);
        batch.end()
    }
}

/// Pushes `elements`, each run of one set in as few messages as hold it.
pub(super) fn push<'elements>(
    batch: &mut Batch,
    elements: impl Iterator<Item = &'elements Element>,
    message: impl Fn(SetName) -> Message,
) {
    let mut sorted: Vec<&Element> = elements.collect();
    sorted.sort_by_key(|element| element.set());
    for same_set in sorted.chunk_by(|one, other| one.set() == other.set()) {
        let mut rest = same_set.iter();
        while let Some(first) = rest.as_slice().first() {
            let set = first.set();
            batch.push(message(set), |bytes| {
                let mut list = PushSetelemListAttrs::new(bytes)
                    .push_table_bytes(TABLE.as_bytes())
                    .push_set_bytes(set.to_string().as_bytes())
                    .nested_elements();
                let start = list.as_vec().len();
                while list.as_vec().len() - start < CHUNK_BYTES {
                    let Some(element) = rest.next() else { break };
                    list = push_element(list.nested_elem(), element).end_nested();
                    if let Element::Range { cidr, .. } = element {
                        list = push_range_end(list, *cidr);
                    }
                }
            });
        }
    }
}

/// Pushes the element of a set of frontends that `key` stands for, by its key alone.
pub(super) fn push_frontend(bytes: &mut Vec<u8>, set: SetName, key: &FrontendKey) {
    let element = PushSetelemListAttrs::new(bytes)
        .push_table_bytes(TABLE.as_bytes())
        .push_set_bytes(set.to_string().as_bytes())
        .nested_elements()
        .nested_elem();
    drop(push_key(element, &Value::default().frontend(key)));
}

/// `NFTA_SET_ELEM_KEY_END`: the last key of a concatenated range.
const NFTA_SET_ELEM_KEY_END: u16 = 10;

/// A key or value under construction: parts, each padded to four bytes.
struct Value {
    bytes: [u8; Self::MAX_BYTES],
    length: usize,
}

impl Default for Value {
    fn default() -> Self {
        Self { bytes: [0; Self::MAX_BYTES], length: 0 }
    }
}

impl Value {
    /// An IPv6 frontend with a source: 16 + 4 + 4 + 16.
    const MAX_BYTES: usize = 40;

    fn part<const N: usize>(mut self, part: [u8; N]) -> Self {
        self.bytes[self.length..self.length + N].copy_from_slice(&part);
        self.length += N.next_multiple_of(4);
        self
    }

    fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.part(address.octets()),
            IpAddr::V6(address) => self.part(address.octets()),
        }
    }

    fn frontend(self, key: &FrontendKey) -> Self {
        self.address(key.address)
            .part([key.protocol.number()])
            .part(key.port.number().to_be_bytes())
    }

    fn endpoint(self, endpoint: SocketAddr) -> Self {
        self.address(endpoint.ip()).part(endpoint.port().to_be_bytes())
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn push_element<Prev: Pusher>(
    attributes: PushSetelemAttrs<Prev>,
    element: &Element,
) -> PushSetelemAttrs<Prev> {
    match element {
        Element::Frontend { key, comment, .. } => {
            let attributes = push_key(attributes, &Value::default().frontend(key));
            match comment {
                Some(comment) => attributes.push_userdata(&userdata::of_comment(comment.as_str())),
                None => attributes,
            }
        }
        Element::Backend { key, slot, endpoint, .. } => {
            // The random number is a host-order integer, unlike what comes from the packet.
            let key = Value::default().frontend(key).part(u32::from(*slot).to_ne_bytes());
            push_key(attributes, &key)
                .nested_data()
                .push_value(Value::default().endpoint(*endpoint).as_slice())
                .end_nested()
        }
        Element::Hairpin(endpoint, protocol) => {
            let key = Value::default().address(endpoint.ip()).address(endpoint.ip());
            let key = key.part([protocol.number()]).part(endpoint.port().to_be_bytes());
            push_key(attributes, &key)
        }
        Element::ClusterIp(address) => push_key(attributes, &Value::default().address(*address)),
        Element::Range { cidr, .. } => {
            push_key(attributes, &Value::default().address(cidr.network()))
        }
        Element::AllowedSource { key, source } => {
            let bound = |address| Value::default().frontend(key).address(address);
            let mut attributes = push_key(attributes, &bound(source.network()));
            // The bindings number this attribute otherwise than `nf_tables.h`.
            let header = push_nested_header(attributes.as_vec_mut(), NFTA_SET_ELEM_KEY_END);
            PushDataAttrs::new(attributes.as_vec_mut())
                .push_value(bound(source.broadcast()).as_slice());
            finalize_nested_header(attributes.as_vec_mut(), header);
            attributes
        }
        Element::AffinityId { key, id, .. } => {
            push_key(attributes, &Value::default().frontend(key))
                .nested_data()
                .push_value(&id.0.get().to_ne_bytes())
                .end_nested()
        }
        Element::AffinityTimeout { id, .. } => {
            push_key(attributes, &Value::default().part(id.0.get().to_ne_bytes()))
        }
        Element::Learned(learned) => push_learned(attributes, learned),
        Element::NodeLocalDns { key, timeout_ms } => {
            // The bindings write times in host order; the kernel reads big endian.
            push_key(attributes, &Value::default().frontend(key)).push_timeout(timeout_ms.to_be())
        }
        Element::TranslatedClient { address, timeout_ms } => {
            // As above.
            push_key(attributes, &Value::default().address(*address))
                .push_timeout(timeout_ms.to_be())
        }
    }
}

fn push_learned<Prev: Pusher>(
    attributes: PushSetelemAttrs<Prev>,
    learned: &Learned,
) -> PushSetelemAttrs<Prev> {
    let key = Value::default()
        .address(learned.client)
        .part([learned.protocol.number()])
        .part(learned.id.0.get().to_ne_bytes());
    // The bindings write times in host order; the kernel reads big endian.
    push_key(attributes, &key)
        .push_timeout(learned.timeout_ms.to_be())
        .push_expiration(learned.expires_ms.to_be())
        .nested_data()
        .push_value(Value::default().endpoint(learned.endpoint).as_slice())
        .end_nested()
}

fn push_key<Prev: Pusher>(
    attributes: PushSetelemAttrs<Prev>,
    key: &Value,
) -> PushSetelemAttrs<Prev> {
    attributes.nested_key().push_value(key.as_slice()).end_nested()
}

/// Ends a range: an element of its own with the first address behind it, none at the very end.
fn push_range_end<Prev: Pusher>(
    list: PushSetelemListElemAttrs<Prev>,
    cidr: IpNet,
) -> PushSetelemListElemAttrs<Prev> {
    let behind = match cidr.broadcast() {
        IpAddr::V4(last) => u32::from(last).checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(last) => u128::from(last).checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    };
    match behind {
        Some(behind) => push_key(list.nested_elem(), &Value::default().address(behind))
            .push_flags(&(SetElemFlags::IntervalEnd as u32).to_be_bytes())
            .end_nested(),
        None => list,
    }
}
