//! Lays the records of a reply out anew.
//!
//! Names are compared without regard to case, so that whatever ends like the question's name points
//! into the question and takes the spelling that stands there: the present client's.

use crate::layout::{Part, Pointers, layout};
use crate::name;
use crate::records::{HEADER_OCTETS, Record, Section, rtype, u16_at};
use crate::response::ReadError;

/// Farthest place that a pointer can name (RFC 1035 §4.1.4).
const LAST_POINTER: usize = 0x3FFF;

/// Names remembered as targets of pointers.
///
/// 128: enough for all names of an ordinary reply, and a bounded search in a large one.
const REMEMBERED_NAMES: usize = 128;

/// A record in the new message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Place of the time to live; length and data follow.
    pub(crate) ttl_at: u16,
    pub(crate) section: Section,
    /// Whether it is an address record of the same owner and type as the record before it.
    pub(crate) continues: bool,
}

/// A message under construction.
pub(crate) struct Composer<'m> {
    /// The upstream's message.
    message: &'m [u8],
    /// The new one.
    pub(crate) out: Vec<u8>,
    /// The records so far.
    pub(crate) places: Vec<Place>,
    /// Places of labels in `out` that pointers may name.
    names: Vec<u16>,
    /// Room for a name.
    scratch: Vec<u8>,
    /// Owner and type of the record before.
    previous: (Vec<u8>, u16),
}

impl<'m> Composer<'m> {
    /// Starts with an empty header and `question`.
    pub(crate) fn new(message: &'m [u8], question: &[u8]) -> Self {
        let mut out = vec![0; HEADER_OCTETS];
        out.extend_from_slice(question);
        let names = name::labels(question)
            .filter_map(|label| u16::try_from(HEADER_OCTETS + label).ok())
            .collect();
        let (places, scratch, previous) = (Vec::new(), Vec::new(), (Vec::new(), 0));
        Self { message, out, places, names, scratch, previous }
    }

    /// Appends `record` with the time to live `ttl`.
    pub(crate) fn record(&mut self, record: &Record, ttl: u32) -> Result<(), ReadError> {
        self.read_name(record.owner_at)?;
        let is_address = matches!(record.rtype, rtype::A | rtype::AAAA);
        let same_owner = self.scratch.eq_ignore_ascii_case(&self.previous.0);
        let continues = is_address
            && same_owner
            && self.previous.1 == record.rtype
            && self.places.last().is_some_and(|place| place.section == record.section);
        self.previous.0.clone_from(&self.scratch);
        self.previous.1 = record.rtype;
        self.write_name(Pointers::Allowed);
        self.out.extend_from_slice(&record.rtype.to_be_bytes());
        self.out.extend_from_slice(&record.class.to_be_bytes());
        let ttl_at = u16::try_from(self.out.len()).map_err(|_large| ReadError::Large)?;
        self.out.extend_from_slice(&ttl.to_be_bytes());
        self.out.extend_from_slice(&[0, 0]);
        let data_at = self.out.len();
        self.data(record)?;
        let octets = self.out.len() - data_at;
        let octets = u16::try_from(octets).map_err(|_large| ReadError::Large)?;
        self.out[data_at - 2..data_at].copy_from_slice(&octets.to_be_bytes());
        if self.out.len() > usize::from(u16::MAX) {
            return Err(ReadError::Large);
        }
        self.places.push(Place { ttl_at, section: record.section, continues });
        Ok(())
    }

    /// Copies the data of `record`, names laid out anew.
    fn data(&mut self, record: &Record) -> Result<(), ReadError> {
        let (parts, pointers) = layout(record.rtype);
        let (mut at, end) = (record.data.start, record.data.end);
        for part in parts {
            let next = match part {
                Part::Octets(octets) => at + octets,
                Part::Text => at + 1 + usize::from(*self.message.get(at).ok_or(ReadError::Short)?),
                Part::Rest => end,
                Part::Name => {
                    at = self.read_name(at)?;
                    self.write_name(pointers);
                    continue;
                }
            };
            if next > end {
                return Err(ReadError::Data { rtype: record.rtype });
            }
            self.out.extend_from_slice(&self.message[at..next]);
            at = next;
        }
        if at == end { Ok(()) } else { Err(ReadError::Data { rtype: record.rtype }) }
    }

    /// Reads the name at `at` of the upstream's message into `scratch`.
    fn read_name(&mut self, at: usize) -> Result<usize, ReadError> {
        self.scratch.clear();
        name::read(self.message, at, &mut self.scratch)
    }

    /// Writes the name in `scratch`, as far as allowed as a pointer.
    fn write_name(&mut self, pointers: Pointers) {
        let name = std::mem::take(&mut self.scratch);
        let mut pointer = None;
        for at in name::labels(&name) {
            if pointers == Pointers::Allowed {
                pointer = self.find(&name[at..]);
            }
            if pointer.is_some() {
                break;
            }
            self.write_label(&name[at..=at + usize::from(name[at])]);
        }
        match pointer {
            Some(place) => self.out.extend_from_slice(&(0xC000 | place).to_be_bytes()),
            None => self.out.push(0),
        }
        self.scratch = name;
    }

    /// Writes one label and remembers where.
    fn write_label(&mut self, label: &[u8]) {
        let place = self.out.len();
        if place <= LAST_POINTER && self.names.len() < REMEMBERED_NAMES {
            self.names.extend(u16::try_from(place));
        }
        self.out.extend_from_slice(label);
    }

    /// Finds a name in the new message that equals `name`.
    fn find(&self, name: &[u8]) -> Option<u16> {
        self.names.iter().copied().find(|place| self.equals(usize::from(*place), name))
    }

    /// Whether the name at `place` of the new message equals `name`.
    ///
    /// A name that is being written has no end yet and equals nothing.
    fn equals(&self, mut place: usize, name: &[u8]) -> bool {
        let mut at = 0;
        loop {
            let Some(&length) = self.out.get(place) else { return false };
            if length >= 0xC0 {
                let Ok(pointer) = u16_at(&self.out, place) else { return false };
                place = usize::from(pointer & 0x3FFF);
                continue;
            }
            let octets = 1 + usize::from(length);
            let (ours, theirs) = (self.out.get(place..place + octets), name.get(at..at + octets));
            match (ours, theirs) {
                (Some(ours), Some(theirs)) if ours.eq_ignore_ascii_case(theirs) => {}
                _ => return false,
            }
            if length == 0 {
                return true;
            }
            place += octets;
            at += octets;
        }
    }
}
