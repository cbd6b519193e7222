//! The data of a request that the rollups count.

use crate::point::TraceId;

/// The route of a request, known from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RouteKey<'a> {
    /// From [`Rollup::route`](super::Rollup::route).
    Known(u32),
    Text(&'static str, &'a str),
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedRequest<'a> {
    /// The value that its start has returned.
    pub(crate) started: u32,
    pub(crate) route: RouteKey<'a>,
    pub(crate) status: u16,
    /// Empty for requests that did not fail.
    pub(crate) error_code: &'a str,
    /// See [`RollupKey::tags`](super::Key::tags).
    pub(crate) tags: &'a [u8],
    pub(crate) nanoseconds: u64,
    pub(crate) kept: bool,
    /// Its trace, if known.
    pub(crate) trace: Option<TraceId>,
}
