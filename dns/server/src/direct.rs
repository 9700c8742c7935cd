//! Replies to plain questions straight from the index, octets in and octets out.
//!
//! Owns the layout of the replies that nearly all queries of pods get: addresses, ports and names of
//! Services, NODATA and NXDOMAIN. Nothing is allocated once the buffer has grown to its size, and no
//! record is made. What a name has is decided in `dns/zone`, and whatever is unusual in a query or an
//! answer is left to the general way in `respond`; a property test holds the two to the same replies.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use podway_dns_zone::direct::{Ports, Target};
use podway_dns_zone::{
    Direct, Found, HOSTMASTER_LABEL, NAMESERVER_LABELS, SoaNumbers, ZoneIndex, direct,
};

pub(crate) use self::plain::PlainQuery;
use crate::query::{AA, CLASS_IN, RA, TC_IN_OCTET_2, u16_at};
use crate::reply::{Policy, flags};
use crate::respond::{Replied, Source, Transport};
use crate::wire::{HEADER_OCTETS, OPT_OCTETS, OPT_TYPE};

mod plain;

/// Longest name in octets (RFC 1035 §2.3.4).
const MAX_NAME_OCTETS: usize = 255;

/// A compression pointer to the name in the question.
const TO_QUESTION: u16 = pointer(HEADER_OCTETS);

/// Numbers of counts in the header.
#[derive(Debug, Clone, Copy)]
enum Count {
    Answers = 6,
    Authorities = 8,
    Additionals = 10,
}

/// Writes the reply to `message` into `out`, if it is a plain question that the index can answer.
///
/// `None`: `out` holds nothing of use, and the general way has to be gone.
#[must_use]
pub fn respond_directly(
    zone: &ZoneIndex,
    message: &[u8],
    transport: Transport,
    policy: Policy,
    out: &mut Vec<u8>,
) -> Option<Replied> {
    reply(zone, &PlainQuery::read(message)?, transport, policy, out)
}

/// Writes the reply to `query` into `out`, if the index can answer it; see [`respond_directly`].
pub(crate) fn reply(
    zone: &ZoneIndex,
    query: &PlainQuery<'_>,
    transport: Transport,
    policy: Policy,
    out: &mut Vec<u8>,
) -> Option<Replied> {
    let answer = direct(zone, &query.name, query.qtype)?;
    let reserved = if query.opt.is_some() { OPT_OCTETS } else { 0 };
    let mut writer = Writer { out, limit: query.limit(transport, policy) - reserved };
    let rcode = match answer.found {
        Found::NxDomain => ResponseCode::NXDomain,
        Found::NoData | Found::V4(_) | Found::V6(_) | Found::Ports(_) | Found::Pointer(_) => {
            ResponseCode::NoError
        }
    };
    writer.begin(query, rcode, policy);
    let Direct { ttl, apex_at, soa, ref found } = answer;
    match found {
        Found::NxDomain | Found::NoData => writer.soa(apex_at, soa),
        Found::V4(v4) => {
            let v4 = v4.as_slice();
            writer.answers(RecordType::A, ttl, v4.len(), |index| v4[index].octets());
        }
        Found::V6(v6) => {
            let v6 = v6.as_slice();
            writer.answers(RecordType::AAAA, ttl, v6.len(), |index| v6[index].octets());
        }
        Found::Pointer(target) => writer.pointer(*target, zone.config().domain(), ttl)?,
        Found::Ports(ports) => writer.ports(ports, query.name_from(apex_at), ttl)?,
    }
    if let Some(opt) = query.opt {
        writer.opt(policy.udp_payload_octets, opt.dnssec_ok);
    }
    let dnssec_ok = query.opt.is_some_and(|opt| opt.dnssec_ok);
    Some(Replied { rcode, qtype: Some(query.qtype), source: Source::Zone, dnssec_ok })
}

/// A reply under construction.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Octets that records may fill, room for OPT already taken off.
    limit: usize,
}

