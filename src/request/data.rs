//! The request data, which holds what a request's handlers add.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, MutexGuard};

use super::{request_body::RequestBodyProgress, route::Route};
use crate::{
    line_protocol::{Changes, Extras, RequestIdText},
    point::{
        TraceId, Value,
        error_code::ErrorCode,
        schema::{REQUEST_BODY_BYTES, REQUEST_BODY_END},
    },
    record::recorder::{FinishedRequest, Recorder},
    request::RequestId,
    settings::Limits,
    stats::RecorderCounters,
};

/// Collects the extras of one request. It is sealed when the request's points are written.
#[derive(Debug, Default)]
pub(crate) struct RequestData {
    pub(super) contents: AssertUnwindSafe<Mutex<DataContents>>,
    /// Whether anybody has locked the contents since the data was taken. If not, nothing was added.
    pub(super) was_locked: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct DataContents {
    pub(crate) extras: Extras,
    pub(crate) error_code: Option<ErrorCode>,
    /// Whether a handler wants the request to have a point, whatever the rule of the settings.
    pub(crate) keep: bool,
    pub(crate) skip: bool,
    /// A more specific route, found by an inner router or layer.
    pub(crate) route: Option<Route>,
    pub(crate) request_id: RequestId,
    /// The trace of the request that a layer has read.
    pub(crate) trace_id: Option<TraceId>,
    /// Where the layer follows the request's body.
    pub(crate) request_body: Option<Arc<RequestBodyProgress>>,
    /// The data of the request whose handler makes this one, if another monitor records that.
    caller: Option<Arc<RequestData>>,
    /// The outermost monitor of the request. `None` for request data that an application created.
    pub(super) owner: Option<DataOwner>,
    sealed: bool,
}

/// What request data must know of a monitor. Not a handle to it: spare request data keeps its
/// owner, and would keep the monitor alive.
#[derive(Clone, Debug)]
pub(super) struct DataOwner {
    pub(super) monitor: u64,
    limits: Limits,
    counters: Arc<RecorderCounters>,
}

impl RequestData {
    /// Creates the data of a request that a handler of another one makes. It has the id of that
    /// one.
    pub(crate) fn of_call(recorder: &Recorder, caller: Arc<Self>) -> Arc<Self> {
        let request_id = caller.lock().request_id();
        let mut request_data = Self::take(recorder, request_id);
        if let Some(contents) = Self::contents(&mut request_data) {
            contents.caller = Some(caller);
        }
        request_data
    }

    /// Creates data that does not belong to a request yet.
    pub(crate) fn without_owner() -> Arc<Self> {
        let mut request_data = Self::empty();
        if let Some(contents) = Self::contents(&mut request_data) {
            contents.owner = None;
            contents.request_id = RequestId::default();
        }
        request_data
    }

    /// Writes the points of a request with the collected extras. Keeps the request data for the
    /// next request, if it is not shared.
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
            contents.merge_caller();
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
        contents.merge_caller();
        contents.add_request_body();
        contents.record(recorder, finished, classified);
        contents.sealed |= contents.is_last(recorder);
    }

    /// Returns the contents of request data that is not shared.
    #[inline]
    pub(super) fn contents(request_data: &mut Arc<Self>) -> Option<&mut DataContents> {
        Arc::get_mut(request_data).map(|only| only.contents.get_mut())
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
        // A panic under this lock is harmless: no code leaves an entry incomplete.
        self.was_locked.store(true, Relaxed);
        self.contents.lock()
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

    /// Stores the route that an inner part of the same request knows, if it is more specific.
    pub(crate) fn refine(&mut self, route: &Route) {
        if self.route.as_ref().is_none_or(|known| route.is_within(known.as_str())) {
            self.route = Some(route.clone());
        }
    }

    /// Adds the extras that the handler which made this request has added to its own so far.
    /// Existing ones take precedence.
    #[inline(never)]
    fn merge_caller(&mut self) {
        let Some(caller) = self.caller.take() else { return };
        // Cannot deadlock: a caller never waits for the lock of its call.
        let mut extras = caller.lock().extras.clone();
        if let Some(DataOwner { limits, .. }) = &self.owner {
            extras.merge(&self.extras, limits);
            self.extras = extras;
        }
    }

    /// Adds how much of the request's body was read so far.
    #[inline(never)]
    fn add_request_body(&mut self) {
        let Some(body) = self.request_body.clone() else { return };
        let (bytes, end) = (body.bytes(), body.ending().as_str());
        self.add(|extras, limits| extras.field(REQUEST_BODY_BYTES, bytes.into(), limits));
        self.add(|extras, limits| extras.field(REQUEST_BODY_END, end.into(), limits));
    }

    /// Makes this monitor the owner of the request data, unless another monitor is. A new owner
    /// also sets the id. Returns false if the request has ended.
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

    /// Stores the id that the request brought, unless the request data belongs to another monitor,
    /// which has set the id.
    pub(super) fn take_id(&mut self, recorder: &Recorder, id: RequestId) {
        if self.is_last(recorder) {
            self.request_id = id;
        }
    }

    /// Counts what is added from now on as late.
    pub(super) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Returns whether this monitor is the outermost one of the request data, and so the last to
    /// write its points.
    pub(crate) fn is_last(&self, recorder: &Recorder) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.monitor == recorder.number)
    }

    /// Records the request with these contents. `classified` is the classifier's error code; the
    /// application's own takes precedence.
    #[inline(always)]
    fn record(&mut self, recorder: &Recorder, finished: FinishedRequest<'_>, classified: Option<&ErrorCode>) {
        let mut finished: FinishedRequest<'_> = finished;
        let is_last = self.is_last(recorder);
        let Self { extras, error_code, keep, skip, route, request_id, .. } = self;
        finished.keep |= *keep;
        finished.skip = *skip;
        // A route outside the known one is not used: a handler may have sent the request on.
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
            // The outer monitor has types and limits of its own, so it must find the extras
            // unchanged.
            recorder.record_request(&finished, Some(&mut extras.clone()));
        }
    }

    /// Returns whether a request with these contents ends as one without any.
    pub(super) fn is_unused(&self) -> bool {
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

    /// Resets everything that the next request does not set anyway.
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
    pub(super) fn of(recorder: &Recorder) -> Self {
        let Recorder { number, limits, counters, .. } = recorder;
        Self { monitor: *number, limits: *limits, counters: Arc::clone(counters) }
    }
}
