//! Writes one DNS message into a buffer of limited size.
//!
//! Owns byte layout, name compression and the size limit; what stands in a message is decided in
//! `reply`. Names compress in all places where RFC 3597 §4 allows it and keep their letters' case.
//! The encoder of hickory-proto stops compressing after 120 names, which lets a third of the
//! addresses into one TCP answer that could stand there; so records are laid out here, and only
//! data of rare types is left to it.

use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};

use crate::query::Question;

/// Octets of the header (RFC 1035 §4.1.1).
pub(crate) const HEADER_OCTETS: usize = 12;

/// Octets of an OPT record without options (RFC 6891 §6.1.2).
pub(crate) const OPT_OCTETS: usize = 11;

/// Type number of OPT.
pub(crate) const OPT_TYPE: u16 = 41;

/// Farthest place that a compression pointer can name (RFC 1035 §4.1.4).
const LAST_POINTER: u16 = 0x3FFF;

/// Names remembered as targets of compression.
///
/// 64: enough for every name of an answer that fits a datagram, and a bounded search in larger ones.
const REMEMBERED_NAMES: usize = 64;

/// The section a record stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// Answer.
    Answer,
    /// Authority.
    Authority,
    /// Additional.
    Additional,
}

/// The message has no room for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// What the OPT record of a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opt {
    /// Largest datagram that this server takes, in octets.
    pub(crate) payload_octets: u16,
    /// Upper eight bits of the response code.
    pub(crate) rcode_high: u8,
    /// The DO bit, copied from the query.
    pub(crate) dnssec_ok: bool,
}

/// A message under construction.
pub(crate) struct MessageWriter<'a> {
    /// The message so far; starts with the header.
    out: &'a mut Vec<u8>,
    /// Octets that records may fill, room for OPT already taken off.
    limit: usize,
    /// Places of names that later ones may point to.
    names: [u16; REMEMBERED_NAMES],
    /// How many of `names` are set.
    remembered: usize,
    /// Records in answer, authority and additional.
    counts: [u16; 3],
}

impl<'a> MessageWriter<'a> {
    /// Starts a message of at most `limit` octets, of which `reserved` are kept for OPT.
    pub(crate) fn begin(
        out: &'a mut Vec<u8>,
        id: u16,
        flags: u16,
        limit: usize,
        reserved: usize,
    ) -> Self {
        out.clear();
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        out.resize(HEADER_OCTETS, 0);
        Self {
            out,
            limit: limit.saturating_sub(reserved),
            names: [0; REMEMBERED_NAMES],
            remembered: 0,
            counts: [0; 3],
        }
    }

    /// Writes the question. It always fits: it is at most 259 octets and no limit is below 512.
    pub(crate) fn question(&mut self, question: &Question) {
        self.name(&question.name, Compression::Allowed);
        self.u16(question.qtype.into());
        self.u16(question.class);
        self.out[5] = 1;
    }

    /// Writes a record, or nothing if it does not fit.
    pub(crate) fn record(&mut self, section: Section, record: &Record) -> Result<(), Full> {
        let rollback = (self.out.len(), self.remembered);
        self.name(&record.name, Compression::Allowed);
        self.u16(record.data.record_type().into());
        self.u16(record.dns_class.into());
        self.u32(record.ttl);
        let length_at = self.out.len();
        self.u16(0);
        let written = self.data(&record.data);
        let octets = u16::try_from(self.out.len() - length_at - 2);
        let (Ok(octets), true) = (octets, written && self.out.len() <= self.limit) else {
            self.out.truncate(rollback.0);
            self.remembered = rollback.1;
            return Err(Full);
        };
        self.out[length_at..length_at + 2].copy_from_slice(&octets.to_be_bytes());
        self.counts[section as usize] += 1;
        Ok(())
    }