impl Writer<'_> {
    /// Writes header and question.
    fn begin(&mut self, query: &PlainQuery<'_>, rcode: ResponseCode, policy: Policy) {
        let recursion = if policy.recursion { RA } else { 0 };
        let flags = flags(query.flags, rcode) | AA | recursion;
        self.out.clear();
        self.out.extend_from_slice(&query.message[..2]);
        self.u16(flags);
        self.out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        self.out.extend_from_slice(query.question());
    }

    /// Writes addresses of the name asked, as many as fit, each with the same chance.
    fn answers<const N: usize>(
        &mut self,
        rtype: RecordType,
        ttl: u32,
        count: usize,
        octets: impl Fn(usize) -> [u8; N],
    ) {
        let fitting = (self.limit - self.out.len()) / (ADDRESS_HEAD_OCTETS + N);
        for index in Shuffle::new(count).take(fitting) {
            self.address(TO_QUESTION, rtype, ttl, octets(index));
        }
        self.count(Count::Answers, count.min(fitting));
        if count > fitting {
            self.out[2] |= TC_IN_OCTET_2;
        }
    }

    /// Writes one address of the name that `owner` points to.
    fn address<const N: usize>(
        &mut self,
        owner: u16,
        rtype: RecordType,
        ttl: u32,
        octets: [u8; N],
    ) {
        self.head(owner, rtype, ttl, N);
        self.out.extend_from_slice(&octets);
    }

    /// Writes the SOA record of the zone whose apex starts at `apex_at` of the name asked.
    fn soa(&mut self, apex_at: usize, soa: SoaNumbers) {
        let apex = pointer(HEADER_OCTETS + apex_at);
        let [first, second] = NAMESERVER_LABELS;
        let names = first.len() + second.len() + HOSTMASTER_LABEL.len() + 3 + 2 * 2;
        self.head(apex, RecordType::SOA, soa.ttl, names + 5 * 4);
        self.label(first);
        self.label(second);
        self.u16(apex);
        self.label(HOSTMASTER_LABEL);
        self.u16(apex);
        for number in [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
            self.out.extend_from_slice(&number.to_be_bytes());
        }
        self.count(Count::Authorities, 1);
    }

    /// Writes a PTR record to `target` below `zone`; `None` where that is too long for a name.
    fn pointer(&mut self, target: Target<'_>, zone: &Name, ttl: u32) -> Option<()> {
        let of_zone = zone.iter().map(|label| 1 + label.len()).sum::<usize>() + 1;
        let octets = labels_octets(target) + of_zone;
        if octets > MAX_NAME_OCTETS {
            return None;
        }
        self.head(TO_QUESTION, RecordType::PTR, ttl, octets);
        target.into_iter().for_each(|label| self.label(label));
        for label in zone.iter() {
            // A label of a name has at most 63 octets.
            self.out.push(u8::try_from(label.len()).unwrap_or(0));
            self.out.extend_from_slice(label);
        }
        self.out.push(0);
        self.count(Count::Answers, 1);
        Some(())
    }

    /// Writes SRV records, and the addresses of their target as far as they fit; `None` where the
    /// target is too long for a name or not all SRV records fit.
    fn ports(&mut self, ports: &Ports<'_>, zone: &[u8], ttl: u32) -> Option<()> {
        let octets = labels_octets(ports.target) + zone.len();
        // Priority, weight and port are before the target.
        let record = RECORD_HEAD_OCTETS + 6 + octets;
        if octets > MAX_NAME_OCTETS || self.out.len() + ports.numbers.len() * record > self.limit {
            return None;
        }
        let target_at = self.out.len() + RECORD_HEAD_OCTETS + 6;
        for port in &ports.numbers {
            self.head(TO_QUESTION, RecordType::SRV, ttl, 6 + octets);
            self.u16(0);
            self.u16(ports.weight);
            self.u16(*port);
            // RFC 2782: the target is not compressed.
            ports.target.into_iter().for_each(|label| self.label(label));
            self.out.extend_from_slice(zone);
        }
        self.count(Count::Answers, ports.numbers.len());
        let owner = pointer(target_at);
        let mut written = 0;
        for address in ports.v4.iter().take(self.room_for::<4>()) {
            self.address(owner, RecordType::A, ttl, address.octets());
            written += 1;
        }
        if written == ports.v4.len() {
            for address in ports.v6.iter().take(self.room_for::<16>()) {
                self.address(owner, RecordType::AAAA, ttl, address.octets());
                written += 1;
            }
        }
        self.count(Count::Additionals, written);
        Some(())
    }

    /// Addresses of `N` octets that still fit.
    fn room_for<const N: usize>(&self) -> usize {
        self.limit.saturating_sub(self.out.len()) / (ADDRESS_HEAD_OCTETS + N)
    }

    /// Writes OPT behind all other records.
    fn opt(&mut self, payload_octets: u16, dnssec_ok: bool) {
        let [type_high, type_low] = OPT_TYPE.to_be_bytes();
        let [high, low] = payload_octets.to_be_bytes();
        let dnssec_ok = u8::from(dnssec_ok) << 7;
        self.out.extend_from_slice(&[0, type_high, type_low, high, low, 0, 0, dnssec_ok, 0, 0, 0]);
        let before = u16_at(self.out, Count::Additionals as usize).unwrap_or(0);
        self.count(Count::Additionals, usize::from(before) + 1);
    }

    /// Writes the fixed part of a record with `data` octets of data.
    fn head(&mut self, owner: u16, rtype: RecordType, ttl: u32, data: usize) {
        let [owner_high, owner_low] = owner.to_be_bytes();
        let [type_high, type_low] = u16::from(rtype).to_be_bytes();
        let [class_high, class_low] = CLASS_IN.to_be_bytes();
        let [ttl_1, ttl_2, ttl_3, ttl_4] = ttl.to_be_bytes();
        // The longest data is a name behind three numbers.
        let [data_high, data_low] = u16::try_from(data).unwrap_or(0).to_be_bytes();
        self.out.extend_from_slice(&[
            owner_high, owner_low, type_high, type_low, class_high, class_low, ttl_1, ttl_2, ttl_3,
            ttl_4, data_high, data_low,
        ]);
    }

    /// Writes one label, which is at most 63 octets long by the type it comes from.
    fn label(&mut self, label: &str) {
        self.out.push(u8::try_from(label.len()).unwrap_or(0));
        self.out.extend_from_slice(label.as_bytes());
    }

    /// Sets a count of the header.
    fn count(&mut self, count: Count, records: usize) {
        let at = count as usize;
        // A message of 65,535 octets has room for fewer records.
        let records = u16::try_from(records).unwrap_or(u16::MAX);
        self.out[at..at + 2].copy_from_slice(&records.to_be_bytes());
    }

    /// Writes a big-endian number of 16 bits.
    fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Octets of a record before its data, its owner being a pointer.
