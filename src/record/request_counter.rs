//! Passes requests to the rollups.

use std::sync::Arc;

use http::StatusCode;

use crate::{
    line_protocol::{Extras, RollupTagNames, stored_value},
    point::TraceId,
    record::rollup::{EndedRequest, Rollup, RouteKey},
    settings::Settings,
};

/// Counts the requests of one monitor.
#[derive(Debug)]
pub(crate) struct RequestCounter {
    pub(crate) rollup: Arc<Rollup>,
    /// The names of extra tags that are part of a key.
    tags: RollupTagNames,
}

/// The counted values of a request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedRequest<'a> {
    pub(crate) started: u32,
    pub(crate) route: RouteKey<'a>,
    pub(crate) status: u16,
    pub(crate) failed: bool,
    /// Empty if there is none.
    pub(crate) error_code: &'a str,
    /// From [`RequestCounter::select`].
    pub(crate) tags: &'a [u8],
    pub(crate) nanoseconds: u64,
    pub(crate) kept: bool,
    /// Its trace, if known.
    pub(crate) trace: Option<TraceId>,
}

impl RequestCounter {
    pub(crate) fn new(rollup: Arc<Rollup>, settings: &Settings) -> Self {
        Self { rollup, tags: RollupTagNames::new(&settings.rollup.tags) }
    }

    /// Returns whether the extras of a request are part of its key.
    #[inline]
    pub(crate) fn needs_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Appends those tags of a request that are part of its key.
    pub(crate) fn select(&self, extras: &Extras, tags: &mut Vec<u8>) {
        self.tags.select(extras, tags);
    }

    pub(crate) fn end(&self, request: &CountedRequest<'_>) {
        let status = StatusCode::from_u16(request.status);
        let stored = stored_value(request.error_code);
        let error_code = match (request.failed, &*stored) {
            (false, _) => "",
            (true, "") => status.as_ref().map_or("other", StatusCode::as_str),
            (true, code) => code,
        };
        self.rollup.end(&EndedRequest {
            started: request.started,
            route: request.route,
            status: request.status,
            error_code,
            tags: request.tags,
            nanoseconds: request.nanoseconds,
            kept: request.kept,
            trace: request.trace,
        });
    }
}