    /// Ends the message: OPT, if any, with its options in wire form, and the counts.
    pub(crate) fn finish(mut self, opt: Option<(Opt, &[u8])>, truncated: bool) {
        if let Some((opt, options)) = opt {
            self.out.push(0);
            self.u16(OPT_TYPE);
            self.u16(opt.payload_octets);
            self.out.extend_from_slice(&[opt.rcode_high, 0, u8::from(opt.dnssec_ok) << 7, 0]);
            // Options that are longer than a message can be are none.
            let octets = u16::try_from(options.len()).unwrap_or(0);
            self.u16(octets);
            self.out.extend_from_slice(&options[..usize::from(octets)]);
            self.counts[Section::Additional as usize] += 1;
        }
        for (count, at) in self.counts.iter().zip([6, 8, 10]) {
            self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        if truncated {
            self.out[2] |= crate::query::TC_IN_OCTET_2;
        }
    }

    /// Writes the data of a record; `false` if it cannot be encoded.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "types that the zone has no names in are all treated alike"
    )]
    fn data(&mut self, data: &RData) -> bool {
        match data {
            RData::A(address) => self.out.extend_from_slice(&address.0.octets()),
            RData::AAAA(address) => self.out.extend_from_slice(&address.0.octets()),
            RData::CNAME(target) => self.name(&target.0, Compression::Allowed),
            RData::NS(target) => self.name(&target.0, Compression::Allowed),
            RData::PTR(target) => self.name(&target.0, Compression::Allowed),
            RData::SOA(soa) => {
                self.name(&soa.mname, Compression::Allowed);
                self.name(&soa.rname, Compression::Allowed);
                self.u32(soa.serial);
                for interval in [soa.refresh, soa.retry, soa.expire] {
                    self.out.extend_from_slice(&interval.to_be_bytes());
                }
                self.u32(soa.minimum);
            }
            RData::SRV(srv) => {
                self.u16(srv.priority);
                self.u16(srv.weight);
                self.u16(srv.port);
                // RFC 2782: the target is not compressed.
                self.name(&srv.target, Compression::Forbidden);
            }
            other => {
                let mut octets = Vec::new();
                let mut encoder = BinEncoder::new(&mut octets);
                encoder.set_name_encoding(NameEncoding::Uncompressed);
                if other.emit(&mut encoder).is_err() {
                    return false;
                }
                self.out.extend_from_slice(&octets);
            }
        }
        true
    }

    /// Writes a name, as far as allowed as a pointer to an earlier one.
    fn name(&mut self, name: &Name, compression: Compression) {
        for (index, label) in name.iter().enumerate() {
            if compression == Compression::Allowed
                && let Some(place) = self.find(name, index)
            {
                self.u16(0xC000 | place);
                return;
            }
            self.remember();
            // A label has at most 63 octets: `Name` cannot hold a longer one.
            self.out.push(u8::try_from(label.len()).unwrap_or(0));
            self.out.extend_from_slice(label);
        }
        self.out.push(0);
    }

    /// Remembers that a name starts at the end of the message so far.
    fn remember(&mut self) {
        let place = u16::try_from(self.out.len()).unwrap_or(u16::MAX);
        if place <= LAST_POINTER
            && let Some(slot) = self.names.get_mut(self.remembered)
        {
            *slot = place;
            self.remembered += 1;
        }
    }

    /// Finds an earlier name equal to the labels of `name` from `first_label` on.
    fn find(&self, name: &Name, first_label: usize) -> Option<u16> {
        self.names[..self.remembered]
            .iter()
            .copied()
            .find(|place| self.equals(usize::from(*place), name, first_label))
    }

    /// Whether the name at `place` has the labels of `name` from `first_label` on.
    fn equals(&self, mut place: usize, name: &Name, first_label: usize) -> bool {
        let mut labels = name.iter().skip(first_label);
        loop {
            match self.out.get(place) {
                // The name that is being written has no end yet and equals nothing.
                None => return false,
                Some(0) => return labels.next().is_none(),
                Some(&high) if high >= 0xC0 => {
                    let Some(&low) = self.out.get(place + 1) else { return false };
                    place = usize::from(u16::from_be_bytes([high & 0x3F, low]));
                }
                Some(&octets) => {
                    let end = place + 1 + usize::from(octets);
                    if self.out.get(place + 1..end) != labels.next() {
                        return false;
                    }
                    place = end;
                }
            }
        }
    }

    /// Writes a big-endian number of 16 bits.
    fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes a big-endian number of 32 bits.
    fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Whether a name may be written as a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    /// It may.
    Allowed,
    /// It must be spelled out.
    Forbidden,
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
