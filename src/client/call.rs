//! One outgoing call, from its start to its end, which is recorded exactly once.

use std::{any::Any, borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderMap, Request, StatusCode};

use super::{
    config::ClientConfig,
    error_code::{BODY_ERROR, CANCELED, CLIENT_ERROR, PANIC},
    point::{BodyEnd, ClientErrorPoint, ClientPoint},
};
use crate::{
    clock::{self, MonotonicInstant},
    point::{error_code::ErrorCode, schema},
    request::{self, RequestId, current, head::RequestHead},
};

/// A call under way. If it is dropped before its end, it counts as cancelled.
#[derive(Debug)]
pub(super) struct Call {
    config: Arc<ClientConfig>,
    start: MonotonicInstant,
    stamp: i64,
    route: String,
    request_id: RequestId,
    head: Option<Head>,
    ended: bool,
}

/// The head of the response.
#[derive(Debug)]
struct Head {
    status: StatusCode,
    after: Duration,
    /// The error code of the application's function.
    error_code: Option<ErrorCode>,
}

impl Call {
    pub(super) fn start<B>(config: &Arc<ClientConfig>, request: &mut Request<B>) -> Self {
        let start = MonotonicInstant::now();
        let method = request::method_name(request.method());
        let named = config
            .route
            .as_ref()
            .and_then(|route| config.catch_panic(|| route(&RequestHead::of(request))).flatten());
        let route =
            named.map_or_else(|| method.to_owned(), |name: Cow<'_, str>| [method, ":", &name].concat());
        let request_id = current::with(|current| current.request_id()).unwrap_or_default();
        if let Some(name) = &config.request_id_header
            && !request.headers().contains_key(name)
            && let Some(id) = request_id.to_header()
        {
            request.headers_mut().insert(name.clone(), id);
        }
        if config.passes_trace_on
            && let Some(trace) = current::with(|current| current.trace_headers()).flatten()
        {
            trace.pass_on(request.headers_mut());
        }
        config.counters.start();
        let stamp = clock::stamp(start);
        Self { config: Arc::clone(config), start, stamp, route, request_id, head: None, ended: false }
    }

    /// Runs the client without the handler's request as the current one: other services that it
    /// calls in this process are not part of that request. A panic ends the call.
    pub(super) fn run<R>(&mut self, run: impl FnOnce() -> R) -> R {
        let mut running = Running { call: self, outer: None, returned: false };
        current::enter(&mut running.outer);
        let result = run();
        running.returned = true;
        result
    }

    /// Records the head of the response.
    pub(super) fn respond(&mut self, status: StatusCode, headers: &HeaderMap) {
        let after = self.start.elapsed();
        let classify = self.config.classify_response.as_ref();
        let error_code =
            classify.and_then(|classify| self.config.catch_panic(|| classify(status, headers)).flatten());
        self.head = Some(Head { status, after, error_code });
    }

    pub(super) fn fail(&mut self, error: &dyn Any) {
        let code = self.config.error_code(error);
        self.end(Some(&code), None);
    }

    /// Ends the call with the head, without tracking the body.
    pub(super) fn finish(&mut self) {
        self.end(None, None);
    }

    pub(super) fn finish_body(&mut self, end: &'static str, bytes: u64) {
        let body = BodyEnd { response_time: self.start.elapsed(), bytes, end };
        let failed = end == schema::BODY_ERROR;
        self.end(failed.then_some(&BODY_ERROR), Some(body));
    }

    fn end(&mut self, error_code: Option<&ErrorCode>, body: Option<BodyEnd>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let head = self.head.take();
        let status = head.as_ref().map(|head| head.status);
        let error_code = error_code.or(head.as_ref().and_then(|head| head.error_code.as_ref()));
        let failed = error_code.is_some() || status.is_some_and(|status| status.as_u16() >= 400);
        let id =
            if self.config.recorder.stores_request_ids { self.request_id.to_string() } else { String::new() };
        let point = ClientPoint {
            stamp: self.stamp,
            target: &self.config.target,
            route: &self.route,
            status,
            execution_time: head.as_ref().map_or_else(|| self.start.elapsed(), |head| head.after),
            request_id: &id,
            body,
        };
        self.config.counters.end(failed);
        if !failed {
            return self.config.recorder.record_all(&[&point]);
        }
        // An empty code would be no tag at all.
        let code = error_code.map(ErrorCode::to_string).filter(|code| !code.is_empty());
        let code = code.unwrap_or_else(|| match status {
            Some(status) => status.as_str().to_owned(),
            None => CLIENT_ERROR.to_string(),
        });
        self.config.recorder.record_all(&[&point, &ClientErrorPoint { call: &point, error_code: &code }]);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Some(&CANCELED), None);
    }
}

/// Restores the handler's request, also when the client panics.
struct Running<'a> {
    call: &'a mut Call,
    outer: Option<current::Current>,
    returned: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        current::leave(&mut self.outer);
        if !self.returned {
            self.call.end(Some(&PANIC), None);
        }
    }
}
