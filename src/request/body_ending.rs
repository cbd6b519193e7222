//! How bodies end, and the values that points have for it.

use std::fmt;

use crate::point::schema::{BODY_COMPLETE, BODY_DROPPED, BODY_ERROR, BODY_UNFINISHED, BODY_UNREAD};

/// How the body of a response ended. Known only with
/// [`track_body`](crate::MonitoringLayer::track_body).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEnding {
    /// The server has taken the whole body.
    Complete,
    /// The body returned an error, or panicked.
    Error,
    /// The body was dropped before its end, because the client disconnected or did not want the
    /// rest.
    Dropped,
    /// The body had not ended when the monitor was shut down.
    Unfinished,
}

/// How far the body of a request was read. Known only with
/// [`track_bodies`](crate::MonitoringLayer::track_bodies).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestBodyEnding {
    /// The body was read to its end, or the request has no body.
    Complete,
    /// Reading failed: the client disconnected, or sent an invalid message.
    Error,
    /// The body was dropped before its end.
    Dropped,
    /// The body was never read.
    Unread,
    /// The body is still being read, by another task than that of the handler.
    Unfinished,
}

impl RequestBodyEnding {
    /// Returns the value of the field.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => BODY_COMPLETE,
            Self::Error => BODY_ERROR,
            Self::Dropped => BODY_DROPPED,
            Self::Unread => BODY_UNREAD,
            Self::Unfinished => BODY_UNFINISHED,
        }
    }
}

impl fmt::Display for RequestBodyEnding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for BodyEnding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl BodyEnding {
    /// Returns the value of the field.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => BODY_COMPLETE,
            Self::Error => BODY_ERROR,
            Self::Dropped => BODY_DROPPED,
            Self::Unfinished => BODY_UNFINISHED,
        }
    }
}
