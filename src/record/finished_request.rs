//! A request as its layer passes it to the recorder.

use crate::{
    line_protocol::{AddedFields, BodyFields, LineHead, RequestIdText},
    point::error_code::ErrorCode,
    record::rollup::RouteKey,
};

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedRequest<'a> {
    pub(crate) stamp: i64,
    pub(crate) method: &'static str,
    pub(crate) resource: Resource<'a>,
    pub(crate) status: u16,
    pub(crate) failed: bool,
    /// Time from its start to the head of its response, or to its end without one.
    pub(crate) nanoseconds: u64,
    pub(crate) error_code: Option<&'a ErrorCode>,
    pub(crate) request_id: RequestIdText<'a>,
    pub(crate) body: Option<&'a BodyFields>,
    /// The fields that the layer itself adds.
    pub(crate) added: Option<&'a AddedFields>,
    /// The value that [`Recorder::request_started`](super::recorder::Recorder::request_started) has
    /// returned.
    pub(crate) started: u32,
    /// Whether a handler or the classifier demands a point for this request.
    pub(crate) keep: bool,
    /// Whether a handler demands that it has no point.
    pub(crate) skip: bool,
}

/// The route of a request without the method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource<'a> {
    pub(crate) name: &'a str,
    /// The encoded beginning of its lines, if it is cached.
    pub(crate) head: Option<&'a RouteHead>,
    /// Whether a function of the application named it. Its distinct values are then limited.
    pub(crate) is_named: bool,
}

/// The data of a method and a route that is cached for their requests.
#[derive(Debug)]
pub(crate) struct RouteHead {
    pub(super) line: LineHead,
    /// Its number in the rollups, if these are on.
    pub(crate) number: u32,
}

impl RouteHead {
    #[inline]
    pub(crate) fn key(&self) -> RouteKey<'static> {
        RouteKey::Known(self.number)
    }
}

impl<'a> Resource<'a> {
    #[inline]
    pub(super) fn key(&self, method: &'static str) -> RouteKey<'a> {
        match self.head {
            Some(head) => head.key(),
            None => RouteKey::Text(method, self.name),
        }
    }
}
