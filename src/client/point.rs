//! The points of a call.

use std::time::Duration;

use http::StatusCode;

use crate::point::{
    Point, Timestamp, Value, number_format,
    schema::{
        BODY_BYTES, BODY_END, CLIENT_ERRORS, CLIENT_REQUESTS, ERROR_CODE, EXECUTION_TIME, REQUEST_ID,
        RESPONSE_TIME, ROUTE, STATUS_CODE, TARGET,
    },
};

/// The point of a call, in the measurement `client_requests`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientPoint<'a> {
    pub(super) stamp: i64,
    pub(super) target: &'a str,
    pub(super) route: &'a str,
    /// `None` if no response arrived.
    pub(super) status: Option<StatusCode>,
    pub(super) execution_time: Duration,
    /// The id of the handler's request, empty outside of one.
    pub(super) request_id: &'a str,
    pub(super) body: Option<BodyEnd>,
}

/// How the body of the response ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyEnd {
    pub(super) response_time: Duration,
    pub(super) bytes: u64,
    pub(super) end: &'static str,
}

/// The second point of a failed call, in the measurement `client_errors`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientErrorPoint<'a> {
    pub(super) call: &'a ClientPoint<'a>,
    pub(super) error_code: &'a str,
}

impl ClientPoint<'_> {
    fn visit_common_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        visit(EXECUTION_TIME, number_format::as_seconds(self.execution_time).into());
        if !self.request_id.is_empty() {
            visit(REQUEST_ID, self.request_id.into());
        }
    }
}

impl Point for ClientPoint<'_> {
    fn measurement(&self) -> &str {
        CLIENT_REQUESTS
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit(TARGET, self.target);
        visit(ROUTE, self.route);
        if let Some(status) = self.status {
            visit(STATUS_CODE, status.as_str());
        }
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.visit_common_fields(visit);
        if let Some(body) = self.body {
            visit(BODY_BYTES, i64::try_from(body.bytes).unwrap_or(i64::MAX).into());
            visit(BODY_END, body.end.into());
            visit(RESPONSE_TIME, number_format::as_seconds(body.response_time).into());
        }
    }

    fn time(&self) -> Option<Timestamp> {
        Some(self.stamp.into())
    }
}

impl Point for ClientErrorPoint<'_> {
    fn measurement(&self) -> &str {
        CLIENT_ERRORS
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit(ERROR_CODE, self.error_code);
        self.call.visit_tags(visit);
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.call.visit_common_fields(visit);
    }

    fn time(&self) -> Option<Timestamp> {
        self.call.time()
    }
}
