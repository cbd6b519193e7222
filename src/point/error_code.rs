//! The application's own code for a failure.

use std::{borrow::Cow, fmt};

/// An error code of the application: the tag `error_code` of a request's point in `errors`.
///
/// It can be a part of an axum response, or an extension of any [`http::Response`]. As a complete
/// axum response, such as the `Err` of a handler, it has status 500.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::response::IntoResponse;
/// use http::StatusCode;
/// use tower_influx::ErrorCode;
///
/// fn no_such_item() -> impl IntoResponse {
///     (StatusCode::NOT_FOUND, ErrorCode::from(11009), "no such item")
/// }
/// # let _ = no_such_item();
/// # }
/// ```
///
/// # Cardinality
///
/// The code becomes a tag, so use codes from a fixed list. The number of distinct codes is capped
/// as for every other tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(Code);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Code {
    Number(i64),
    Text(Cow<'static, str>),
}

impl ErrorCode {
    /// Creates a code from a static text, without allocation.
    pub const fn from_static(code: &'static str) -> Self {
        Self(Code::Text(Cow::Borrowed(code)))
    }

    /// Passes the code as text to `read`, without allocation.
    pub(crate) fn with_text<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match &self.0 {
            Code::Number(number) => read(itoa::Buffer::new().format(*number)),
            Code::Text(text) => read(text),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| formatter.write_str(text))
    }
}

macro_rules! from {
    ($($source:ty),*) => {$(
        impl From<$source> for ErrorCode {
            fn from(code: $source) -> Self {
                Self(Code::Number(i64::from(code)))
            }
        }
    )*};
}

from!(i8, i16, i32, i64, u8, u16, u32);

impl From<u64> for ErrorCode {
    fn from(code: u64) -> Self {
        // It exceeds the numbers that another code can have, so it is stored as text.
        i64::try_from(code).map_or_else(|_| Self::from(code.to_string()), Self::from)
    }
}

impl From<usize> for ErrorCode {
    fn from(code: usize) -> Self {
        Self::from(code as u64)
    }
}

impl From<http::StatusCode> for ErrorCode {
    fn from(status: http::StatusCode) -> Self {
        Self::from(status.as_u16())
    }
}

impl From<&'static str> for ErrorCode {
    fn from(code: &'static str) -> Self {
        Self::from_static(code)
    }
}

impl From<String> for ErrorCode {
    fn from(code: String) -> Self {
        Self(Code::Text(Cow::Owned(code)))
    }
}
