//! Where points come in: from the layer and from the application, into the buffer, as bytes.

use std::{
    any::Any,
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{self, MonotonicInstant},
    delivery::buffer::Buffer,
    line_protocol::{
        self, BodyFields, Changes, Extras, Id, RequestHead, RequestLine, RequestTemplate, StaticTags,
    },
    point::{
        Point,
        error_code::ErrorCode,
        schema::{ERROR_CODE, ROUTE},
    },
    record::filter::Filter,
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::{Limits, Settings},
    stats::{DETACHED, Named, RecorderCounters},
};

/// All that recording a point needs. It does not change while the monitor runs, so that a request takes no lock to read it.
pub(crate) struct Recorder {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) counters: Arc<RecorderCounters>,
    pub(crate) limits: Limits,
    /// Whether points carry the ids of their requests.
    pub(crate) stores_request_ids: bool,
    /// Outgoing calls by target, and long connections by kind.
    pub(crate) targets: Named,
    pub(crate) connections: Named,
    /// No other of this process has it.
    pub(crate) number: u64,
    template: RequestTemplate,
    static_tags: StaticTags,
    filter: Option<Filter>,
    types: FieldTypes,
    values: TagCardinality,
    unmatched: Unmatched,
    /// The flusher's handle: it ends, and spools what is left, when the last monitor, layer and service are gone.
    #[expect(dead_code, reason = "held, never used: a path from a request to the flusher must not exist")]
    keeps: Box<dyn Any + Send + Sync>,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishedRequest<'a> {
    pub(crate) stamp: i64,
    pub(crate) method: &'static str,
    pub(crate) resource: Resource<'a>,
    pub(crate) status: u16,
    pub(crate) failed: bool,
    pub(crate) execution_time: Duration,
    pub(crate) error_code: Option<&'a ErrorCode>,
    pub(crate) request_id: Id<'a>,
    pub(crate) body: Option<&'a BodyFields>,
}

/// What a request asked for: its route without the method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource<'a> {
    pub(crate) name: &'a str,
    /// What its lines begin with, where that was encoded before.
    pub(crate) head: Option<&'a RequestHead>,
    /// Whether a function of the application named it: then its distinct values are capped.
    pub(crate) is_named: bool,
}

impl Recorder {
    pub(crate) fn new(
        settings: &Settings,
        buffer: Arc<Buffer>,
        counters: Arc<RecorderCounters>,
        keeps: impl Any + Send + Sync,
    ) -> Self {
        let static_tags = StaticTags::new(&settings.service, settings.instance.as_deref(), &settings.tags);
        Self {
            buffer,
            counters,
            limits: settings.limits,
            stores_request_ids: settings.request_id,
            targets: Named::default(),
            connections: Named::default(),
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            template: RequestTemplate::new(&static_tags, settings.request_id),
            static_tags,
            filter: Filter::new(&settings.filter),
            types: FieldTypes::default(),
            values: TagCardinality::new(settings.limits.tag_values),
            unmatched: Unmatched::default(),
            keeps: Box::new(keeps),
        }
    }

    /// `is_matched`: whether the request has a route.
    #[inline]
    pub(crate) fn request_started(&self, is_matched: bool) {
        self.buffer.request_started();
        self.unmatched.look(is_matched);
    }

    /// What all lines of a method and a route have in common. See [`RequestTemplate::head`].
    pub(crate) fn head(&self, method: &'static str, resource: &str) -> Option<RequestHead> {
        self.template.head(method, resource)
    }

    /// Writes the point of a request, and a second one if it failed, in one piece: both are taken or none.
    #[inline]
    pub(crate) fn record_request(&self, request: &FinishedRequest<'_>, mut extras: Option<&mut Extras>) {
        let Resource { name, head, is_named } = request.resource;
        if self.filter.as_ref().is_some_and(|filter| !filter.records(request.method, name)) {
            return self.buffer.request_ended();
        }
        let mut lines = take_scratch();
        let resource = if is_named { self.values.admit(ROUTE, name, &self.counters) } else { name };
        let line = RequestLine {
            stamp: request.stamp,
            method: request.method,
            resource,
            head,
            status_code: request.status,
            request_id: request.request_id,
            execution_time: request.execution_time,
            body: request.body,
        };
        let mut changes = Changes::default();
        if let Some(extras) = extras.as_deref_mut().filter(|extras| !extras.is_empty()) {
            self.template.prepare(extras, &self.types, &self.values, &mut changes);
        }
        self.template.encode_request(&mut lines, &line, extras.as_deref(), &mut changes);
        if request.failed {
            self.write_error(&mut lines, &{ line }, request.error_code, extras.as_deref(), &mut changes);
        }
        if !changes.is_empty() {
            changes.count(&self.counters);
        }
        self.push(&lines, 1 + usize::from(request.failed), true);
        keep_scratch(lines);
    }

