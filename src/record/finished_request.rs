//! A request as its layer hands it over.

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
    /// From its start to the head of its response, or to its end without one.
    pub(crate) nanoseconds: u64,
    pub(crate) error_code: Option<&'a ErrorCode>,
    pub(crate) request_id: RequestIdText<'a>,
    pub(crate) body: Option<&'a BodyFields>,
    /// What the layer itself adds.
    pub(crate) added: Option<&'a AddedFields>,
    /// What [`Recorder::request_started`](super::recorder::Recorder::request_started) has returned.
    pub(crate) started: u32,
    /// Whether somebody has asked for a point of this request.
    pub(crate) keep: bool,
    /// Whether a handler has asked for no point of it.
    pub(crate) skip: bool,
}

/// What a request asked for: its route without the method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource<'a> {
    pub(crate) name: &'a str,
    /// What its lines begin with, where that was encoded before.
    pub(crate) head: Option<&'a RouteHead>,
    /// Whether a function of the application named it: then its distinct values are capped.
    pub(crate) is_named: bool,
}

/// What is known of a method and a route before its requests come.
#[derive(Debug)]
pub(crate) struct RouteHead {
    pub(super) line: LineHead,
    /// Its number in the rollups, where these are on.
    pub(super) number: u32,
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
