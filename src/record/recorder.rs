//! The recorder: encodes points of the layer and of the application into the buffer.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) use super::finished_request::{FinishedRequest, Resource, RouteHead};
use crate::{
    delivery::buffer::Buffer,
    line_protocol::{Changes, Extras, RequestLine, RequestTemplate, StaticTags},
    point::{
        schema::{ERROR_CODE, REQUESTS, ROUTE},
        value::FieldType,
    },
    record::{
        filter::Filter,
        keep_rule::KeepRule,
        known_routes::{KnownNumber, KnownRoute, KnownRoutes},
        misplaced::{IgnoredOptions, Unmatched},
        request_counter::{CountedRequest, RequestCounter},
        rollup::{Rollup, RouteKey},
        scratch::{keep_scratch, take_scratch},
    },
    schema::{
        cardinality::TagCardinality,
        field_types::{FieldTypes, TypeCheck},
    },
    settings::{Limits, Settings},
    stats::{Named, RecorderCounters},
};

/// Everything that recording a point needs. It does not change while the monitor runs, so a request
/// takes no lock to read it.
pub(crate) struct Recorder {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) counters: Arc<RecorderCounters>,
    pub(crate) limits: Limits,
    /// Whether points have the ids of their requests.
    pub(crate) stores_request_ids: bool,
    /// Whether layers read traces by default.
    pub(crate) reads_traces: bool,
    /// Whether a layer reads traces. Rollups then have exemplars.
    pub(crate) has_traces: AtomicBool,
    /// Counters of outgoing calls by target, and of long connections by kind.
    pub(crate) targets: Named,
    pub(crate) connections: Named,
    /// Unique within the process.
    pub(crate) number: u64,
    template: RequestTemplate,
    pub(super) static_tags: StaticTags,
    pub(crate) filter: Option<Filter>,
    pub(crate) routes: KnownRoutes,
    pub(super) keep: KeepRule,
    /// `None` without rollups.
    counter: Option<RequestCounter>,
    pub(super) types: FieldTypes,
    pub(super) values: TagCardinality,
    unmatched: Unmatched,
    pub(crate) ignored_options: IgnoredOptions,
    /// The flusher's handle. The flusher ends, and spools what is left, when the last monitor,
    /// layer and service are dropped.
    #[expect(dead_code, reason = "held, never used: a path from a request to the flusher must not exist")]
    keeps: Box<dyn Any + Send + Sync>,
}

impl Recorder {
    pub(crate) fn new(
        settings: &Settings,
        buffer: Arc<Buffer>,
        counters: Arc<RecorderCounters>,
        rollup: Option<Arc<Rollup>>,
        keeps: impl Any + Send + Sync,
    ) -> Self {
        let static_tags = StaticTags::new(&settings.service, settings.instance.as_deref(), &settings.tags);
        if let Some(rollup) = rollup.clone() {
            let starts = Arc::clone(&rollup);
            buffer.counted_elsewhere.set(move || rollup.ended_without_point(), move || starts.started());
        }
        Self {
            buffer,
            counters,
            limits: settings.limits,
            stores_request_ids: settings.request_id,
            reads_traces: settings.trace_id,
            has_traces: AtomicBool::new(settings.trace_id),
            targets: Named::default(),
            connections: Named::default(),
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            template: RequestTemplate::new(&static_tags, settings.request_id),
            static_tags,
            filter: Filter::new(&settings.filter),
            routes: KnownRoutes::default(),
            keep: KeepRule::new(settings),
            counter: rollup.map(|rollup| RequestCounter::new(rollup, settings)),
            types: FieldTypes::default(),
            values: TagCardinality::new(settings.limits.tag_values),
            unmatched: Unmatched::default(),
            ignored_options: IgnoredOptions::default(),
            keeps: Box::new(keeps),
        }
    }

