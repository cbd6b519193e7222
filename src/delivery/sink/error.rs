//! The result of a [`Sink`](super::Sink): a batch is written, or the reason why it is not.

use std::{error, fmt, sync::Arc, time::Duration};

use crate::{
    line_protocol::ColumnKind,
    stats::{Blocked, RejectReason},
};

/// The result of a successful write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Bytes that were sent for the batch, after compression.
    pub wire_bytes: u64,
}

impl Written {
    /// Creates the result for a batch for which this many bytes were sent.
    pub fn new(wire_bytes: u64) -> Self {
        Self { wire_bytes }
    }
}

/// The reason why a batch was not written. The [kind](Self::kind) decides what the flusher does
/// next.
///
/// `Display` prints only the message, with `{:#}` also what [`source`](error::Error::source) has.
///
/// ```
/// use tower_influx::sink::{Hint, WriteError, WriteErrorKind};
///
/// let error = WriteError::refused("value out of range").with_hint(Hint::Lines(vec![2]));
/// assert!(matches!(error.kind(), WriteErrorKind::Refused(refused) if refused.hint() == &Hint::Lines(vec![2])));
/// ```
#[derive(Clone, Debug)]
pub struct WriteError {
    pub(crate) kind: WriteErrorKind,
    message: String,
    /// The HTTP status, where there was one.
    pub(crate) status: Option<u16>,
    /// How many points the server says it has dropped.
    pub(crate) reported_dropped: u64,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
}

/// The kinds of failed writes. Each is handled in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteErrorKind {
    /// The destination accepts no point until somebody corrects the cause. The batch is kept. The
    /// sink is probed every 30 seconds to 5 minutes.
    Blocked(Blocked),
    /// The destination asks for fewer writes. The batch is sent again after the requested time, or
    /// with exponential backoff.
    #[non_exhaustive]
    Throttled {
        /// How long the destination asks to wait. The flusher uses it within 1 second to 5 minutes.
        /// `None` if the destination does not say.
        retry_after: Option<Duration>,
    },
    /// The destination cannot be reached, or has failed. The batch is sent again with exponential
    /// backoff.
    Transient,
    /// The connection was closed during the request or its response.
    ///
    /// The batch is handled as for [`Transient`](Self::Transient). After several such failures a
    /// large batch is halved, since a proxy may have closed the connection because of the size of
    /// the body.
    Broken,
    /// The destination did not respond in time. The batch may have been written. It is sent again,
    /// and is halved after two timeouts.
    Timeout,
    /// The body is larger than the destination accepts. The batch is split. A single line is
    /// rejected if the destination accepts smaller bodies. Otherwise delivery is blocked, since the
    /// server or a proxy refuses every body.
    TooLarge,
    /// The destination permanently refuses some of the points. These are searched and rejected. The
    /// others are written.
    Refused(Refused),
}

/// What is known about a batch in which the destination refuses some points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Whether the same body, sent again as it is, may get another answer (1.x: a type conflict
    /// inside one batch).
    pub(crate) resend_first: bool,
    pub(crate) reason: RejectReason,
    pub(crate) hint: Hint,
    /// Boxed, since nearly all errors have none.
    pub(crate) proof: Box<Proof>,
}

/// Facts that an answer proves, beyond its hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// How many points of the body were refused. The count is never too high. Partial writes of 1.x
    /// and 2.x report it.
    pub(crate) dropped: Option<usize>,
    /// Whether the lines that the hint names are certainly refused: in partial writes of 3.x.
    pub(crate) certain: bool,
    /// The columns that the answer names as the cause, and the types that they were sent with.
    pub(crate) columns: Vec<(String, Option<ColumnKind>)>,
}

impl Refused {
    /// Returns the reason, as it is counted and logged.
    pub fn reason(&self) -> RejectReason {
        self.reason
    }

    /// Returns which points are refused, if the destination names them.
    pub fn hint(&self) -> &Hint {
        &self.hint
    }
}

/// Which points of a batch the destination refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// The destination does not say.
    #[default]
    Unknown,
    /// The lines with these numbers, counted from 0.
    Lines(Vec<usize>),
    /// The lines that start with these texts. A server may quote only a part of a line.
    Quoted(Vec<String>),
    /// The points of this measurement that have this field.
    Field {
        /// The name of the measurement, without escapes.
        measurement: String,
        /// The name of the field, without escapes.
        field: String,
    },
    /// The points whose time is before this one, in nanoseconds since the Unix epoch.
    OlderThan(i64),
}

