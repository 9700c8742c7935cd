//! Decodes what the server sends: events of a watch and pages of a list.
//!
//! Bytes go straight into the fields that we use; no object is kept as it came.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess};
use thiserror::Error;

use podway_cluster_model::builder::Change;

use crate::convert::{Conversion, DEFAULT_NAMESPACE, convert, described_name};
use crate::field::{Field, List, Mapping, Shape};
use crate::key::ObjectKey;
use crate::object::{Metadata, Object};
use crate::publish::{SliceFamily, Trigger};
use crate::rejection::{Found, ObjectKind, Rejection};

use super::kind::resource;

/// What the server said about one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Which object; `None` where the model can have none of that name.
    pub(crate) key: Option<ObjectKey>,
    /// Kind and name as a rejection has them.
    pub(crate) described: String,
    /// What it is now; `None` where it is gone or cannot be used.
    pub(crate) change: Option<Change>,
    /// What of it is not used.
    pub(crate) rejections: Vec<Rejection>,
    /// When what led to the change happened, where the object says it.
    pub(crate) trigger: Option<Trigger>,
}

/// One event of a watch.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large variant")]
pub(crate) enum Event {
    /// An object is different now.
    Object {
        /// Which, and how.
        entry: Entry,
        /// Version that a later watch can go on from.
        version: String,
    },
    /// Nothing happened up to a version.
    Bookmark {
        /// Version that a later watch can go on from.
        version: String,
        /// Whether all objects that there were at the start have been sent.
        ends_list: bool,
    },
    /// The server cannot go on.
    Failure(Refusal),
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// Objects of the page.
    pub(crate) entries: Vec<Entry>,
    /// Version of the whole list.
    pub(crate) version: String,
    /// What stands for the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// Why the server does not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the API server answers {code}{}: {message}", if reason.is_empty() { String::new() } else { format!(" {reason}") })]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) code: u16,
    /// Reason as one word, where the server gives one.
    pub(crate) reason: String,
    /// What it says to people.
    pub(crate) message: String,
}

/// The server sent something that is not what it should be.
#[derive(Debug, Error)]
pub(crate) enum Malformed {
    /// It is no JSON.
    #[error("the API server sent what is not JSON")]
    Json(#[from] serde_json::Error),
    /// It is JSON and lacks what every event or list has.
    #[error("the API server sent {what}")]
    Shape {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// An object whose `items`, if it has any, do not matter.
type Single = Object<IgnoredAny>;

/// A list of objects.
type Many = Object<Field<Single>>;

impl Shape for Single {
    const NAME: &'static str = "an object";

    fn from_mapping<'de, A: MapAccess<'de>>(mapping: A) -> Result<Result<Self, Found>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(mapping)).map(Ok)
    }
}

/// One line of a watch.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Line {
    r#type: Field<String>,
    object: Field<Single>,
}

impl Mapping for Line {}

/// Decodes one line of a watch of `kind`; `None` for an event of a type that is not known.
pub(crate) fn event(kind: ObjectKind, line: &[u8]) -> Result<Option<Event>, Malformed> {
    let Line { r#type, object } = serde_json::from_slice(line)?;
    let (Field::Is(r#type), Field::Is(object)) = (r#type, object) else {
        return Err(Malformed::Shape { what: "an event without type or object" });
    };
    let version = |object: &Single| match &object.metadata {
        Field::Is(Metadata { resource_version: Field::Is(version), .. }) => Ok(version.clone()),
        Field::Is(_) | Field::Absent | Field::Wrong(_) => {
            Err(Malformed::Shape { what: "an object without resourceVersion" })
        }
    };
    Ok(Some(match r#type.as_str() {
        "ADDED" | "MODIFIED" => {
            let version = version(&object)?;
            Event::Object { entry: entry(kind, object), version }
        }
        "DELETED" => {
            let version = version(&object)?;
            let (key, described) = names(kind, &object.metadata);
            let entry =
                Entry { key, described, change: None, rejections: Vec::new(), trigger: None };
            Event::Object { entry, version }
        }
        "BOOKMARK" => {
            Event::Bookmark { version: version(&object)?, ends_list: ends_list(&object.metadata) }
        }
        "ERROR" => Event::Failure(refusal_of(object, 500)),
        _ => return Ok(None),
    }))
}

/// Decodes one page of a list of `kind`.
pub(crate) fn page(kind: ObjectKind, content: &[u8]) -> Result<Page, Malformed> {
    let list: Many = serde_json::from_slice(content)?;
    let Field::Is(metadata) = list.metadata else {
        return Err(Malformed::Shape { what: "a list without metadata" });
    };
    let Field::Is(version) = metadata.resource_version else {
        return Err(Malformed::Shape { what: "a list without resourceVersion" });
    };
    let next = match metadata.r#continue {
        Field::Is(token) if !token.is_empty() => Some(token),
        Field::Is(_) | Field::Absent | Field::Wrong(_) => None,
    };
    let items: List<Single> = list.items;
    let items = match items {
        Field::Absent => Vec::new(),
        Field::Is(items) => items,
        Field::Wrong(_) => return Err(Malformed::Shape { what: "items that are no list" }),
    };
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        let Field::Is(item) = item else {
            return Err(Malformed::Shape { what: "an item that is no object" });
        };
        entries.push(entry(kind, item));
    }
    Ok(Page { entries, version, next })
}

