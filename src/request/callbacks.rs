//! What the layer itself adds to the data of a request: functions of the application, the trace,
//! and sizes.

use std::{
    cell::Cell,
    fmt, mem,
    sync::{Arc, atomic::Ordering},
};

use http::{
    HeaderMap, Request, Response,
    header::CONTENT_LENGTH,
    request,
    response::{self, Parts},
};

use super::{
    added::Added, catch_panic::catch_panic, header, monitoring_data::MonitoringData, route::lend_parts,
    trace_context::TraceIdSource,
};
use crate::{
    point::{
        TraceId,
        schema::{REQUEST_BYTES, RESPONSE_BYTES, TRACE_ID},
        value::FieldType,
    },
    record::recorder::Recorder,
    stats::RecorderCounters,
};

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
    pub(crate) fn of_traces(recorder: &Recorder) -> Self {
        let mut extras = Self { trace_id: TraceIdSource::Header, ..Self::default() };
        extras.declare(recorder);
        extras
    }

    /// Makes the fields known to the monitor before a handler uses their names otherwise. What one
    /// has used so already is left out.
    pub(crate) fn declare(&mut self, recorder: &Recorder) {
        if !matches!(self.trace_id, TraceIdSource::None) {
            if recorder.declare(TRACE_ID, FieldType::String) {
                recorder.has_traces.store(true, Ordering::Relaxed);
            } else {
                self.trace_id = TraceIdSource::None;
            }
        }
        let sizes = [REQUEST_BYTES, RESPONSE_BYTES];
        self.sizes = self.sizes && sizes.iter().all(|name| recorder.declare(name, FieldType::Integer));
    }

    /// Adds what the head of the request tells.
    #[inline]
    pub(crate) fn read_request(&self, headers: &HeaderMap, added: &mut Added, counters: &RecorderCounters) {
        if let Some((id, trace)) = self.trace_id.read(headers, counters) {
            let contents = added.contents();
            contents.fields.trace_id = Some(*id);
            contents.trace = trace;
        }
        if self.sizes
            && let Some(bytes) = content_length(headers)
        {
            added.contents().fields.request_bytes = Some(bytes);
        }
    }

    /// Adds the size that the request's body tells itself.
    pub(crate) fn read_request_body(&self, size: Option<u64>, added: &mut Added) {
        if let Some(size) = size.filter(|_| self.sizes) {
            added.contents().fields.request_bytes = Some(size);
        }
    }

    /// Adds what the head of the response tells, and its body.
    #[inline]
    pub(crate) fn read_response(&self, headers: &HeaderMap, size: Option<u64>, added: &mut Added) {
        if self.sizes
            && let Some(bytes) = content_length(headers).or(size)
        {
            added.contents().fields.response_bytes = Some(bytes);
        }
    }

    /// Returns whether the application has functions for requests.
    pub(crate) fn calls_for_requests(&self) -> bool {
        self.on_request.is_some() || self.trace_id.is_function()
    }

    /// Calls the application's function with the request, and returns the trace that another one
    /// knows.
    pub(crate) fn call_with_request<B>(
        &self,
        request: &mut Request<B>,
        data: &MonitoringData,
        counters: &RecorderCounters,
    ) -> Option<TraceId> {
        let trace_id = self.trace_id.call(request);
        if let Some(function) = &self.on_request {
            let called = lend_parts(request, |parts| {
                function(parts, data);
                Some(())
            });
            if called.is_none() {
                counters.callback_panics.add(1);
            }
        }
        trace_id
    }

    /// Calls the application's function with the head of the response.
    pub(crate) fn call_with_response<B>(
        &self,
        response: &mut Response<B>,
        data: &MonitoringData,
        counters: &RecorderCounters,
    ) {
        let Some(function) = &self.on_response else { return };
        let mut parts = SPARE.take().unwrap_or_else(|| Box::new(Response::new(()).into_parts().0));
        swap(&mut parts, response);
        let called = catch_panic(|| function(&parts, data));
        swap(&mut parts, response);
        SPARE.set(Some(parts));
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

thread_local!(static SPARE: Cell<Option<Box<Parts>>> = const { Cell::new(None) });

fn swap<B>(parts: &mut Parts, response: &mut Response<B>) {
    mem::swap(&mut parts.status, response.status_mut());
    mem::swap(&mut parts.version, response.version_mut());
    mem::swap(&mut parts.headers, response.headers_mut());
    mem::swap(&mut parts.extensions, response.extensions_mut());
}

/// Returns the size that a message declares; none where it is not a number.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    header::find(headers, &CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