impl WriteError {
    /// Creates an error of kind [`Blocked`](WriteErrorKind::Blocked).
    pub fn blocked(by: Blocked, message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Blocked(by), message)
    }

    /// Creates an error of kind [`Throttled`](WriteErrorKind::Throttled).
    pub fn throttled(retry_after: Option<Duration>, message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Throttled { retry_after }, message)
    }

    /// Creates an error of kind [`Transient`](WriteErrorKind::Transient).
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Transient, message)
    }

    /// Creates an error of kind [`Broken`](WriteErrorKind::Broken).
    pub fn broken(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Broken, message)
    }

    /// Creates an error of kind [`Timeout`](WriteErrorKind::Timeout).
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Timeout, message)
    }

    /// Creates an error of kind [`TooLarge`](WriteErrorKind::TooLarge).
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::TooLarge, message)
    }

    /// Creates an error of kind [`Refused`](WriteErrorKind::Refused): at least one point will never
    /// be accepted.
    ///
    /// Without [a hint](Self::with_hint), the flusher finds the refused points by halving the
    /// batch.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Refused(Refused::default()), message)
    }

    /// Creates an error of any kind.
    ///
    /// The message must not contain a secret or a line of the batch, since it is logged and shown
    /// on the live page. It is cut at 1 KiB.
    pub(crate) fn new(kind: WriteErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        cut(&mut message);
        Self { kind, message, status: None, reported_dropped: 0, source: None }
    }

    /// Sets which points are refused, for an error of kind [`Refused`](WriteErrorKind::Refused).
    /// Other kinds ignore it.
    ///
    /// A wrong hint causes more requests, but no loss: only lines that were refused are rejected.
    #[must_use]
    pub fn with_hint(mut self, hint: Hint) -> Self {
        if let WriteErrorKind::Refused(refused) = &mut self.kind {
            refused.hint = hint;
        }
        self
    }

    /// Sets the reason by which refused points are counted, for an error of kind
    /// [`Refused`](WriteErrorKind::Refused). Other kinds ignore it. Defaults to
    /// [`RejectReason::Other`].
    #[must_use]
    pub fn with_reason(mut self, reason: RejectReason) -> Self {
        if let WriteErrorKind::Refused(refused) = &mut self.kind {
            refused.reason = reason;
        }
        self
    }

    /// Sets the HTTP status, by which the statistics count failed writes.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets the cause. It is logged after the message, so it must contain no secret and no line of
    /// the batch.
    #[must_use]
    pub fn with_source(mut self, source: impl error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Replaces the message, and removes the cause. Use it in a sink that wraps another one.
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        let Self { kind, status, reported_dropped, .. } = self;
        Self { status, reported_dropped, ..Self::new(kind, message) }
    }

    pub(crate) fn with_reported_dropped(self, reported_dropped: u64) -> Self {
        Self { reported_dropped, ..self }
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> &WriteErrorKind {
        &self.kind
    }

    /// Returns what happened, as text, without causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the HTTP status. `None` without a response.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns the message and its causes as one line of at most 1 KiB for the log.
    pub(crate) fn report(&self) -> String {
        let mut text = with_causes(self);
        cut(&mut text);
        text
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::error::display(&self.message, error::Error::source(self), formatter)
    }
}

impl error::Error for WriteError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn error::Error + 'static))
    }
}

/// Returns an error and its causes as one line, each of them once.
pub(crate) fn with_causes(error: &dyn error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

fn cut(message: &mut String) {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
}

const MAX_MESSAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_kind_can_be_made_and_read() {
        let wait = Some(Duration::from_secs(7));
        for (error, kind) in [
            (WriteError::blocked(Blocked::Target, "m"), WriteErrorKind::Blocked(Blocked::Target)),
            (WriteError::throttled(wait, "m"), WriteErrorKind::Throttled { retry_after: wait }),
            (WriteError::transient("m"), WriteErrorKind::Transient),
            (WriteError::broken("m"), WriteErrorKind::Broken),
            (WriteError::timeout("m"), WriteErrorKind::Timeout),
            (WriteError::too_large("m"), WriteErrorKind::TooLarge),
            (WriteError::refused("m"), WriteErrorKind::Refused(Refused::default())),
        ] {
            assert_eq!(error.kind(), &kind);
            let told = error.with_status(500).with_reported_dropped(3);
            let wrapped = told.clone().with_message("wrapped");
            assert_eq!((wrapped.kind(), wrapped.status(), wrapped.reported_dropped), (&kind, Some(500), 3));
            assert_eq!((told.message(), wrapped.message()), ("m", "wrapped"));
        }
    }

    #[test]
    fn only_a_refusal_carries_reason_and_hint() {
        let hint = Hint::Lines(vec![3]);
        let named = |error: WriteError| error.with_reason(RejectReason::Limit).with_hint(hint.clone());
        let WriteErrorKind::Refused(refused) = named(WriteError::refused("m")).kind else { panic!() };
        assert_eq!((refused.reason(), refused.hint()), (RejectReason::Limit, &hint));
        assert_eq!(named(WriteError::transient("m")).kind(), &WriteErrorKind::Transient);
    }

    #[test]
    fn an_error_prints_one_level_and_returns_the_rest() {
        let error = WriteError::transient("cannot write").with_source(io::Error::other("disk on fire"));
        assert_eq!(format!("{error}|{error:#}"), "cannot write|cannot write: disk on fire");
        assert_eq!(error::Error::source(&error).expect("a cause").to_string(), "disk on fire");
        assert_eq!(error.report(), "cannot write: disk on fire");
        assert!(WriteError::transient("é".repeat(2_000)).message().len() <= MAX_MESSAGE + '…'.len_utf8());
        for (length, is_cut) in [(MAX_MESSAGE, false), (MAX_MESSAGE + 1, true)] {
            assert_eq!(
                WriteError::transient("x".repeat(length)).message().ends_with('…'),
                is_cut,
                "{length}"
            );
        }
    }
}
