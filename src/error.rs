//! An opaque error for all failures before or besides the delivery of points.

use std::{error, fmt, io};

/// A boxed error of any type, like tower's `BoxError`.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// The error of an operation on a [`Monitor`](crate::Monitor), such as start, reload, check or
/// flush.
///
/// The type is opaque. Use the `is_*` methods to find out what kind of error it is. `{}` prints
/// what failed. [`source`](error::Error::source) returns the cause, for example that a file does
/// not exist. `{:#}` prints the error and its causes on one line. No message and no `Debug` output
/// contains a token or a password.
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Setting,
    Io,
    Runtime,
    Server,
    Closed,
}

impl Error {
    /// Returns whether a setting has an invalid value. The message names the key, the value and the
    /// remedy. A secret value is left out.
    pub fn is_setting(&self) -> bool {
        self.kind == Kind::Setting
    }

    /// Returns whether a file or directory could not be used.
    pub fn is_io(&self) -> bool {
        self.kind == Kind::Io
    }

    /// Returns whether no thread or no suitable tokio runtime was available for delivery, or
    /// whether the runtime that delivers points has ended.
    pub fn is_runtime(&self) -> bool {
        self.kind == Kind::Runtime
    }

    /// Returns whether the server could not be reached, or would not accept points.
    pub fn is_server(&self) -> bool {
        self.kind == Kind::Server
    }

    /// Returns whether the monitor is shut down, or its licence check has ended.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// Creates an error for a setting. `value` is printed, so it must not be a secret.
    pub(crate) fn setting(name: &str, value: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self::new(Kind::Setting, format!("setting `{name}` is `{value}`: {remedy}"))
    }

    /// Creates an error for a setting that is missing, or whose value must not be printed.
    pub(crate) fn setting_without_value(name: &str, remedy: impl fmt::Display) -> Self {
        Self::new(Kind::Setting, format!("setting `{name}`: {remedy}"))
    }

    pub(crate) fn io(what: impl fmt::Display, source: io::Error) -> Self {
        Self::new(Kind::Io, what.to_string()).with_source(source)
    }

    pub(crate) fn runtime(message: impl Into<String>) -> Self {
        Self::new(Kind::Runtime, message.into())
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(Kind::Server, message.into())
    }

    pub(crate) fn closed() -> Self {
        Self::new(Kind::Closed, "the monitor is shut down and accepts no more points".to_owned())
    }

    /// Creates an error for a key. It is not printed, since it may be a private one by mistake.
    #[cfg(feature = "license-file")]
    pub(crate) fn license_key(what: impl fmt::Display) -> Self {
        Self::new(Kind::Setting, format!("the public key for licences cannot be used: {what}"))
    }

    pub(crate) fn license_watch_ended() -> Self {
        Self::new(
            Kind::Closed,
            "the licence watch is stopped, or its monitor shut down: nothing is checked".to_owned(),
        )
    }

    fn new(kind: Kind, message: String) -> Self {
        Self { kind, message, source: None }
    }

    fn with_source(mut self, source: impl error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(&self.message, error::Error::source(self), formatter)
    }
}

/// Prints one level of an error, and with `{:#}` all below it, too.
pub(crate) fn display(
    message: &str,
    source: Option<&(dyn error::Error + 'static)>,
    formatter: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    formatter.write_str(message)?;
    let mut cause = source.filter(|_| formatter.alternate());
    while let Some(error) = cause {
        write!(formatter, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Error");
        debug.field("kind", &self.kind).field("message", &self.message);
        if let Some(source) = &self.source {
            // As text, since this is what `main` prints when it returns the error.
            debug.field("source", &format_args!("{source}"));
        }
        debug.finish()
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_one_level_and_returns_the_rest() {
        let cause = io::Error::other("disk on fire");
        let error = Error::io("setting `directory` cannot be used", cause);
        assert_eq!(error.to_string(), "setting `directory` cannot be used");
        assert_eq!(error::Error::source(&error).expect("a source").to_string(), "disk on fire");
        assert_eq!(format!("{error:#}"), "setting `directory` cannot be used: disk on fire");
        assert!(format!("{error:?}").contains("disk on fire"), "{error:?}");
        // As reporters print it: each level once.
        assert_eq!(report(&error), "setting `directory` cannot be used: disk on fire");
        let closed = Error::closed();
        assert_eq!(format!("{closed}"), format!("{closed:#}"));
    }

    fn report(error: &dyn error::Error) -> String {
        let levels = std::iter::successors(Some(error), |error| error.source());
        levels.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}
