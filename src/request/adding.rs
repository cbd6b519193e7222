//! What the layer itself adds to a request, from the heads of the request and the response.

use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_LENGTH};

use super::{
    config::{LayerConfig, Options},
    current::{self, Current},
    data::RequestData,
    exchange::{Entered, Exchange},
    head::{RequestHead, ResponseHead},
    header::{self, FoundHeaders},
    monitoring_data::MonitoringData,
    trace_context::{self, TraceHeaders},
};
use crate::{point::TraceId, record::recorder::Recorder};

impl Current {
    /// Reads the request's headers for a layer that adds sizes or traces. All headers are found in
    /// one pass, with the one for the id.
    #[inline(never)]
    pub(crate) fn read_headers(&mut self, recorder: &Recorder, headers: &HeaderMap) {
        let (options, name) = (self.config.options, &self.config.request_id_header);
        let FoundHeaders { id, length, trace } =
            match (options.has(Options::SIZES), options.has(Options::TRACE)) {
                (true, true) => header::find_all::<true, true>(headers, name),
                (true, false) => header::find_all::<true, false>(headers, name),
                _ => header::find_all::<false, true>(headers, name),
            };
        if let Some(id) = id {
            self.take_id(recorder, id);
        }
        if let Some(bytes) = length.and_then(number) {
            self.added.contents().fields.request_bytes = Some(bytes);
        }
        if let Some(parent) = trace {
            self.read_trace(recorder, headers, parent);
        }
    }

    #[inline(always)]
    fn read_trace(&mut self, recorder: &Recorder, headers: &HeaderMap, parent: &HeaderValue) {
        let Some(id) = trace_context::read(parent, headers) else {
            return recorder.counters.invalid_traces.add(1);
        };
        let contents = self.added.contents();
        contents.fields.trace_id = Some(*id);
        if trace_context::is_passed_on() {
            contents.trace = Some(TraceHeaders::of(parent, headers));
        }
        if self.request_data.is_some() {
            self.share_trace();
        }
    }
}

impl Exchange {
    /// Enters as [`enter`](Self::enter) does, and calls the application's functions for the
    /// request. They run inside, since they may ask for the request's data, too.
    #[inline(always)]
    pub(crate) fn enter_with<B>(&mut self, config: &LayerConfig, request: &Request<B>) -> Entered<'_> {
        if self.options.has(Options::ON_REQUEST) {
            self.enter_and_call(config, &RequestHead::of(request))
        } else {
            self.enter()
        }
    }

    #[inline(never)]
    fn enter_and_call(&mut self, config: &LayerConfig, request: &RequestHead<'_>) -> Entered<'_> {
        let data = self.current.as_mut().map(Current::lend_data);
        let entered = self.enter();
        if let LayerConfig { extras: Some(extras), recorder: Some(recorder), .. } = config
            && let Some(data) = data
        {
            if let Some(trace_id) = extras.call_with_request(request, &data, &recorder.counters) {
                add_trace(trace_id);
            }
            take_back(data);
        }
        entered
    }

    /// Ends the request of a layer that adds sizes, or that judges by more than the status.
    #[inline(always)]
    pub(super) fn end_with_options<B>(&mut self, nanoseconds: u64, response: &mut Response<B>) {
        if !self.options.has(Options::SIZES) {
            return self.end_judged(nanoseconds, response);
        }
        let Some(current) = &mut self.current else { return };
        let name = &current.config.request_id_header;
        let is_judged = self.options.has(Options::JUDGED) || !response.extensions().is_empty();
        if is_judged || header::may_have_length_or(response.headers(), name) {
            return self.end_with_headers(nanoseconds, response);
        }
        self.end_by_status(nanoseconds, response.status());
    }

    #[inline(never)]
    fn end_with_headers<B>(&mut self, nanoseconds: u64, response: &mut Response<B>) {
        let Some(current) = &mut self.current else { return };
        let headers = response.headers();
        let FoundHeaders { id, length, .. } =
            header::find_all::<true, false>(headers, &current.config.request_id_header);
        if let Some(bytes) = length.and_then(number) {
            current.added.contents().fields.response_bytes = Some(bytes);
        }
        if self.options.has(Options::JUDGED) || id.is_some() || !response.extensions().is_empty() {
            return self.end_judged(nanoseconds, response);
        }
        self.end_by_status(nanoseconds, response.status());
    }

    /// Adds the size that the response declares, or else the one that its body reports.
    pub(super) fn add_size_of_response(&mut self, headers: &HeaderMap, size: Option<u64>) {
        if self.options.has(Options::SIZES)
            && let Some(bytes) = header::find(headers, &CONTENT_LENGTH).and_then(number).or(size)
            && let Some(current) = &mut self.current
        {
            current.added.contents().fields.response_bytes = Some(bytes);
        }
    }
}

impl Entered<'_> {
    /// Calls the application's function with the head of the response, if the layer has one.
    #[inline(always)]
    pub(crate) fn call_with_response<B>(&self, response: &Response<B>) {
        if self.options().has(Options::ON_RESPONSE) {
            call_with_response(&ResponseHead::of(response));
        }
    }
}

#[inline(never)]
fn call_with_response(response: &ResponseHead<'_>) {
    let current = current::with(|current| (current.config.clone(), current.lend_data()));
    let Some((config, data)) = current else { return };
    if let LayerConfig { extras: Some(extras), recorder: Some(recorder), .. } = &*config {
        extras.call_with_response(response, &data, &recorder.counters);
    }
    take_back(data);
}

/// Adds the trace that the application's function has returned to the thread's current request.
#[inline(never)]
fn add_trace(trace_id: TraceId) {
    current::with(|current| {
        current.added.contents().fields.trace_id = Some(trace_id);
        current.share_trace();
    });
}

/// Takes back the data that was lent to a function of the application.
#[inline(always)]
fn take_back(data: MonitoringData) {
    if let Some(changed) = RequestData::put_back_unused(data.request_data) {
        current::with(|current| current.take_over(changed));
    }
}

/// Returns the value of a `content-length`, which has digits only.
#[inline(never)]
pub(super) fn number(value: &HeaderValue) -> Option<u64> {
    // A sign is all else that the standard library reads.
    value.to_str().ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_digits_only() {
        let most = u64::MAX.to_string();
        for (value, expected) in [
            ("7", Some(7)),
            ("007", Some(7)),
            ("+7", None),
            ("-1", None),
            ("", None),
            (" 7", None),
            ("7, 7", None),
            (&*most, Some(u64::MAX)),
            ("18446744073709551616", None),
        ] {
            assert_eq!(number(&HeaderValue::from_str(value).expect("a value")), expected, "{value}");
        }
    }
}
