//! Texts and values of fuzzed points.

use std::fmt;

use arbitrary::Arbitrary;

use crate::point::Value;

/// A text, sometimes a long one: no fuzzer finds kilobytes byte by byte.
#[derive(Arbitrary)]
pub(super) struct ArbitraryText {
    piece: String,
    times: u8,
}

impl ArbitraryText {
    pub(super) fn text(&self) -> String {
        let times = usize::from(self.times);
        self.piece.repeat(if times < 192 { 1 } else { (times - 191) * 8 })
    }
}

impl fmt::Debug for ArbitraryText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(formatter)
    }
}

#[derive(Arbitrary, Debug)]
pub(super) enum ArbitraryValue {
    Text(ArbitraryText),
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
}

impl ArbitraryValue {
    pub(super) fn value(&self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::from(text.text()),
            Self::Float(number) => Value::Float(*number),
            Self::Integer(number) => Value::Integer(*number),
            Self::Unsigned(number) => Value::Unsigned(*number),
            Self::Boolean(truth) => Value::Boolean(*truth),
        }
    }
}
