//! A reply as a client gets it: a copy with the client's own id, spelling and size.

use std::time::Duration;

use crate::records::{HEADER_OCTETS, Section};
use crate::response::{Kind, Response};

/// Octets of an OPT record without options.
const OPT_OCTETS: usize = 11;

/// The QR bit.
const QR: u16 = 0x8000;
/// The RA bit.
const RA: u16 = 0x0080;
/// The TC bit.
const TC: u16 = 0x0200;
/// The AD bit.
const AD: u16 = 0x0020;
/// The bits that a reply repeats: RD, CD.
const REPEATED: u16 = 0x0110;

/// What a client asked and can take.
#[derive(Debug, Clone, Copy)]
pub struct Request<'q> {
    /// Number that the reply must repeat.
    pub id: u16,
    /// Flags of the query.
    pub flags: u16,
    /// Whether this server looks names up: the RA bit.
    pub recursion_available: bool,
    /// The question in wire form, as the client spelled it.
    pub question: &'q [u8],
    /// Octets that the reply may have.
    pub limit: usize,
    /// OPT of the reply, if the client speaks EDNS.
    pub opt: Option<OptOut>,
}

/// What the OPT record of a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptOut {
    /// Largest datagram that this server takes, in octets.
    pub payload_octets: u16,
    /// The DO bit.
    pub dnssec_ok: bool,
}

/// Times to live of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttls {
    /// Each record's own, less so many seconds.
    Aged(u32),
    /// The same for all, in seconds: of a reply past its time.
    Fixed(u32),
}

impl Ttls {
    /// The times of a reply that was kept for `age`, parts of a second counted as none.
    #[must_use]
    pub fn aged(age: Duration) -> Self {
        Self::Aged(u32::try_from(age.as_secs()).unwrap_or(u32::MAX))
    }

    /// What becomes of one.
    fn apply(self, ttl: u32) -> u32 {
        match self {
            Self::Aged(age) => ttl.saturating_sub(age),
            Self::Fixed(ttl) => ttl,
        }
    }
}

/// How much of a reply fits.
struct Fit {
    /// Records.
    records: usize,
    /// Octets.
    octets: usize,
    /// Whether something required was left out.
    truncated: bool,
}

impl Response {
    /// Writes the reply to `request`, its addresses in random order.
    ///
    /// Records are left out from the end until the rest fits; TC is set if one of them was required
    /// (RFC 2181 §9).
    pub fn write(
        &self,
        request: &Request<'_>,
        ttls: Ttls,
        random: &mut fastrand::Rng,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        out.extend_from_slice(&self.octets);
        if request.question.len() == self.question_end - HEADER_OCTETS {
            out[HEADER_OCTETS..self.question_end].copy_from_slice(request.question);
        }
        for place in &self.places {
            patch(out, usize::from(place.ttl_at), |ttl| ttls.apply(ttl));
        }
        self.shuffle(random, out);
        let fit = self.fit(request.limit.saturating_sub(request.opt.map_or(0, |_| OPT_OCTETS)));
        out.truncate(fit.octets);
        let truncated = self.is_truncated() || fit.truncated;
        // A client that says neither AD nor DO may not know the bit (RFC 6840 §5.8).
        let knows_authentic = request.flags & AD != 0 || request.opt.is_some_and(|o| o.dnssec_ok);
        let flags = QR
            | if request.recursion_available { RA } else { 0 }
            | (request.flags & REPEATED)
            | if truncated { TC } else { 0 }
            | if self.authentic && knows_authentic { AD } else { 0 }
            | (self.rcode() & 0xF);
        let mut counts = [1, 0, 0, 0];
        for place in &self.places[..fit.records] {
            counts[1 + place.section as usize] += 1;
        }
        if let Some(opt) = request.opt {
            write_opt(opt, self.rcode(), out);
            counts[3] += 1;
        }
        let header = [request.id, flags].into_iter().chain(counts);
        for (field, octets) in header.zip(out.chunks_exact_mut(2)) {
            octets.copy_from_slice(&u16::to_be_bytes(field));
        }
    }

    /// Decides what fits in `limit` octets.
    fn fit(&self, limit: usize) -> Fit {
        let all = self.places.len();
        if self.octets.len() <= limit {
            return Fit { records: all, octets: self.octets.len(), truncated: false };
        }
        let fitting = (0..all).take_while(|index| self.end(*index) <= limit).count();
        let answers = self.count(|section| section == Section::Answer);
        let needed = match self.kind() {
            Kind::Success | Kind::Failure => answers,
            Kind::Denial => self.count(|section| section != Section::Additional),
        };
        // Half an authority section is of no use to anybody.
        let records = if fitting < needed { fitting.min(answers) } else { fitting.max(needed) };
        let octets = records.checked_sub(1).map_or(self.question_end, |last| self.end(last));
        Fit { records, octets, truncated: fitting < needed }
    }

    /// How many records stand in such sections.
    fn count(&self, wanted: impl Fn(Section) -> bool) -> usize {
        self.places.iter().filter(|place| wanted(place.section)).count()
    }

    /// Octet after a record.
    fn end(&self, index: usize) -> usize {
        let length_at = usize::from(self.places[index].ttl_at) + 4;
        let length = [self.octets[length_at], self.octets[length_at + 1]];
        length_at + 2 + usize::from(u16::from_be_bytes(length))
    }

    /// Brings the addresses of each owner into random order.
    ///
    /// Only data changes places: it has one size and no pointers.
    fn shuffle(&self, random: &mut fastrand::Rng, out: &mut [u8]) {
        let mut first = 0;
        for index in 0..self.places.len() {
            if !self.places[index].continues {
                first = index;
                continue;
            }
            let other = random.usize(first..=index);
            let (here, there) = (self.data_at(index), self.data_at(other));
            for offset in 0..self.end(index) - here {
                out.swap(here + offset, there + offset);
            }
        }
    }

    /// Where the data of a record starts.
    fn data_at(&self, index: usize) -> usize {
        usize::from(self.places[index].ttl_at) + 6
    }
}

/// Changes the number of 32 bits at `at`.
fn patch(out: &mut [u8], at: usize, change: impl Fn(u32) -> u32) {
    if let Some(octets) = out.get_mut(at..at + 4)
        && let Ok(number) = <[u8; 4]>::try_from(&*octets)
    {
        octets.copy_from_slice(&change(u32::from_be_bytes(number)).to_be_bytes());
    }
}

/// Appends OPT.
fn write_opt(opt: OptOut, rcode: u16, out: &mut Vec<u8>) {
    let [payload_high, payload_low] = opt.payload_octets.to_be_bytes();
    let [_, rcode_high] = (rcode >> 4).to_be_bytes();
    let dnssec_ok = u8::from(opt.dnssec_ok) << 7;
    out.extend_from_slice(&[0, 0, 41, payload_high, payload_low]);
    out.extend_from_slice(&[rcode_high, 0, dnssec_ok, 0, 0, 0]);
}
