//! The request data that holds what a request's handlers add.

use std::{panic::AssertUnwindSafe, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use super::{request_body::RequestBodyProgress, route::Route, spare::Spare};
use crate::{
    line_protocol::{Changes, Extras, RequestIdText},
    point::{TraceId, Value, error_code::ErrorCode},
    record::recorder::{FinishedRequest, Recorder},
    request::RequestId,
    settings::Limits,
    stats::RecorderCounters,
};

/// Where extras of one request are collected. Sealed when the request's points are written.
///
/// Safe to have on both sides of a `catch_unwind`, as [`lock`](Self::lock) says.
#[derive(Debug, Default)]
pub(crate) struct RequestData(AssertUnwindSafe<Mutex<DataContents>>);

#[derive(Debug, Default)]
pub(crate) struct DataContents {
    pub(crate) extras: Extras,
    pub(crate) error_code: Option<ErrorCode>,
    /// Whether a handler wants the request to have a point, whatever the rule says.
    pub(crate) keep: bool,
    pub(crate) skip: bool,
    /// A route found further inside, where more is known of it.
    pub(crate) route: Option<Route>,
    pub(crate) request_id: RequestId,
    /// The trace of the request that a layer has read.
    pub(crate) trace_id: Option<TraceId>,
    /// Where the layer follows the request's body.
    pub(crate) request_body: Option<Arc<RequestBodyProgress>>,
    /// That of the request whose handler makes this one, where another monitor records that.
    caller: Option<Arc<RequestData>>,
    /// The outermost monitor whose request this is. `None` for request data that an application
    /// made.
    owner: Option<DataOwner>,
    sealed: bool,
}

/// What request data must know of a monitor. Not a handle of it: spare request data, which keeps
/// its owner, would keep the monitor alive.
#[derive(Clone, Debug)]
struct DataOwner {
    monitor: u64,
    limits: Limits,
    counters: Arc<RecorderCounters>,
}

impl RequestData {
    /// Takes spare request data or creates new, for a request of this monitor.
    #[inline(always)]
    pub(crate) fn take(recorder: &Recorder, request_id: RequestId) -> Arc<Self> {
        let mut request_data = Self::empty();
        if let Some(contents) = Self::contents(&mut request_data) {
            contents.request_id = request_id;
            if contents.owner.as_ref().is_none_or(|owner| owner.monitor != recorder.number) {
                contents.owner = Some(DataOwner::of(recorder));
            }
        }
        request_data
    }

    /// Creates the data of a request that is made by a handler of another one, whose id it has.
    pub(crate) fn of_call(recorder: &Recorder, caller: Arc<Self>) -> Arc<Self> {
        let request_id = caller.lock().request_id();
        let mut request_data = Self::take(recorder, request_id);
        if let Some(contents) = Self::contents(&mut request_data) {
            contents.caller = Some(caller);
        }
        request_data
    }

    /// Creates data that belongs to no request yet.
    pub(crate) fn without_owner() -> Arc<Self> {
        let mut request_data = Self::empty();
        if let Some(contents) = Self::contents(&mut request_data) {
            contents.owner = None;
            contents.request_id = RequestId::default();
        }
        request_data
    }

    #[inline(always)]
    fn empty() -> Arc<Self> {
        SPARE.try_with(Spare::take).ok().flatten().unwrap_or_default()
    }

    /// Writes the points of a request with what was collected, and puts the request data aside for
    /// the next request, if nobody else holds it.
    #[inline(never)]
    pub(crate) fn finish(
        mut request_data: Arc<Self>,
        recorder: &Recorder,
        finished: FinishedRequest<'_>,
        classified: Option<&ErrorCode>,
    ) {
        let Some(contents) = Self::contents(&mut request_data) else {
            return request_data.finish_shared(recorder, finished, classified);
        };
        if contents.caller.is_some() {
            contents.take_callers();
        }
        if contents.request_body.is_some() {
            contents.add_request_body();
        }
        contents.record(recorder, finished, classified);
        contents.reset();
        Self::put_back(request_data);
    }

    #[inline(never)]
    fn finish_shared(
        &self,
        recorder: &Recorder,
        finished: FinishedRequest<'_>,
        classified: Option<&ErrorCode>,
    ) {
        let mut contents = self.lock();
        contents.take_callers();
        contents.add_request_body();
        contents.record(recorder, finished, classified);
        contents.sealed |= contents.is_last(recorder);
    }

    /// Puts the request data aside, unless it has become more than an id that was given, or
    /// somebody else holds it.
    #[inline]
    pub(crate) fn put_back_unused(mut request_data: Arc<Self>) -> Option<Arc<Self>> {
        match Self::contents(&mut request_data) {
            Some(contents) if contents.is_unused() => {
                contents.trace_id = None;
                Self::put_back(request_data);
                None
            }
            _ => Some(request_data),
        }
    }

    #[inline]
    fn put_back(request_data: Arc<Self>) {
        let _ = SPARE.try_with(|spare| spare.put(request_data));
    }

    /// Returns the contents of request data that nobody else holds.
    #[inline]
    fn contents(request_data: &mut Arc<Self>) -> Option<&mut DataContents> {
        Arc::get_mut(request_data).map(|only| only.0.get_mut())
    }

    pub(crate) fn tag(&self, key: &'static str, value: Value<'_>) {
        let mut contents = self.lock();
        if let DataContents { extras, owner: Some(owner), sealed: false, .. } = &mut *contents
            && extras.plain_tag(key, &value, &owner.limits)
        {
            return;
        }
        contents.tag(key, value);
    }

    pub(crate) fn field(&self, key: &'static str, value: Value<'_>) {
        let mut contents = self.lock();
        if let DataContents { extras, owner: Some(owner), sealed: false, .. } = &mut *contents
            && extras.plain_field(key, &value, &owner.limits)
        {
            return;
        }
        contents.field(key, value);
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, DataContents> {
        // Nothing under this lock leaves an entry half written, so a panic in between has broken
        // nothing.
        self.0.lock()
    }
}

impl DataContents {
    #[inline(never)]
    fn tag(&mut self, key: &'static str, value: Value<'_>) {
        self.add(|extras, limits| extras.tag(key, value, limits));
    }

    #[inline(never)]
    fn field(&mut self, key: &'static str, value: Value<'_>) {
        self.add(|extras, limits| extras.field(key, value, limits));
    }

    pub(crate) fn request_id(&self) -> RequestId {
        self.request_id.clone()
    }

    /// Takes the route that is known here, further inside of the same request.
    pub(crate) fn refine(&mut self, route: &Route) {
        if self.route.as_ref().is_none_or(|known| route.is_within(known.as_str())) {
            self.route = Some(route.clone());
        }
    }

    /// Adds what the handler that made this request has added to its own by now. What is here
    /// already comes first.
    #[inline(never)]
    fn take_callers(&mut self) {
        let Some(caller) = self.caller.take() else { return };
        // A caller never waits for the lock of a call.
        let mut extras = caller.lock().extras.clone();
        if let Some(DataOwner { limits, .. }) = &self.owner {
            extras.merge(&self.extras, limits);
            self.extras = extras;
        }
    }

    /// Adds what was read of the request's body by now.
    #[inline(never)]
    fn add_request_body(&mut self) {
        let Some(body) = self.request_body.clone() else { return };
        let (bytes, end) = (body.bytes(), body.ending().as_str());
        self.add(|extras, limits| extras.field(REQUEST_BODY_BYTES, bytes.into(), limits));
        self.add(|extras, limits| extras.field(REQUEST_BODY_END, end.into(), limits));
    }

    /// Makes the request data this monitor's, with the id unless another monitor has given it one.
    /// False if its request has ended.
    pub(super) fn adopt(&mut self, recorder: &Recorder, request_id: RequestId) -> bool {
        if self.sealed {
            return false;
        }
        if self.owner.is_none() {
            self.owner = Some(DataOwner::of(recorder));
            self.request_id = request_id;
        }
        true
    }

    /// Takes the id that the request brought, unless the request data is another monitor's, which
    /// has given the request its id.
    pub(super) fn take_id(&mut self, recorder: &Recorder, id: RequestId) {
        if self.is_last(recorder) {
            self.request_id = id;
        }
    }

    /// Returns whether this monitor is the outermost that the request data belongs to, and so the
    /// last to write its points.
    pub(crate) fn is_last(&self, recorder: &Recorder) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.monitor == recorder.number)
    }

    /// Records the request with what is here. `classified` is the classifier's error code: the
    /// application's own wins.
    #[inline(always)]
    fn record(&mut self, recorder: &Recorder, finished: FinishedRequest<'_>, classified: Option<&ErrorCode>) {
        let mut finished: FinishedRequest<'_> = finished;
        let is_last = self.is_last(recorder);
        let Self { extras, error_code, keep, skip, route, request_id, .. } = self;
        finished.keep |= *keep;
        finished.skip = *skip;
        // Never a longer one of another place: a handler may have sent the request on.
        if let Some(route) = route.as_ref().filter(|route| route.is_within(finished.resource.name)) {
            finished.resource = route.resource(recorder.number, finished.method);
        }
        finished.error_code = finished.error_code.or(error_code.as_ref()).or(classified);
        finished.request_id = request_id
            .number()
            .map_or_else(|| RequestIdText::Own(request_id.own()), RequestIdText::Generated);
        if is_last {
            recorder.record_request(&finished, Some(extras));
        } else {
            // The monitor around this one has types and caps of its own: it must find the extras as
            // they were.
            recorder.record_request(&finished, Some(&mut extras.clone()));
        }
    }

    /// Returns whether a request with this ends as one without any.
    fn is_unused(&self) -> bool {
        let Self {
            extras,
            error_code,
            keep,
            skip,
            route,
            request_id,
            // Not what makes a difference: the layer has it apart.
            trace_id: _,
            request_body,
            caller,
            owner: _,
            sealed,
        } = self;
        let has_parts = error_code.is_some() || route.is_some() || request_body.is_some() || caller.is_some();
        extras.is_empty() && !has_parts && !keep && !skip && !sealed && request_id.number().is_some()
    }

    /// Resets all but what the next request sets anyway.
    #[inline]
    fn reset(&mut self) {
        self.extras.clear();
        self.error_code = None;
        self.keep = false;
        self.skip = false;
        self.route = None;
        self.trace_id = None;
        self.request_body = None;
        self.caller = None;
        self.sealed = false;
    }

    #[inline]
    pub(super) fn add(&mut self, add: impl FnOnce(&mut Extras, &Limits) -> Changes) {
        let Self { extras, owner, sealed: false, .. } = self else { return self.count_late() };
        match owner {
            Some(owner) => {
                let changes = add(extras, &owner.limits);
                if !changes.is_empty() {
                    changes.count(&owner.counters);
                }
            }
            None => {
                add(extras, &Limits::default());
            }
        }
    }

    #[cold]
    fn count_late(&self) {
        if let Some(owner) = &self.owner {
            owner.counters.late_extras.add(1);
        }
    }
}

impl DataOwner {
    #[cold]
    fn of(recorder: &Recorder) -> Self {
        let Recorder { number, limits, counters, .. } = recorder;
        Self { monitor: *number, limits: *limits, counters: Arc::clone(counters) }
    }
}

const REQUEST_BODY_BYTES: &str = "request_body_bytes";
const REQUEST_BODY_END: &str = "request_body_end";

thread_local!(static SPARE: Spare<Arc<RequestData>> = const { Spare::new() });