    /// Counts the start of a request. `is_matched` tells whether it has a route. Returns the value
    /// to pass to its end.
    #[inline]
    pub(crate) fn request_started<'a>(&self, is_matched: bool, route: impl FnOnce() -> RouteKey<'a>) -> u32 {
        self.unmatched.look(is_matched);
        match &self.counter {
            None => {
                self.buffer.request_started();
                0
            }
            // The buffer reads the number of starts from the rollups.
            Some(counter) => counter.rollup.start(route()),
        }
    }

    /// Declares a field of requests that the layer adds. Returns false, after a warning, if the
    /// name is a tag already or has another type.
    pub(crate) fn declare(&self, name: &str, field_type: FieldType) -> bool {
        self.types.check(REQUESTS.as_bytes(), name.as_bytes(), field_type) == TypeCheck::Keep
    }

    /// Encodes the beginning that all lines of a method and a route share. See
    /// [`RequestTemplate::head`].
    pub(crate) fn head(&self, method: &'static str, resource: &str) -> Option<RouteHead> {
        let line = self.template.head(method, resource)?;
        let number = self.counter.as_ref().map_or(0, |counter| counter.rollup.route(method, resource));
        Some(RouteHead { line, number })
    }

    /// Returns the number of a route among the known ones. `None` if it has no
    /// [`head`](Self::head), or if there are too many routes.
    pub(crate) fn known_route(&self, method: &'static str, name: &str) -> Option<KnownNumber> {
        let route = self.routes.find(method, name).or_else(|| {
            let head = self.head(method, name)?;
            self.routes.add(KnownRoute { monitor: self.number, method, name: name.into(), head })
        })?;
        Some(KnownNumber { route, rollup: self.routes.get(route)?.head.number })
    }

    /// Records a request without extras, as [`record_request`](Self::record_request) does. It is
    /// inlined at the usual end of a request, so that constants cost nothing there.
    #[inline(always)]
    pub(crate) fn record_usual(&self, request: &FinishedRequest<'_>) {
        self.record_inlined(request, None);
    }

    /// Writes the point of a request, and a second one if it failed, as one unit: both are accepted
    /// or none.
    #[inline(never)]
    pub(crate) fn record_request(&self, request: &FinishedRequest<'_>, extras: Option<&mut Extras>) {
        self.record_inlined(request, extras);
    }

    #[inline(always)]
    fn record_inlined(&self, request: &FinishedRequest<'_>, mut extras: Option<&mut Extras>) {
        let Resource { name, head, is_named } = request.resource;
        if request.skip {
            return self.skip(request.started);
        }
        if self.is_filtered(request.method, name) {
            return self.leave_out(request.started);
        }
        // Separate, so that a request without rollups pays only one check. The buffer is not told
        // of this end: it reads the number of requests without points from the rollups.
        if let Some(counter) = &self.counter
            && !self.count(counter, request, extras.as_deref_mut())
        {
            return;
        }
        let mut lines = take_scratch();
        let resource = if is_named { self.values.admit(ROUTE, name, &self.counters) } else { name };
        let line = RequestLine {
            stamp: request.stamp,
            method: request.method,
            resource,
            head: head.map(|head| &head.line),
            status_code: request.status,
            request_id: request.request_id,
            execution_time: Duration::from_nanos(request.nanoseconds),
            body: request.body,
            added: request.added,
        };
        let mut changes = Changes::default();
        if let Some(extras) = extras.as_deref_mut().filter(|extras| !extras.is_empty()) {
            self.template.prepare(extras, &self.types, &self.values, &mut changes);
        }
        self.template.encode_request(&mut lines, &line, extras.as_deref(), &mut changes);
        if request.failed {
            self.write_error(&mut lines, &{ line }, request, extras.as_deref(), &mut changes);
        }
        if !changes.is_empty() {
            changes.count(&self.counters);
        }
        self.push(&lines, 1 + usize::from(request.failed), true);
        keep_scratch(lines);
    }

    /// Leaves out a request that its handler has skipped.
    #[cold]
    #[inline(never)]
    fn skip(&self, started: u32) {
        self.counters.skipped.add(1);
        self.leave_out(started);
    }

    /// Ends a request that gets no point, and is in no line of rollups.
    #[inline]
    fn leave_out(&self, started: u32) {
        match &self.counter {
            Some(counter) => counter.rollup.leave_out(started),
            None => self.buffer.request_ended(),
        }
    }

    /// Counts a request that has ended. Returns whether it gets a point of its own.
    #[inline(always)]
    fn count(
        &self,
        counter: &RequestCounter,
        request: &FinishedRequest<'_>,
        extras: Option<&mut Extras>,
    ) -> bool {
        let nanoseconds = request.nanoseconds;
        let kept = self.keep.keeps(request.failed, nanoseconds, request.keep);
        let has_traces =
            (extras.is_some() || request.added.is_some()) && self.has_traces.load(Ordering::Relaxed);
        match request.resource.head {
            Some(head) if !request.failed && !counter.needs_tags() && !has_traces => {
                counter.rollup.end_plain(request.started, head.number, request.status, nanoseconds, kept);
            }
            _ => self.count_other(counter, &{ *request }, kept, extras),
        }
        kept
    }

    /// Counts a request with extras or an error. If the request is kept, its point counts what was
    /// changed in the extras.
    #[inline(never)]
    fn count_other(
        &self,
        counter: &RequestCounter,
        request: &FinishedRequest<'_>,
        kept: bool,
        extras: Option<&mut Extras>,
    ) {
        let unused = RecorderCounters::default();
        let counters = if kept { &unused } else { &*self.counters };
        let Resource { name, is_named, .. } = request.resource;
        let name = if is_named { self.values.admit(ROUTE, name, counters) } else { name };
        let mut space = take_scratch();
        let own = extras.as_deref().and_then(Extras::trace_id);
        let trace = own.or(request.added.and_then(|added| added.trace_id));
        if let Some(extras) = extras.filter(|extras| counter.needs_tags() && !extras.is_empty()) {
            let mut changes = Changes::default();
            self.template.prepare(extras, &self.types, &self.values, &mut changes);
            changes.count(&self.counters);
            counter.select(extras, &mut space);
        }
        let counted = CountedRequest {
            started: request.started,
            route: Resource { name, ..request.resource }.key(request.method),
            status: request.status,
            failed: request.failed,
            error_code: "",
            tags: &space,
            nanoseconds: request.nanoseconds,
            kept,
            trace,
        };
        match request.error_code.filter(|_| request.failed) {
            None => counter.end(&counted),
            Some(code) => code.with_text(|code| {
                let error_code =
                    if code.is_empty() { "" } else { self.values.admit(ERROR_CODE, code, counters) };
                counter.end(&CountedRequest { error_code, ..counted });
            }),
        }
        keep_scratch(space);
    }

    /// Returns whether the filter leaves out this request. Counts it if so.
    #[inline]
    fn is_filtered(&self, method: &str, resource: &str) -> bool {
        let is_filtered = self.filter.as_ref().is_some_and(|filter| !filter.records(method, resource));
        if is_filtered {
            self.counters.filtered.add(1);
        }
        is_filtered
    }

    #[inline(never)]
    fn write_error(
        &self,
        lines: &mut Vec<u8>,
        line: &RequestLine<'_>,
        request: &FinishedRequest<'_>,
        extras: Option<&Extras>,
        changes: &mut Changes,
    ) {
        match request.error_code {
            // An empty error code becomes the status code.
            None => self.template.encode_error(lines, line, "", extras, changes),
            Some(code) => code.with_text(|code| {
                let code =
                    if code.is_empty() { code } else { self.values.admit(ERROR_CODE, code, &self.counters) };
                self.template.encode_error(lines, line, code, extras, changes);
            }),
        }
    }

    #[inline]
    pub(super) fn push(&self, lines: &[u8], points: usize, ends_request: bool) {
        // The result is not needed: the buffer counts refused points.
        let _ = self.buffer.push(lines, points, ends_request);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("template", &self.template).finish_non_exhaustive()
    }
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);
