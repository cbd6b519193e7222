//! Connections that outlive their request: WebSockets, event streams, tunnels.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{MonitoringData, RequestId, current};
use crate::{
    clock::{self, MonotonicInstant},
    point::{
        Point, Timestamp, Value, number_format,
        schema::{BODY_DROPPED, CONNECTION, CONNECTIONS, DURATION, END, REQUEST_ID},
    },
    record::{misplaced, recorder::Recorder},
    stats::TargetCounters,
};

/// A guard for a long connection, such as a WebSocket. When it is dropped, it records one point in
/// `connections`.
///
/// Created by [`MonitoringData::connection`] in a handler, or by
/// [`Monitor::connection`](crate::Monitor::connection) elsewhere. Move it into the task that serves
/// the connection. Until it is dropped, the connection counts as open in
/// [`Stats::connections`](crate::stats::Stats::connections).
///
/// ```
/// use tower_influx::{Connection, MonitoringData};
///
/// async fn chat(data: MonitoringData) {
///     let connection: Connection = data.connection("chat");
///     tokio::spawn(async move {
///         connection.add("messages_in", 1);
///         connection.end("client_left");
///     });
/// }
/// ```
#[must_use = "a connection that is not kept ends at once"]
pub struct Connection {
    /// `None` if there is no monitor to record it.
    open: Option<OpenConnection>,
}

struct OpenConnection {
    recorder: Arc<Recorder>,
    counters: Arc<TargetCounters>,
    name: Cow<'static, str>,
    request_id: RequestId,
    start: MonotonicInstant,
    stamp: i64,
    sums: Mutex<BTreeMap<&'static str, i64>>,
    end: &'static str,
}

impl Connection {
    pub(crate) fn open(
        recorder: Option<&Arc<Recorder>>,
        name: Cow<'static, str>,
        request_id: RequestId,
    ) -> Self {
        let open = recorder.map(|recorder| {
            let counters = recorder.connections.of(name.clone());
            counters.start();
            let start = MonotonicInstant::now();
            OpenConnection {
                recorder: Arc::clone(recorder),
                counters,
                name,
                request_id,
                start,
                stamp: clock::stamp(start),
                sums: Mutex::default(),
                end: BODY_DROPPED,
            }
        });
        Self { open }
    }

    /// Adds to a counter of this connection, such as `messages_in`. The counter becomes an integer
    /// field of the point. Sums saturate. A connection has at most 64 counters. Further ones are
    /// left out and counted as [excess extras](crate::stats::RecorderStats::excess_extras).
    pub fn add(&self, key: &'static str, count: i64) {
        let Some(open) = &self.open else { return };
        let mut sums = open.sums.lock();
        if sums.len() >= MAX_COUNTERS && !sums.contains_key(key) {
            return open.recorder.counters.excess_extras.add(1);
        }
        let sum = sums.entry(key).or_default();
        *sum = sum.saturating_add(count);
    }

    /// Ends the connection and sets the tag `end` of its point. Use one of few values, such as
    /// `client_left`. Without this call the tag has the value `dropped`.
    pub fn end(mut self, how: &'static str) {
        if let Some(open) = &mut self.open {
            open.end = how;
        }
    }

    /// Returns how long the connection has been open. Zero if no monitor records it.
    pub fn elapsed(&self) -> Duration {
        self.open.as_ref().map_or(Duration::ZERO, |open| open.start.elapsed())
    }
}

impl MonitoringData {
    /// Opens a long connection of this kind, from the handler that accepts it. Its point has the id
    /// of the request.
    ///
    /// Call it in the handler, not in the task that serves the connection. Outside of a monitored
    /// request nothing is recorded. This is counted as
    /// [`detached`](crate::stats::RecorderStats::detached), and the first case is logged.
    ///
    /// # Cardinality
    ///
    /// The name becomes a tag, so use few distinct names. Their number is capped as for every tag.
    pub fn connection(&self, name: impl Into<Cow<'static, str>>) -> Connection {
        let recorder = current::with(|current| current.config.recorder.clone()).flatten();
        if recorder.is_none() {
            misplaced::count_detached();
        }
        Connection::open(recorder.as_ref(), name.into(), self.request_id())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.counters.end(false);
            open.recorder.record_all(&[open]);
        }
    }
}

impl Point for OpenConnection {
    fn measurement(&self) -> &str {
        CONNECTIONS
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit(CONNECTION, &self.name);
        visit(END, self.end);
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        let sums = self.sums.lock();
        sums.iter().for_each(|(key, sum)| visit(key, (*sum).into()));
        drop(sums);
        visit(DURATION, number_format::as_seconds(self.start.elapsed()).into());
        let id = self.request_id.to_string();
        if !id.is_empty() && self.recorder.stores_request_ids {
            visit(REQUEST_ID, id.into());
        }
    }

    fn time(&self) -> Option<Timestamp> {
        Some(self.stamp.into())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.open.as_ref().map(|open| &open.name);
        formatter.debug_struct("Connection").field("name", &name).finish_non_exhaustive()
    }
}

/// The most counters of one connection.
const MAX_COUNTERS: usize = 64;
