//! The typed value of a field.

use std::{borrow::Cow, fmt, time::Duration};

use http::StatusCode;
use serde::{Serialize, Serializer};

use crate::point::number_format;

/// The value of a field, or of a tag, which is stored as text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Text.
    String(Cow<'a, str>),
    /// A 64-bit float. Only finite floats can be stored: a field with `NaN` or infinity is left out
    /// and counted.
    Float(f64),
    /// A signed 64-bit integer.
    Integer(i64),
    /// An unsigned 64-bit integer. It is stored as a signed integer and capped at `i64::MAX`,
    /// because InfluxDB 1.x has no unsigned type.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// No value, from `Option::None`. Nothing is added, and nothing is counted.
    None,
}

/// The type with which the database declares a field by its first value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldType {
    Float,
    Integer,
    String,
    Boolean,
}

impl Value<'_> {
    /// Returns the text of a string. `None` for other types.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number of a float. `None` for other types.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the number of a signed integer, or of an unsigned one up to `i64::MAX`. `None`
    /// otherwise.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Unsigned(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Returns the value of a boolean. `None` for other types.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Returns the type with which this value declares a field.
    pub(crate) fn field_type(&self) -> FieldType {
        match self {
            Self::String(_) | Self::None => FieldType::String,
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) | Self::Unsigned(_) => FieldType::Integer,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }

    /// Returns the value as the text of a tag.
    pub(crate) fn into_text<'a>(self) -> Cow<'a, str>
    where
        Self: 'a,
    {
        match self {
            Self::String(text) => text,
            other => Cow::Owned(other.to_string()),
        }
    }

    /// Borrows the value, including its text.
    pub(crate) fn borrow(&self) -> Value<'_> {
        match self {
            Self::String(text) => Value::String(Cow::Borrowed(text)),
            Self::Float(number) => Value::Float(*number),
            Self::Integer(number) => Value::Integer(*number),
            Self::Unsigned(number) => Value::Unsigned(*number),
            Self::Boolean(truth) => Value::Boolean(*truth),
            Self::None => Value::None,
        }
    }

    /// Converts the value to one that owns its text.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::Float(number) => Value::Float(number),
            Self::Integer(number) => Value::Integer(number),
            Self::Unsigned(number) => Value::Unsigned(number),
            Self::Boolean(truth) => Value::Boolean(truth),
            Self::None => Value::None,
        }
    }
}

impl fmt::Display for Value<'_> {
    /// Formats the value as in a tag: text unchanged, and numbers as in line protocol without the
    /// type suffix.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => formatter.pad(text),
            Self::Float(number) if number.is_finite() => {
                let mut digits = Vec::new();
                number_format::float(&mut digits, *number);
                formatter.pad(&String::from_utf8_lossy(&digits))
            }
            Self::Float(number) => fmt::Display::fmt(number, formatter),
            Self::Integer(number) => fmt::Display::fmt(number, formatter),
            Self::Unsigned(number) => fmt::Display::fmt(number, formatter),
            Self::Boolean(truth) => fmt::Display::fmt(truth, formatter),
            Self::None => Ok(()),
        }
    }
}

impl FieldType {
    /// Returns the word that InfluxDB's own messages use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::String => "string",
            Self::Boolean => "boolean",
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) => serializer.serialize_str(text),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Boolean(truth) => serializer.serialize_bool(*truth),
            Self::None => serializer.serialize_none(),
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident as $target:ty),* $(,)?) => {$(
        impl From<$source> for Value<'_> {
            fn from(value: $source) -> Self {
                Self::$variant(value as $target)
            }
        }
    )*};
}

from! {
    f32 => Float as f64, f64 => Float as f64,
    i8 => Integer as i64, i16 => Integer as i64, i32 => Integer as i64, i64 => Integer as i64, isize => Integer as i64,
    u8 => Integer as i64, u16 => Integer as i64, u32 => Integer as i64,
    u64 => Unsigned as u64, usize => Unsigned as u64,
    bool => Boolean as bool,
}

/// Converts to an integer, saturating at the limits of `i64`.
impl From<i128> for Value<'_> {
    fn from(number: i128) -> Self {
        let saturated = if number < 0 { i64::MIN } else { i64::MAX };
        Self::Integer(i64::try_from(number).unwrap_or(saturated))
    }
}

/// Converts to an unsigned integer, saturating at the limit of `u64`. It is stored as at most
/// `i64::MAX`.
impl From<u128> for Value<'_> {
    fn from(number: u128) -> Self {
        Self::Unsigned(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

/// Converts to seconds as a float, like all durations in points.
impl From<Duration> for Value<'_> {
    fn from(duration: Duration) -> Self {
        Self::Float(duration.as_secs_f64())
    }
}

/// Converts to the number of the status.
impl From<StatusCode> for Value<'_> {
    fn from(status: StatusCode) -> Self {
        Self::from(status.as_u16())
    }
}

/// Converts `None` to [`Value::None`], which adds nothing.
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::String(text)
    }
}
