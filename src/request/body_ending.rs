//! How bodies end, and the words that points have for it.

use std::fmt;

use crate::point::schema::{BODY_COMPLETE, BODY_DROPPED, BODY_ERROR, BODY_UNFINISHED, BODY_UNREAD};

/// How the body of a response ended; known only with
/// [`track_body`](crate::MonitoringLayer::track_body).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEnding {
    /// All of it was handed to the server.
    Complete,
    /// It failed, or panicked, midway.
    Error,
    /// It was dropped midway: the client has gone, or did not want the rest.
    Dropped,
    /// It was still under way when the monitor was shut down.
    Unfinished,
}

/// How far a handler has read the body of its request; known only with
/// [`track_bodies`](crate::MonitoringLayer::track_bodies).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestBodyEnding {
    /// To its end. A request without a body has this, too.
    Complete,
    /// It failed while it was read: the client has gone, or what it sent is no valid message.
    Error,
    /// It was dropped midway.
    Dropped,
    /// Nothing of it was asked for.
    Unread,
    /// It is still being read, in another task than the handler's.
    Unfinished,
}

impl RequestBodyEnding {
    /// Returns the value of its field.
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
    /// Returns the value of its field.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => BODY_COMPLETE,
            Self::Error => BODY_ERROR,
            Self::Dropped => BODY_DROPPED,
            Self::Unfinished => BODY_UNFINISHED,
        }
    }
}
