//! What the layer itself adds to a request, from the heads of the request and the response.

use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_LENGTH};

use super::{
    callbacks::LayerExtras,
    config::LayerConfig,
    data::RequestData,
    exchange::Exchange,
    head::{RequestHead, ResponseHead},
    header,
    monitoring_data::MonitoringData,
};
use crate::record::recorder::Recorder;

impl Exchange {
    /// Adds fields from the request's head, and calls the application's functions. It is separate
    /// from [`start`](Self::start), since an exchange that is lent there would be copied once more.
    #[inline(always)]
    pub(crate) fn add_of_request<B>(&mut self, config: &LayerConfig, request: &Request<B>) {
        let Some(extras) = config.extras.as_deref() else { return };
        if extras.sizes
            && let Some(bytes) = content_length(request.headers())
            && let Some(current) = &mut self.current
        {
            current.added.contents().fields.request_bytes = Some(bytes);
        }
        if extras.trace_id.is_header() {
            self.read_trace(extras, config, request.headers());
        }
        if extras.calls_for_requests() {
            self.call_with_request(config, &RequestHead::of(request));
        }
    }

    /// Adds the size from the response's head or from its body, and calls the application's
    /// function.
    #[inline(always)]
    pub(super) fn add_of_response<B>(&mut self, response: &Response<B>, size: Option<u64>) {
        let Some(current) = &mut self.current else { return };
        let Some(extras) = current.config.extras.as_deref() else { return };
        if extras.sizes
            && let Some(bytes) = content_length(response.headers()).or(size)
        {
            current.added.contents().fields.response_bytes = Some(bytes);
        }
        if extras.on_response.is_some() {
            self.call_with_response(&ResponseHead::of(response));
        }
    }

    #[inline(never)]
    fn read_trace(&mut self, extras: &LayerExtras, config: &LayerConfig, headers: &HeaderMap) {
        let (Some(current), Some(recorder)) = (&mut self.current, &config.recorder) else { return };
        if let Some((id, trace)) = extras.trace_id.read(headers, &recorder.counters) {
            let contents = current.added.contents();
            contents.fields.trace_id = Some(*id);
            contents.trace = trace;
            current.share_trace();
        }
    }

    #[inline(never)]
    fn call_with_request(&mut self, config: &LayerConfig, request: &RequestHead<'_>) {
        let trace_id = self.call(config, |extras, recorder, data| {
            extras.call_with_request(request, data, &recorder.counters)
        });
        if let (Some(current), Some(trace_id)) = (&mut self.current, trace_id.flatten()) {
            current.added.contents().fields.trace_id = Some(trace_id);
            current.share_trace();
        }
    }

    #[inline(never)]
    fn call_with_response(&mut self, response: &ResponseHead<'_>) {
        let Some(config) = self.current.as_ref().map(|current| current.config.clone()) else { return };
        self.call(&config, |extras, recorder, data| {
            extras.call_with_response(response, data, &recorder.counters);
        });
    }

    /// Calls a function of the application while this is the thread's current exchange, since the
    /// function may ask for the request's data, too.
    #[inline(always)]
    fn call<R>(
        &mut self,
        config: &LayerConfig,
        run: impl FnOnce(&LayerExtras, &Recorder, &MonitoringData) -> R,
    ) -> Option<R> {
        let LayerConfig { extras: Some(extras), recorder: Some(recorder), .. } = config else { return None };
        let current = self.current.as_mut()?;
        let is_new = current.request_data.is_none();
        let data = MonitoringData { request_data: current.request_data() };
        let entered = self.enter();
        let result = run(extras, recorder, &data);
        entered.leave();
        drop(data);
        // Most functions add nothing to most requests. Those requests then end as others without
        // data.
        if let Some(current) = self.current.as_mut().filter(|_| is_new) {
            current.request_data = current.request_data.take().and_then(RequestData::put_back_unused);
        }
        Some(result)
    }
}

/// Returns the size that a message declares, or `None` if it is not a number.
#[inline(always)]
fn content_length(headers: &HeaderMap) -> Option<u64> {
    header::find(headers, &CONTENT_LENGTH).and_then(number)
}

#[inline(never)]
fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}