const RECORD_HEAD_OCTETS: usize = 12;

/// Octets of an address record before its address.
const ADDRESS_HEAD_OCTETS: usize = RECORD_HEAD_OCTETS;

/// A compression pointer to a place early in a message.
const fn pointer(place: usize) -> u16 {
    debug_assert!(place < 0x4000, "what is pointed to stands in the first 16 KiB");
    #[expect(clippy::cast_possible_truncation, reason = "a question ends before octet 272")]
    let place = place as u16;
    0xC000 | place
}

/// Octets of labels with their lengths.
fn labels_octets(labels: Target<'_>) -> usize {
    labels.iter().map(|label| 1 + label.len()).sum()
}

/// The numbers below `count`, each once, in an order that begins anywhere.
///
/// Steps through them by a random number without a common factor. Every number has the same chance
/// to be among the first few, wherever neighbors stand: it costs nothing per number left out.
struct Shuffle {
    next: usize,
    step: usize,
    count: usize,
    left: usize,
}

impl Shuffle {
    fn new(count: usize) -> Self {
        if count < 2 {
            return Self { next: 0, step: 0, count, left: count };
        }
        let mut step = fastrand::usize(1..count);
        while greatest_common_divisor(step, count) != 1 {
            // 1 is reached in the end.
            step -= 1;
        }
        Self { next: fastrand::usize(..count), step, count, left: count }
    }
}

impl Iterator for Shuffle {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let next = self.next;
        self.next += self.step;
        if self.next >= self.count {
            self.next -= self.count;
        }
        Some(next)
    }
}

fn greatest_common_divisor(mut left: usize, mut right: usize) -> usize {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shuffle_names_every_number_once() {
        for count in 0..200 {
            let numbers: Vec<_> = Shuffle::new(count).collect();
            assert_eq!(numbers.len(), count);
            assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (0..count).collect());
        }
    }

    #[test]
    fn shuffle_comes_in_every_order_of_three() {
        let mut orders = BTreeSet::new();
        for _ in 0..10_000 {
            orders.insert(Shuffle::new(3).collect::<Vec<_>>());
        }
        assert_eq!(orders.len(), 6);
    }
}
