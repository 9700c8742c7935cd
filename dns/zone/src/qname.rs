//! The name asked, in lower case and without allocation, and the grammar of names.

use std::fmt;

use hickory_proto::rr::Name;

/// Longest name in octets of the wire form, its final zero included (RFC 1035 §2.3.4).
const MAX_OCTETS: usize = 255;

/// Most labels that fit in a name, the root not counted.
const MAX_LABELS: usize = 127;

/// A name in lower-case wire form, without the final zero.
///
/// Lives on the stack: asking allocates nothing. Labels are compared as octets, so a dot inside of a
/// label is an ordinary octet.
#[derive(Clone)]
pub(crate) struct QName {
    octets: [u8; MAX_OCTETS],
    /// Where each label's length octet stands, then one more: where the next would stand.
    starts: [u8; MAX_LABELS + 1],
    labels: usize,
}

impl QName {
    /// Lowers `name`.
    pub(crate) fn new(name: &Name) -> Self {
        let mut qname = Self { octets: [0; MAX_OCTETS], starts: [0; MAX_LABELS + 1], labels: 0 };
        for label in name.iter() {
            qname.push(label);
        }
        qname
    }

    /// Appends a label; one that fits nowhere is left out, and a valid name has none such.
    fn push(&mut self, label: &[u8]) {
        let start = usize::from(self.starts[self.labels]);
        let end = start + 1 + label.len();
        let (Ok(length), Ok(next)) = (u8::try_from(label.len()), u8::try_from(end)) else {
            return;
        };
        if end >= MAX_OCTETS || self.labels == MAX_LABELS {
            return;
        }
        self.octets[start] = length;
        self.octets[start + 1..end].copy_from_slice(label);
        self.octets[start + 1..end].make_ascii_lowercase();
        self.labels += 1;
        self.starts[self.labels] = next;
    }

    /// How many labels the name has, the root not counted.
    pub(crate) fn label_count(&self) -> usize {
        self.labels
    }

    /// The octets of label `index`, counted from the left.
    pub(crate) fn label(&self, index: usize) -> &[u8] {
        &self.wire(index, index + 1)[1..]
    }

    /// The wire form of the labels `from..to`.
    pub(crate) fn wire(&self, from: usize, to: usize) -> &[u8] {
        &self.octets[usize::from(self.starts[from])..usize::from(self.starts[to])]
    }

    /// Whether the name is `zone` or below it.
    pub(crate) fn is_within(&self, zone: &Self) -> bool {
        self.labels
            .checked_sub(zone.labels)
            .is_some_and(|extra| self.wire(extra, self.labels) == zone.wire(0, zone.labels))
    }
}

impl PartialEq for QName {
    fn eq(&self, other: &Self) -> bool {
        self.wire(0, self.labels) == other.wire(0, other.labels)
    }
}

impl Eq for QName {}

impl fmt::Debug for QName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.labels)
            .try_for_each(|index| write!(formatter, "{}.", self.label(index).escape_ascii()))
    }
}
