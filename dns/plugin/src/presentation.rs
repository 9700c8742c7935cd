//! Names as text and back (RFC 1035, section 5.1; RFC 4343, section 2.1).
//!
//! hickory-proto reads `\DDD` as octal and refuses some octets; a client may ask for any.

use std::fmt::Write;

use hickory_proto::rr::Name;

/// Most octets of a name in a message, length octets included.
pub(crate) const LONGEST_OCTETS: usize = 255;

/// Most octets of a label.
const LONGEST_LABEL_OCTETS: usize = 63;

/// The name in lower case with the dot at its end, in the form of master files.
pub(crate) fn lower_text(name: &Name) -> String {
    let mut text = String::with_capacity(name.len() + 1);
    for label in name {
        for octet in label {
            let octet = octet.to_ascii_lowercase();
            if b".;()\"\\@$'".contains(&octet) {
                text.push('\\');
                text.push(char::from(octet));
            } else if octet.is_ascii_graphic() {
                text.push(char::from(octet));
            } else {
                // Writing to a text does not fail.
                write!(text, "\\{octet:03}").unwrap_or_default();
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

/// Reads a name; one without a dot at its end is below `origin`.
///
/// # Errors
/// What is wrong with it, to follow the name in a sentence.
pub(crate) fn name(text: &[u8], origin: &Name) -> Result<Name, &'static str> {
    if text == b"@" {
        return Ok(origin.clone());
    }
    if text == b"." {
        return Ok(Name::root());
    }
    let mut labels: Vec<Vec<u8>> = Vec::new();
    let mut label = Vec::new();
    let mut rest = text;
    let mut absolute = false;
    while let Some(Octet { octet, escaped, rest: after }) = next_octet(rest)? {
        rest = after;
        absolute = octet == b'.' && !escaped;
        if !absolute {
            label.push(octet);
            continue;
        }
        if label.is_empty() {
            return Err("has an empty label");
        }
        labels.push(std::mem::take(&mut label));
    }
    if !absolute {
        if label.is_empty() {
            return Err("is empty");
        }
        labels.push(label);
        labels.extend(origin.iter().map(<[u8]>::to_vec));
    }
    if labels.iter().any(|label| label.len() > LONGEST_LABEL_OCTETS) {
        return Err("has a label of more than 63 octets");
    }
    if labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1 > LONGEST_OCTETS {
        return Err("is longer than 255 octets");
    }
    let labels = labels.iter().map(Vec::as_slice);
    let mut name = Name::from_labels(labels).or(Err("is no domain name"))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The first octet of a text in which `\` escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Octet<'t> {
    /// What it is.
    pub(crate) octet: u8,
    /// Whether it was escaped, so that it is nothing special.
    pub(crate) escaped: bool,
    /// What follows it.
    pub(crate) rest: &'t [u8],
}

/// The first octet of a text in which `\` escapes; `None` at its end.
///
/// # Errors
/// The escape is none.
pub(crate) fn next_octet(text: &[u8]) -> Result<Option<Octet<'_>>, &'static str> {
    match text {
        [] => Ok(None),
        [b'\\', digits @ ..] if digits.first().is_some_and(u8::is_ascii_digit) => {
            let [one, two, three, rest @ ..] = digits else {
                return Err("has an escape of less than three digits");
            };
            let mut value = 0_u16;
            for digit in [one, two, three] {
                if !digit.is_ascii_digit() {
                    return Err("has an escape of less than three digits");
                }
                value = value * 10 + u16::from(digit - b'0');
            }
            let octet = u8::try_from(value).or(Err("has an escape above \\255"))?;
            Ok(Some(Octet { octet, escaped: true, rest }))
        }
        [b'\\', octet, rest @ ..] => Ok(Some(Octet { octet: *octet, escaped: true, rest })),
        [b'\\'] => Err("ends with an escape"),
        [octet, rest @ ..] => Ok(Some(Octet { octet: *octet, escaped: false, rest })),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Name, &'static str> {
        name(text.as_bytes(), &Name::from_ascii("origin.").unwrap())
    }

    #[test]
    fn relative_names_are_below_the_origin_and_absolute_ones_are_not() {
        for (text, expected) in [
            ("a", "a.origin."),
            ("A.b", "a.b.origin."),
            ("a.", "a."),
            ("@", "origin."),
            (".", "."),
            ("a\\.b.c.", "a\\.b.c."),
            ("\\065.\\\\.", "a.\\\\."),
            ("*", "*.origin."),
            ("\\000\\255.", "\\000\\255."),
        ] {
            assert_eq!(read(text).map(|name| lower_text(&name)).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "abcdefgh.".repeat(29);
        let label = "a".repeat(64);
        for text in ["", "..", ".a", "a..b", "a\\", "a\\1", "a\\12x", "a\\256", &long, &label] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_of_a_name_reads_as_that_name(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)
        ) {
            let mut written = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
            written.set_fqdn(true);
            let text = lower_text(&written);
            prop_assert!(text.bytes().all(|octet| octet.is_ascii_graphic()));
            prop_assert_eq!(name(text.as_bytes(), &Name::root()).unwrap(), written);
        }
    }
}
