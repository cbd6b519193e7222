//! The configuration of a client layer.

use std::{any::Any, borrow::Cow, error::Error, fmt, sync::Arc};

use http::{HeaderMap, HeaderName, StatusCode};

use crate::{
    point::error_code::ErrorCode,
    record::recorder::Recorder,
    request::{RouteFunction, catch_panic::catch_panic},
    stats::TargetCounters,
};

/// The configuration of a layer, shared by its services and calls.
#[derive(Clone)]
pub(super) struct ClientConfig {
    pub(super) recorder: Arc<Recorder>,
    pub(super) target: Cow<'static, str>,
    pub(super) counters: Arc<TargetCounters>,
    pub(super) route: Option<RouteFunction>,
    pub(super) classify_response: Option<ResponseFunction>,
    pub(super) classify: Vec<ErrorFunction>,
    pub(super) as_error: Vec<AsError>,
    pub(super) request_id_header: Option<HeaderName>,
    pub(super) passes_trace_on: bool,
}

pub(super) type ResponseFunction = Arc<dyn Fn(StatusCode, &HeaderMap) -> Option<ErrorCode> + Send + Sync>;
pub(super) type ErrorFunction = Arc<dyn Fn(&dyn Any) -> Option<ErrorCode> + Send + Sync>;
pub(super) type AsError = for<'e> fn(&'e dyn Any) -> Option<&'e (dyn Error + 'static)>;

impl ClientConfig {
    /// Calls a function of the application; `None` if it panics, which is counted.
    pub(super) fn catch_panic<R>(&self, run: impl FnOnce() -> R) -> Option<R> {
        catch_panic(&self.recorder.counters, run)
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientConfig").field("target", &self.target).finish_non_exhaustive()
    }
}
