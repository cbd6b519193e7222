//! One request in the layer, from its start to its end, which is recorded exactly once.

use std::sync::Arc;

use http::{Extensions, Request, Response, StatusCode};

use super::{
    added::Added,
    classify::{self, BodyOutcome, Classification, Ending, Outcome},
    config::{LayerConfig, Options},
    current::{self, Current},
    data::RequestData,
    found_route::FoundRoute,
    handed::Handed,
    header,
    identity::Identity,
    request_body::RequestBodyProgress,
    route::method_name,
};
use crate::{
    clock::{self, MonotonicInstant},
    line_protocol::{BodyFields, RequestIdText},
    point::error_code::ErrorCode,
    record::recorder::{FinishedRequest, Recorder},
    request::{MonitoringData, RequestId},
    sync::sharded_arc::ShardedArc,
};

/// The state of a running request. If it is dropped before its end, the request counts as
/// cancelled: a client has disconnected, or an outer timeout has expired.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// `Some` until the request's points are written. Lent to the thread while the inner service
    /// runs.
    pub(super) current: Option<Current>,
    start: MonotonicInstant,
    stamp: i64,
    method: &'static str,
    /// See [`Recorder::request_started`](crate::record::recorder::Recorder::request_started).
    started: u32,
    pub(super) options: Options,
    route: FoundRoute,
}

impl Exchange {
    /// Starts an exchange. Returns `None` if the monitor is disabled, or if an outer layer of the
    /// same monitor has this request already and only learns the better route.
    #[inline]
    pub(crate) fn start<B>(config: &ShardedArc<LayerConfig>, request: &mut Request<B>) -> Option<Self> {
        let recorder = config.recorder.as_ref()?;
        let start = MonotonicInstant::now();
        let method = method_name(request.method());
        let (route, address) = FoundRoute::find(config, recorder, request, method);
        let identity = Identity::of(request, address);
        let mut current = Current {
            config: config.clone(),
            request_data: None,
            added: Added::default(),
            number: RequestId::next_number(),
            identity,
        };
        if current::join(&mut current, recorder, &route, request) {
            return None;
        }
        if let Some(data) = request.extensions().get::<MonitoringData>() {
            if Handed::refine(request, recorder, &route) {
                config.warn_of_ignored_options();
                return None;
            }
            current.adopt(recorder, &data.request_data);
        }
        let options = config.options;
        if options.has(Options::TRACE.or(Options::SIZES)) {
            if options.has(Options::TRACE)
                || header::may_have_length_or(request.headers(), &config.request_id_header)
            {
                current.read_headers(recorder, request.headers());
            }
        } else if let Some(header) = header::find(request.headers(), &config.request_id_header) {
            current.take_id(recorder, header);
        }
        if config.insert_data {
            Handed::insert(&mut current, request, recorder);
        }
        let started = recorder.request_started(!route.is_unmatched(), || route.key(method));
        let stamp = clock::stamp(start);
        Some(Self { current: Some(current), start, stamp, method, started, options, route })
    }

