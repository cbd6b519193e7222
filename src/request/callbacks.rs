//! What the layer itself adds to the data of a request: functions of the application, the trace,
//! and sizes.

use std::{fmt, mem, sync::Arc};

use http::{
    HeaderMap, Request, Response,
    header::CONTENT_LENGTH,
    request,
    response::{self, Parts},
};

use super::{
    catch_panic::catch_panic, monitoring_data::MonitoringData, route::lend_parts,
    trace_context::TraceIdSource,
};
use crate::{point::schema::TRACE_ID, stats::RecorderCounters};

/// All that a layer was asked to add.
#[derive(Clone, Default)]
pub(crate) struct LayerExtras {
    pub(crate) on_request: Option<Arc<OnRequest>>,
    pub(crate) on_response: Option<Arc<OnResponse>>,
    pub(crate) trace_id: TraceIdSource,
    pub(crate) sizes: bool,
}

type OnRequest = dyn Fn(&request::Parts, &MonitoringData) + Send + Sync;
type OnResponse = dyn Fn(&response::Parts, &MonitoringData) + Send + Sync;

impl LayerExtras {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { on_request, on_response, trace_id, sizes } = self;
        on_request.is_none() && on_response.is_none() && matches!(trace_id, TraceIdSource::None) && !sizes
    }

    /// What the setting `trace_id` asks for.
    pub(crate) fn of_traces() -> Self {
        Self { trace_id: TraceIdSource::Header, ..Self::default() }
    }

    pub(crate) fn reads_traces(&self) -> bool {
        !matches!(self.trace_id, TraceIdSource::None)
    }

    /// Adds what is known when the request begins.
    pub(crate) fn of_request<B>(
        &self,
        request: &mut Request<B>,
        data: &MonitoringData,
        counters: &RecorderCounters,
    ) {
        if let Some((id, headers)) = self.trace_id.of(request, counters) {
            let mut contents = data.request_data.lock();
            contents.trace = headers;
            let id = str::from_utf8(&id).unwrap_or_default();
            contents.add(|extras, limits| extras.field(TRACE_ID, id.into(), limits));
        }
        if self.sizes {
            data.field(REQUEST_BYTES, content_length(request.headers()));
        }
        let Some(function) = &self.on_request else { return };
        let called = lend_parts(request, |parts| {
            function(parts, data);
            Some(())
        });
        if called.is_none() {
            counters.callback_panics.add(1);
        }
    }

    /// Adds the size that the request's body says of itself, which is what its head promises where
    /// that does.
    pub(crate) fn of_request_body(&self, size: Option<u64>, data: &MonitoringData) {
        if self.sizes {
            data.field(REQUEST_BYTES, size);
        }
    }

    /// Adds what is known with the head of the response, and of its body.
    pub(crate) fn of_response<B>(
        &self,
        response: &mut Response<B>,
        size: Option<u64>,
        data: &MonitoringData,
        counters: &RecorderCounters,
    ) {
        if self.sizes {
            data.field(RESPONSE_BYTES, content_length(response.headers()).or(size));
        }
        let Some(function) = &self.on_response else { return };
        let (mut parts, ()) = Response::new(()).into_parts();
        swap(&mut parts, response);
        let called = catch_panic(|| function(&parts, data));
        swap(&mut parts, response);
        if called.is_none() {
            counters.callback_panics.add(1);
        }
    }
}

impl fmt::Debug for LayerExtras {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LayerExtras").finish_non_exhaustive()
    }
}

fn swap<B>(parts: &mut Parts, response: &mut Response<B>) {
    mem::swap(&mut parts.status, response.status_mut());
    mem::swap(&mut parts.version, response.version_mut());
    mem::swap(&mut parts.headers, response.headers_mut());
    mem::swap(&mut parts.extensions, response.extensions_mut());
}

/// Returns the size that a message declares; none where it is not a number.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

const REQUEST_BYTES: &str = "request_bytes";
const RESPONSE_BYTES: &str = "response_bytes";
