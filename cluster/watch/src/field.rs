//! One value of a Kubernetes object, whatever its type turns out to be.
//!
//! Decoding refuses nothing but broken syntax: a value of the wrong type is kept as
//! [`Field::Wrong`], so that [`crate::convert`] can name the field and lose no more than it must.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde::de::{Error, Visitor};

use crate::path::{Fault, Path};
use crate::rejection::{Found, Reason};

/// One value of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Field<T> {
    /// The object does not have it, or has it as null, which means the same in the API.
    #[default]
    Absent,
    /// The value.
    Is(T),
    /// A value of another type.
    Wrong(Found),
}

/// A list whose elements are decoded one by one.
pub(crate) type List<T> = Field<Vec<Field<T>>>;

impl<T> Field<T> {
    /// The value, if there is one.
    ///
    /// # Errors
    /// The value is of another type; `path` says whose.
    pub(crate) fn optional(self, path: Path<'_>) -> Result<Option<T>, Fault>
    where
        T: Shape,
    {
        match self {
            Self::Absent => Ok(None),
            Self::Is(value) => Ok(Some(value)),
            Self::Wrong(found) => Err(path.fault(Reason::WrongType { expected: T::NAME, found })),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// There is none, or it is of another type; `path` says whose.
    pub(crate) fn required(self, path: Path<'_>) -> Result<T, Fault>
    where
        T: Shape,
    {
        self.optional(path)?.ok_or_else(|| path.fault(Reason::Missing))
    }

    /// The value or the default.
    ///
    /// # Errors
    /// The value is of another type; `path` says whose.
    pub(crate) fn or_default(self, path: Path<'_>) -> Result<T, Fault>
    where
        T: Shape + Default,
    {
        Ok(self.optional(path)?.unwrap_or_default())
    }

    /// Whether the object has the field, with whatever value.
    pub(crate) const fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl Field<String> {
    /// The text, unless it is empty, which in most fields of the API means that it is not set.
    ///
    /// # Errors
    /// The value is no text; `path` says whose.
    pub(crate) fn non_empty(self, path: Path<'_>) -> Result<Option<String>, Fault> {
        Ok(self.optional(path)?.filter(|text| !text.is_empty()))
    }
}

/// What a value may look like to be a `Self`.
pub(crate) trait Shape: Sized {
    /// What is expected, as it stands in a reason.
    const NAME: &'static str;

    /// A boolean as `Self`.
    fn from_boolean(value: bool) -> Result<Self, Found> {
        Err(Found::Boolean(value))
    }

    /// An integer as `Self`.
    fn from_integer(value: i64) -> Result<Self, Found> {
        Err(Found::Number(value.to_string()))
    }

    /// A text as `Self`.
    fn from_text(value: &str) -> Result<Self, Found> {
        Err(Found::text(value))
    }

    /// A sequence as `Self`; it must be read to its end.
    fn from_sequence<'de, A: SeqAccess<'de>>(
        mut sequence: A,
    ) -> Result<Result<Self, Found>, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(Found::List))
    }

    /// A mapping as `Self`; it must be read to its end.
    fn from_mapping<'de, A: MapAccess<'de>>(
        mut mapping: A,
    ) -> Result<Result<Self, Found>, A::Error> {
        while mapping.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err(Found::Mapping))
    }
}

/// A struct of optional fields.
pub(crate) trait Mapping: DeserializeOwned {}

impl<T: Mapping> Shape for T {
    const NAME: &'static str = "a mapping";

    fn from_mapping<'de, A: MapAccess<'de>>(mapping: A) -> Result<Result<Self, Found>, A::Error> {
        Self::deserialize(MapAccessDeserializer::new(mapping)).map(Ok)
    }
}

impl Shape for bool {
    const NAME: &'static str = "true or false";

    fn from_boolean(value: bool) -> Result<Self, Found> {
        Ok(value)
    }
}

impl Shape for i64 {
    const NAME: &'static str = "an integer";

    fn from_integer(value: i64) -> Result<Self, Found> {
        Ok(value)
    }
}

impl Shape for String {
    const NAME: &'static str = "a text";

    fn from_text(value: &str) -> Result<Self, Found> {
        Ok(value.to_owned())
    }
}

impl<E: DeserializeOwned> Shape for Vec<E> {
    const NAME: &'static str = "a list";

    fn from_sequence<'de, A: SeqAccess<'de>>(
        mut sequence: A,
    ) -> Result<Result<Self, Found>, A::Error> {
        let mut elements = Self::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(Ok(elements))
    }
}

impl<'de, T: Shape> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<T> From<Result<T, Found>> for Field<T> {
    fn from(value: Result<T, Found>) -> Self {
        match value {
            Ok(value) => Self::Is(value),
            Err(found) => Self::Wrong(found),
        }
    }
}

impl<'de, T: Shape> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Field::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::from_boolean(value).into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(T::from_integer(value).into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let integer = i64::try_from(value).map_err(|_too_large| Found::Number(value.to_string()));
        Ok(integer.and_then(T::from_integer).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Number(value.to_string())))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<Self::Value, A::Error> {
        T::from_sequence(sequence).map(Into::into)
    }

    fn visit_map<A: MapAccess<'de>>(self, mapping: A) -> Result<Self::Value, A::Error> {
        T::from_mapping(mapping).map(Into::into)
    }
}