/// What the body of an answer with an error status says.
pub(crate) fn refusal(code: u16, content: &[u8]) -> Refusal {
    match serde_json::from_slice::<Field<Single>>(content) {
        Ok(Field::Is(object)) => refusal_of(object, code),
        Ok(Field::Absent | Field::Wrong(_)) | Err(_) => {
            Refusal { code, reason: String::new(), message: "no reason given".to_owned() }
        }
    }
}

fn refusal_of(object: Single, code: u16) -> Refusal {
    let text = |field: Field<String>| match field {
        Field::Is(text) => crate::rejection::quotable_at(&text, MAX_MESSAGE_CHARACTERS),
        Field::Absent | Field::Wrong(_) => String::new(),
    };
    let code = match object.code {
        Field::Is(code) => u16::try_from(code).unwrap_or(500),
        Field::Absent | Field::Wrong(_) => code,
    };
    Refusal { code, reason: text(object.reason), message: text(object.message) }
}

/// Longest message of a server that is repeated, in characters.
const MAX_MESSAGE_CHARACTERS: usize = 300;

/// Converts an object; lists leave out what its kind is.
fn entry(kind: ObjectKind, mut object: Single) -> Entry {
    let resource = resource(kind);
    object.kind = Field::Is(resource.kind.to_owned());
    object.api_version = Field::Is(resource.api_version.to_owned());
    let (key, described) = names(kind, &object.metadata);
    let trigger = trigger(&object);
    let (change, rejections) = match convert(object) {
        Conversion::Read { change, rejections } => (change, rejections),
        Conversion::Ignored { .. } => (None, Vec::new()),
    };
    let key = change.as_ref().map(ObjectKey::of).or(key);
    Entry { key, described, change, rejections, trigger }
}

/// What identifies an object of `kind`, and how it is called in rejections.
fn names(kind: ObjectKind, metadata: &Field<Metadata>) -> (Option<ObjectKey>, String) {
    let described = described_name(kind, metadata);
    let Field::Is(metadata) = metadata else { return (None, described) };
    let text = |field: &Field<String>, absent: &'static str| match field {
        Field::Is(text) => text.clone(),
        Field::Absent | Field::Wrong(_) => absent.to_owned(),
    };
    let namespace = text(&metadata.namespace, DEFAULT_NAMESPACE);
    (ObjectKey::named(kind, &namespace, &text(&metadata.name, "")), described)
}

/// Whether a bookmark says that all objects were sent (KEP-3157).
fn ends_list(metadata: &Field<Metadata>) -> bool {
    let Field::Is(Metadata { annotations: Field::Is(annotations), .. }) = metadata else {
        return false;
    };
    matches!(&annotations.initial_events_end, Field::Is(value) if value == "true")
}

/// What a slice was written for.
fn trigger(object: &Single) -> Option<Trigger> {
    let Field::Is(Metadata { annotations: Field::Is(annotations), .. }) = &object.metadata else {
        return None;
    };
    let (Field::Is(text), Field::Is(family)) = (&annotations.trigger_time, &object.address_type)
    else {
        return None;
    };
    let family = match family.as_str() {
        "IPv4" => SliceFamily::Ipv4,
        "IPv6" => SliceFamily::Ipv6,
        _ => return None,
    };
    let at = text.parse::<Timestamp>().ok()?;
    Some(Trigger { family, at: SystemTime::from(at) })
}

#[cfg(test)]
mod tests;
