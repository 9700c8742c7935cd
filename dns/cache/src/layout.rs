//! Where names stand in the data of records.
//!
//! Names in data may be pointers into the rest of a message, so data cannot be copied from one
//! message to another without knowing them. RFC 3597 §4 closes the list: types that are not on it
//! hold no pointers. Only types of RFC 1035 may be written with pointers.

/// A part of the data of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many octets without meaning here.
    Octets(usize),
    /// A string with its length before it.
    Text,
    /// A name.
    Name,
    /// Whatever is left.
    Rest,
}

/// Whether names in the data may be written as pointers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointers {
    /// They may.
    Allowed,
    /// They must be spelled out.
    Forbidden,
}

/// The parts of the data of a type.
pub(crate) fn layout(rtype: u16) -> (&'static [Part], Pointers) {
    use Part::{Name, Octets, Rest, Text};
    use Pointers::{Allowed, Forbidden};
    match rtype {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR
        2..=5 | 7..=9 | 12 => (&[Name], Allowed),
        // SOA
        6 => (&[Name, Name, Octets(20)], Allowed),
        // MINFO
        14 => (&[Name, Name], Allowed),
        // MX
        15 => (&[Octets(2), Name], Allowed),
        // RP
        17 => (&[Name, Name], Forbidden),
        // AFSDB, RT, KX
        18 | 21 | 36 => (&[Octets(2), Name], Forbidden),
        // SIG
        24 => (&[Octets(18), Name, Rest], Forbidden),
        // PX
        26 => (&[Octets(2), Name, Name], Forbidden),
        // NXT
        30 => (&[Name, Rest], Forbidden),
        // SRV
        33 => (&[Octets(6), Name], Forbidden),
        // NAPTR
        35 => (&[Octets(4), Text, Text, Text, Name], Forbidden),
        // DNAME
        39 => (&[Name], Forbidden),
        _ => (&[Rest], Forbidden),
    }
}
