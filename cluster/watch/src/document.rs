//! Reads the documents of one file: JSON or YAML, one after the other, single objects and lists.
//!
//! Every object is converted as soon as it is decoded, also within a list, so that a large dump
//! never stands in memory in its decoded form.

use std::str::Utf8Error;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, IgnoredAny, MapAccess};

use crate::convert::{Conversion, convert};
use crate::field::{Field, List, Shape};
use crate::object::Object;
use crate::rejection::Found;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON: objects one after the other.
    Json,
    /// YAML: documents separated by `---`.
    Yaml,
}

impl Format {
    /// The format of a file of that name; `None` if it is no manifest.
    pub(crate) fn of(file_name: &str) -> Option<Self> {
        match file_name.rsplit_once('.') {
            Some(("", _)) | None => None,
            Some((stem, _)) if stem.starts_with('.') => None,
            Some((_, "json")) => Some(Self::Json),
            Some((_, "yaml" | "yml")) => Some(Self::Yaml),
            Some(_) => None,
        }
    }
}

/// Why a file cannot be read as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParseFault {
    /// Line and column, from 1, where they are known.
    pub(crate) position: Option<(u64, u64)>,
    /// What is wrong there.
    pub(crate) reason: String,
}

/// Reads every object of `content`.
pub(crate) fn parse(format: Format, content: &[u8]) -> Result<Vec<Conversion>, ParseFault> {
    let mut conversions = Vec::new();
    match format {
        Format::Json => {
            let documents = serde_json::Deserializer::from_slice(content).into_iter();
            for document in documents {
                flatten(document.map_err(|error| json_fault(&error))?, &mut conversions)?;
            }
        }
        Format::Yaml => {
            let text = std::str::from_utf8(content).map_err(|error| not_utf8(content, &error))?;
            let documents = serde_saphyr::from_multiple_with_options(text, yaml_options())
                .map_err(|error| yaml_fault(&error))?;
            for document in documents {
                flatten(document, &mut conversions)?;
            }
        }
    }
    Ok(conversions)
}

/// Any document: an object, or a list of them.
type Document = Field<Object<Field<Item>>>;

/// One element of a list.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large variant")]
enum Item {
    /// It names its kind and is converted.
    Converted(Conversion),
    /// Its kind follows from the list's, which may stand behind it.
    Untyped(Box<Object<IgnoredAny>>),
}

impl Shape for Item {
    const NAME: &'static str = "an object";

    fn from_mapping<'de, A: MapAccess<'de>>(mapping: A) -> Result<Result<Self, Found>, A::Error> {
        let object: Object<IgnoredAny> = Object::deserialize(MapAccessDeserializer::new(mapping))?;
        Ok(Ok(match object.kind {
            Field::Absent => Self::Untyped(Box::new(object)),
            Field::Is(_) | Field::Wrong(_) => Self::Converted(convert(object)),
        }))
    }
}

impl Shape for Object<Field<Item>> {
    const NAME: &'static str = "an object";

    fn from_mapping<'de, A: MapAccess<'de>>(mapping: A) -> Result<Result<Self, Found>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(mapping)).map(Ok)
    }
}

/// Adds what one document holds.
fn flatten(document: Document, conversions: &mut Vec<Conversion>) -> Result<(), ParseFault> {
    let object = match document {
        Field::Absent => return Ok(()),
        Field::Wrong(found) => {
            let reason = format!("a document is {found}, not an object");
            return Err(ParseFault { position: None, reason });
        }
        Field::Is(object) => object,
    };
    let Some(kind) = element_kind(&object) else {
        conversions.push(convert(object));
        return Ok(());
    };
    let items: List<Item> = object.items;
    let items = match items {
        Field::Absent => return Ok(()),
        Field::Wrong(found) => {
            let reason = format!("items is {found}, not a list");
            return Err(ParseFault { position: None, reason });
        }
        Field::Is(items) => items,
    };
    conversions.reserve(items.len());
    for item in items {
        conversions.push(match item {
            Field::Is(Item::Converted(conversion)) => conversion,
            Field::Is(Item::Untyped(mut untyped)) => {
                // The items of a typed list have neither kind nor version of their own.
                if let Some(kind) = &kind {
                    untyped.kind = Field::Is(kind.clone());
                    untyped.api_version = object.api_version.clone();
                }
                convert(*untyped)
            }
            Field::Absent => Conversion::Ignored { kind: "null".to_owned() },
            Field::Wrong(found) => Conversion::Ignored { kind: found.to_string() },
        });
    }
    Ok(())
}

/// If `object` is a list, the kind of its elements where the list says it: a `ServiceList` does, a
/// `List` does not.
fn element_kind<I>(object: &Object<I>) -> Option<Option<String>> {
    let Field::Is(kind) = &object.kind else { return None };
    let element = kind.strip_suffix("List")?;
    Some((!element.is_empty()).then(|| element.to_owned()))
}

/// YAML as `kubectl` reads it, with limits that a dump of a large cluster does not reach.
///
/// What makes a small file grow large or deep (aliases, nesting) stays at the library's limits.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
        },
        emit_comments: false,
        with_snippet: false,
    }
}

fn json_fault(error: &serde_json::Error) -> ParseFault {
    let (line, column) = (error.line(), error.column());
    let suffix = format!(" at line {line} column {column}");
    let text = error.to_string();
    ParseFault {
        position: (line > 0).then(|| (u64_of(line), u64_of(column))),
        reason: text.strip_suffix(&suffix).unwrap_or(&text).to_owned(),
    }
}

fn yaml_fault(error: &serde_saphyr::Error) -> ParseFault {
    let text = error.to_string();
    match error.location() {
        Some(location) => {
            let (line, column) = (location.line(), location.column());
            let suffix = format!(" at line {line}, column {column}");
            let reason = text.strip_suffix(&suffix).unwrap_or(&text).to_owned();
            ParseFault { position: Some((line, column)), reason }
        }
        None => ParseFault { position: None, reason: text },
    }
}

fn not_utf8(content: &[u8], error: &Utf8Error) -> ParseFault {
    let before = &content[..error.valid_up_to()];
    let lines = before.split(|octet| *octet == b'\n');
    let column = lines.clone().next_back().map_or(0, <[u8]>::len);
    ParseFault {
        position: Some((u64_of(lines.count()), u64_of(column + 1))),
        reason: "is not UTF-8 text".to_owned(),
    }
}

/// A line or column; `usize` has no more bits than `u64` anywhere.
fn u64_of(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
