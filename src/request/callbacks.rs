//! What the layer itself adds to a request: results of the application's functions, the trace, and
//! sizes.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use super::{
    added::Added,
    catch_panic::catch_panic,
    head::{RequestHead, ResponseHead},
    monitoring_data::MonitoringData,
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

/// Everything that a layer is configured to add.
#[derive(Clone, Default)]
pub(crate) struct LayerExtras {
    pub(crate) on_request: Option<Arc<OnRequest>>,
    pub(crate) on_response: Option<Arc<OnResponse>>,
    pub(crate) trace_id: TraceIdSource,
    pub(crate) sizes: bool,
}

type OnRequest = dyn Fn(&RequestHead<'_>, &MonitoringData) + Send + Sync;
type OnResponse = dyn Fn(&ResponseHead<'_>, &MonitoringData) + Send + Sync;

impl LayerExtras {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { on_request, on_response, trace_id, sizes } = self;
        on_request.is_none() && on_response.is_none() && matches!(trace_id, TraceIdSource::None) && !sizes
    }

    /// Returns what the setting `trace_id` demands.
    pub(crate) fn of_traces(recorder: &Recorder) -> Self {
        let mut extras = Self { trace_id: TraceIdSource::Header, ..Self::default() };
        extras.declare(recorder);
        extras
    }

    /// Declares the fields to the monitor before a handler uses their names for another type. A
    /// name that is already used so is left out.
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

    /// Adds the exact size that the request's body reports.
    pub(crate) fn read_request_body(&self, size: Option<u64>, added: &mut Added) {
        if let Some(size) = size.filter(|_| self.sizes) {
            added.contents().fields.request_bytes = Some(size);
        }
    }

    /// Returns whether the application has functions for requests.
    #[inline]
    pub(crate) fn calls_for_requests(&self) -> bool {
        self.on_request.is_some() || self.trace_id.is_function()
    }

    /// Calls the application's function with the request, and returns the trace id of its trace
    /// function.
    pub(crate) fn call_with_request(
        &self,
        request: &RequestHead<'_>,
        data: &MonitoringData,
        counters: &RecorderCounters,
    ) -> Option<TraceId> {
        let trace_id = self.trace_id.call(request, counters);
        if let Some(function) = &self.on_request {
            catch_panic(counters, || function(request, data));
        }
        trace_id
    }

    /// Calls the application's function with the head of the response.
    pub(crate) fn call_with_response(
        &self,
        response: &ResponseHead<'_>,
        data: &MonitoringData,
        counters: &RecorderCounters,
    ) {
        if let Some(function) = &self.on_response {
            catch_panic(counters, || function(response, data));
        }
    }
}

impl fmt::Debug for LayerExtras {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LayerExtras").finish_non_exhaustive()
    }
}