    /// Makes this exchange the thread's current one until the guard's [`leave`](Entered::leave). If
    /// the guard is dropped instead, by a panic, it ends the request.
    #[inline]
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        current::enter(&mut self.current);
        Entered { exchange: self, left: false }
    }

    /// Enters like [`enter`](Self::enter), for a body. A panic of a body does not end the request
    /// as panicked: the response was sent before.
    pub(crate) fn enter_body(&mut self) -> Entered<'_> {
        let mut entered = self.enter();
        entered.left = true;
        entered
    }

    /// Ends the request with its response.
    #[inline]
    pub(crate) fn end<B>(&mut self, response: &mut Response<B>) {
        let nanoseconds = self.start.elapsed_nanoseconds();
        if self.options.has(Options::SIZES.or(Options::JUDGED)) {
            return self.end_with_options(nanoseconds, response);
        }
        if !self.current.as_ref().is_some_and(|current| current.is_judged_by_status(response)) {
            return self.end_judged(nanoseconds, response);
        }
        self.end_by_status(nanoseconds, response.status());
    }

    /// Ends the request with a response of which only the status matters. It is compiled once, not
    /// for each service: the encoder is inlined here, as compilers do only if it is called once.
    #[inline(never)]
    pub(super) fn end_by_status(&mut self, nanoseconds: u64, status: StatusCode) {
        let Some(Current { config, request_data, added, number, .. }) = self.current.take() else { return };
        let Some(recorder) = &config.recorder else { return };
        let failed = classify::is_failure(status);
        let finished = self.finished(recorder, number, nanoseconds, status, failed);
        let finished = FinishedRequest { added: added.fields(), ..finished };
        match request_data {
            None => recorder.record_usual(&finished),
            Some(request_data) => RequestData::finish(request_data, recorder, finished, None),
        }
        added.put_back();
    }

    /// Separate and cold, so that the usual end above uses constants only.
    #[cold]
    #[inline(never)]
    pub(super) fn end_judged<B>(&mut self, nanoseconds: u64, response: &mut Response<B>) {
        if let Some(judged) = self.judge_after(nanoseconds, response) {
            self.finish(&judged, None);
        }
    }

    /// Classifies the response by its head, and sets the id that the response carries. `size` is
    /// the size that its body reports, if sizes are recorded.
    #[inline]
    pub(crate) fn judge<B>(&mut self, response: &mut Response<B>, size: Option<u64>) -> Option<Judged> {
        let nanoseconds = self.start.elapsed_nanoseconds();
        self.add_size_of_response(response.headers(), size);
        self.judge_after(nanoseconds, response)
    }

    #[inline(always)]
    fn judge_after<B>(&mut self, nanoseconds: u64, response: &mut Response<B>) -> Option<Judged> {
        let current = self.current.as_mut()?;
        let route = current.config.recorder.as_ref().and_then(|recorder| self.route.name(recorder));
        let outcome = Outcome::response(response, self.method, route, current.request_data.as_ref());
        let classification = current.config.classify(&outcome);
        let error_code = take_extensions(current, response.extensions());
        if let Some(header) = header::find(response.headers(), &current.config.request_id_header) {
            current.take_given_id(header);
        }
        if current.config.propagate_request_id
            && !response.headers().contains_key(&current.config.request_id_header)
            && let Some(id) = current.request_id().to_header()
        {
            let name = current.config.request_id_header.clone();
            response.headers_mut().insert(name, id);
        }
        Some(Judged { classification, error_code, nanoseconds })
    }

    /// Tracks the request's body. `size` is its exact size, if known.
    pub(crate) fn track_request_body(&mut self, size: Option<u64>) -> Arc<RequestBodyProgress> {
        let progress = Arc::new(RequestBodyProgress::unread());
        if let Some(current) = &mut self.current {
            let request_data = current.request_data();
            request_data.lock().request_body = Some(Arc::clone(&progress));
            if let Some(extras) = &current.config.extras {
                extras.read_request_body(size, &mut current.added);
            }
        }
        progress
    }

    pub(crate) fn config(&self) -> Option<&LayerConfig> {
        self.current.as_ref().map(|current| &*current.config)
    }

    /// Ends the request with its classification. Later calls and the drop then do nothing.
    #[inline]
    pub(crate) fn finish(&mut self, judged: &Judged, body: Option<&BodyFields>) {
        let Some(Current { config, request_data, added, number, .. }) = self.current.take() else { return };
        let Some(recorder) = &config.recorder else { return };
        let classified = judged.classification.error_code.as_ref();
        let Classification { status, failed, keep, .. } = judged.classification;
        let usual = self.finished(recorder, number, judged.nanoseconds, status, failed);
        let (error_code, added_fields) = (judged.error_code.as_ref(), added.fields());
        let mut finished = FinishedRequest { error_code, body, added: added_fields, keep, ..usual };
        match request_data {
            None => {
                finished.error_code = finished.error_code.or(classified);
                recorder.record_request(&finished, None);
            }
            Some(request_data) => RequestData::finish(request_data, recorder, finished, classified),
        }
        added.put_back();
    }

    /// Returns the record of a request without extras.
    #[inline(always)]
    fn finished<'a>(
        &'a self,
        recorder: &'a Recorder,
        number: u64,
        nanoseconds: u64,
        status: StatusCode,
        failed: bool,
    ) -> FinishedRequest<'a> {
        FinishedRequest {
            stamp: self.stamp,
            method: self.method,
            resource: self.route.resource(recorder),
            status: status.as_u16(),
            failed,
            nanoseconds,
            error_code: None,
            request_id: RequestIdText::Generated(number),
            body: None,
            added: None,
            started: self.started,
            keep: false,
            skip: false,
        }
    }

    /// Ends the request with its body.
    pub(crate) fn finish_body(&mut self, mut judged: Judged, body: &BodyOutcome<'_>, bytes: u64) {
        let Some(current) = &self.current else { return };
        judged.classification = current.config.classify_body(judged.classification, body);
        let fields = BodyFields { response_time: self.start.elapsed(), bytes, end: body.ending.as_str() };
        self.finish(&judged, Some(&fields));
    }

    /// Ends the request without a response.
    #[cold]
    pub(crate) fn finish_without_response(&mut self, ending: Ending) {
        let nanoseconds = self.start.elapsed_nanoseconds();
        let Some(Current { config, request_data, .. }) = &self.current else { return };
        let route = config.recorder.as_ref().and_then(|recorder| self.route.name(recorder));
        let outcome = Outcome::without_response(ending, self.method, route, request_data.as_ref());
        let classification = config.classify(&outcome);
        self.finish(&Judged { classification, error_code: None, nanoseconds }, None);
    }
}

impl Drop for Exchange {
    #[inline]
    fn drop(&mut self) {
        if self.current.is_some() {
            self.finish_without_response(Ending::Cancelled);
        }
    }
}

/// The classification of a response's head.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) classification: Classification,
    /// The application's own error code.
    pub(crate) error_code: Option<ErrorCode>,
    /// Time until the head of the response.
    nanoseconds: u64,
}

/// The exchange is the thread's current one while this guard lives. If it is dropped by a panic, it
/// ends the exchange as panicked. `std::thread::panicking` would be wrong in both directions: an
/// outer layer may catch the panic and drop us later, and a panic elsewhere may drop us while
/// unwinding.
pub(crate) struct Entered<'a> {
    /// Holds the previously current exchange, nearly always none, until that is restored.
    exchange: &'a mut Exchange,
    left: bool,
}

impl Entered<'_> {
    #[inline(always)]
    pub(super) fn options(&self) -> Options {
        self.exchange.options
    }

    #[inline]
    pub(crate) fn leave(mut self) {
        self.left = true;
    }

    /// Leaves the entered exchange, if there is one.
    #[inline]
    pub(crate) fn leave_any(entered: Option<Self>) {
        if let Some(entered) = entered {
            entered.leave();
        }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        current::leave(&mut self.exchange.current);
        if !self.left {
            self.exchange.finish_without_response(Ending::Panic);
        }
    }
}

/// Takes the error code from the response. Merges the data that a handler put into its extensions
/// instead of using the extractor.
#[inline(always)]
fn take_extensions(current: &mut Current, extensions: &Extensions) -> Option<ErrorCode> {
    if extensions.is_empty() {
        return None;
    }
    if let Some(data) = extensions.get::<MonitoringData>() {
        current.merge(&data.request_data);
    }
    extensions.get::<ErrorCode>().cloned()
}
