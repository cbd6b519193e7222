//! The typed value of a field.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// The value of a field, or of a tag, which stores it as text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Text.
    String(Cow<'a, str>),
    /// A 64-bit float. Only finite ones can be stored: a field that is `NaN` or infinite is left out and counted.
    Float(f64),
    /// A signed 64-bit integer.
    Integer(i64),
    /// An unsigned integer. InfluxDB 1.x has no such type: it is stored as a signed one, at most `i64::MAX`.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
}

impl Value<'_> {
    /// The same value without borrowed parts.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::Float(number) => Value::Float(number),
            Self::Integer(number) => Value::Integer(number),
            Self::Unsigned(number) => Value::Unsigned(number),
            Self::Boolean(truth) => Value::Boolean(truth),
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