    #[inline(never)]
    fn write_error(
        &self,
        lines: &mut Vec<u8>,
        line: &RequestLine<'_>,
        error_code: Option<&ErrorCode>,
        extras: Option<&Extras>,
        changes: &mut Changes,
    ) {
        match error_code {
            // An empty error code becomes the status code.
            None => self.template.encode_error(lines, line, "", extras, changes),
            Some(code) => code.with_text(|code| {
                let code =
                    if code.is_empty() { code } else { self.values.admit(ERROR_CODE, code, &self.counters) };
                self.template.encode_error(lines, line, code, extras, changes);
            }),
        }
    }

    /// Takes a point of the application's own.
    pub(crate) fn record(&self, point: &dyn Point) {
        self.record_all(&[point]);
    }

    /// Takes points that belong together: all or none.
    pub(crate) fn record_all(&self, points: &[&dyn Point]) {
        let mut lines = take_scratch();
        let mut count = 0;
        for point in points {
            let stamp =
                point.time().map_or_else(|| clock::stamp(MonotonicInstant::now()), |time| time.as_nanos());
            match line_protocol::encode_point(
                *point,
                stamp,
                &self.static_tags,
                &self.limits,
                &self.types,
                &self.values,
                &mut lines,
            ) {
                Ok(changes) => {
                    changes.count(&self.counters);
                    count += 1;
                }
                Err(invalid) => self.refuse(*point, invalid),
            }
        }
        if count > 0 {
            self.push(&lines, count, false);
        }
        keep_scratch(lines);
    }

    #[cold]
    fn refuse(&self, point: &dyn Point, invalid: line_protocol::Invalid) {
        self.buffer.refuse_invalid();
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                measurement = %point.measurement(),
                "a point of the application's own cannot be stored and is left out: {invalid}; \
                 further ones are only counted, as `invalid`"
            );
        }
    }

    #[inline]
    fn push(&self, lines: &[u8], points: usize, ends_request: bool) {
        // Accepted or not: the buffer has counted it.
        let _ = self.buffer.push(lines, points, ends_request);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("template", &self.template).finish_non_exhaustive()
    }
}

/// Warns when a service's requests have no routes: the layer is then most likely in a place where no router was yet.
#[derive(Debug, Default)]
struct Unmatched {
    any_matched: AtomicBool,
    count: AtomicU64,
}

impl Unmatched {
    #[inline]
    fn look(&self, is_matched: bool) {
        if self.any_matched.load(Ordering::Relaxed) {
            return;
        }
        if is_matched {
            return self.any_matched.store(true, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == UNMATCHED_BEFORE_WARNING {
            tracing::warn!(
                target: "tower_influx",
                "the first {UNMATCHED_BEFORE_WARNING} requests all had no route, so their points cannot be told apart: with axum \
                 add the layer by `Router::layer` after the routes, elsewhere name routes with `MonitoringLayer::route`"
            );
        }
    }
}

/// Counts data taken where no monitored request runs: in the whole process, since none of its monitors can be blamed.
pub(crate) fn count_detached() {
    DETACHED.add(1);
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !DISABLED.load(Ordering::Relaxed) && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            target: "tower_influx",
            "MonitoringData was taken where no monitored request is running, so what is added to it goes nowhere: the handler is \
             outside of the layer, or in a spawned task; take it before the spawn, or use `MonitoringLayer::insert_data`"
        );
    }
}

/// Says that a monitor of this process is disabled: data that goes nowhere is then what was asked for, and no warning is due.
pub(crate) fn note_disabled() {
    DISABLED.store(true, Ordering::Relaxed);
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

static DISABLED: AtomicBool = AtomicBool::new(false);

thread_local!(static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

/// The thread's own space to encode in, empty. Taken rather than borrowed: a log event while encoding may itself be handled in a
/// monitored service.
#[inline]
fn take_scratch() -> Vec<u8> {
    let mut lines = SCRATCH.try_with(Cell::take).unwrap_or_default();
    lines.clear();
    lines
}

#[inline]
fn keep_scratch(lines: Vec<u8>) {
    if lines.capacity() <= MAX_SCRATCH {
        let _ = SCRATCH.try_with(|scratch| scratch.set(lines));
    }
}

const UNMATCHED_BEFORE_WARNING: u64 = 100;
/// A larger one was needed for huge extras, and is not kept.
const MAX_SCRATCH: usize = 16 * 1024;
