//! What the layer itself adds to the data of a request: functions of the application, the trace, and sizes.

use std::{fmt, mem, sync::Arc};

use http::{
    HeaderMap, Request, Response,
    header::CONTENT_LENGTH,
    request,
    response::{self, Parts},
};

use super::{
    catch_panic::catch_panic, exchange::Exchange, monitoring_data::MonitoringData, route::lend_parts,
};

/// Functions that the layer was given.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) on_request: Option<Arc<OnRequest>>,
    pub(crate) on_response: Option<Arc<OnResponse>>,
}

type OnRequest = dyn Fn(&request::Parts, &MonitoringData) + Send + Sync;
type OnResponse = dyn Fn(&response::Parts, &MonitoringData) + Send + Sync;

impl Callbacks {
    pub(crate) fn is_empty(&self) -> bool {
        self.on_request.is_none() && self.on_response.is_none()
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Callbacks").finish_non_exhaustive()
    }
}

/// Adds what is known when the request begins.
#[inline(never)]
pub(crate) fn on_request<B>(exchange: &mut Exchange, request: &mut Request<B>) {
    let Some((data, config)) = exchange.data().zip(exchange.config().cloned()) else { return };
    let Some(recorder) = &config.recorder else { return };
    // As a part of the request: the function may look for its data, too.
    let entered = exchange.enter();
    data.field(TRACE_ID, config.trace_id.of(request, &recorder.counters));
    if config.sizes {
        data.field(REQUEST_BYTES, content_length(request.headers()));
    }
    if let Some(function) = &config.callbacks.on_request {
        let called = lend_parts(request, |parts| {
            function(parts, &data);
            Some(())
        });
        if called.is_none() {
            recorder.counters.callback_panics.add(1);
        }
    }
    entered.leave();
}

/// Adds what is known with the head of the response.
#[inline(never)]
pub(crate) fn on_response<B>(exchange: &mut Exchange, response: &mut Response<B>) {
    let Some((data, config)) = exchange.data().zip(exchange.config().cloned()) else { return };
    let entered = exchange.enter();
    if config.sizes {
        data.field(RESPONSE_BYTES, content_length(response.headers()));
    }
    if let Some(function) = &config.callbacks.on_response {
        let (mut parts, ()) = Response::new(()).into_parts();
        swap(&mut parts, response);
        let called = catch_panic(|| function(&parts, &data));
        swap(&mut parts, response);
        if let (None, Some(recorder)) = (called, &config.recorder) {
            recorder.counters.callback_panics.add(1);
        }
    }
    entered.leave();
}

fn swap<B>(parts: &mut Parts, response: &mut Response<B>) {
    mem::swap(&mut parts.status, response.status_mut());
    mem::swap(&mut parts.version, response.version_mut());
    mem::swap(&mut parts.headers, response.headers_mut());
    mem::swap(&mut parts.extensions, response.extensions_mut());
}

/// The size that a message promises; none where it is not a number.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

const TRACE_ID: &str = "trace_id";
const REQUEST_BYTES: &str = "request_bytes";
const RESPONSE_BYTES: &str = "response_bytes";
