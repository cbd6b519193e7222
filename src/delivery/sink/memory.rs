//! A sink that keeps batches in memory, for tests.

use std::{panic::AssertUnwindSafe, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    delivery::{
        batch::Batch,
        sink::{Sink, SinkFuture, WriteError, Written},
    },
    line_protocol::parse,
    point::{DataPoint, Point},
};

/// Keeps all points in memory, so that a test can check what a service has recorded.
///
/// Clones share the points: pass one to the monitor and keep another. Points arrive with the next
/// flush, so flush the monitor before checking. No point is ever dropped, so memory grows until
/// [`clear`](Self::clear) is called.
///
/// ```
/// use tower_influx::{DataPoint, Monitor, Settings, sink::MemorySink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_influx::Error> {
/// let sink = MemorySink::new();
/// let monitor = Monitor::builder(Settings::new("my-service")).sink(sink.clone()).start()?;
/// monitor.record(&DataPoint::new("jobs").with_tag("queue", "mail").with_field("attempts", 2));
///
/// monitor.flush().await?;
/// let jobs = sink.measurement("jobs");
/// assert_eq!(jobs.len(), 1);
/// assert_eq!(jobs[0].tag("queue"), Some("mail"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemorySink {
    batches: Arc<AssertUnwindSafe<Mutex<Vec<Batch>>>>,
}

impl MemorySink {
    /// Creates an empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns all points, ordered by time.
    pub fn points(&self) -> Vec<DataPoint> {
        let batches = self.batches().clone();
        let lines = batches.iter().flat_map(Batch::lines);
        let mut points: Vec<_> = lines.filter_map(parse).collect();
        debug_assert_eq!(points.len(), count(&batches), "a line that we write is one that we read");
        points.sort_by_key(DataPoint::time);
        points
    }

    /// Returns the points of one measurement, such as `requests` or `errors`, ordered by time.
    pub fn measurement(&self, measurement: &str) -> Vec<DataPoint> {
        let mut points = self.points();
        points.retain(|point| point.measurement() == measurement);
        points
    }

    /// Returns the number of points.
    pub fn len(&self) -> usize {
        count(&self.batches())
    }

    /// Returns whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.batches().is_empty()
    }

    /// Removes all points.
    pub fn clear(&self) {
        self.batches().clear();
    }

    fn batches(&self) -> MutexGuard<'_, Vec<Batch>> {
        self.batches.lock()
    }
}

impl Sink for MemorySink {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            self.batches().push(batch.clone());
            Ok(Written::default())
        })
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

fn count(batches: &[Batch]) -> usize {
    batches.iter().map(Batch::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::sink::none::NoSink,
        point::{Timestamp, Value},
    };
    use bytes::Bytes;
    use std::time::SystemTime;

    async fn write(sink: &MemorySink, text: &'static str) {
        let lines = text.matches('\n').count();
        let batch = Batch::new(Bytes::from_static(text.as_bytes()), lines, 0, SystemTime::now());
        sink.write(&batch).await.expect("memory takes everything");
    }

    #[tokio::test]
    async fn points_come_back_typed_and_in_the_order_of_time() {
        let sink = MemorySink::new();
        let kept = sink.clone();
        write(&sink, "requests,route=GET:/a\\ b execution_time=0.5,size=3i 20\n").await;
        write(&sink, "errors v=true 30\nrequests v=\"text\" 10\n").await;
        assert_eq!((kept.len(), kept.is_empty()), (3, false));
        let requests = kept.measurement("requests");
        let times: Vec<_> = requests.iter().map(|point| point.time().map(Timestamp::as_nanos)).collect();
        assert_eq!(times, [Some(10), Some(20)]);
        assert_eq!(requests[0].field("v").and_then(Value::as_str), Some("text"));
        assert_eq!(requests[1].tag("route"), Some("GET:/a b"));
        assert_eq!(requests[1].field("size").and_then(Value::as_i64), Some(3));
        assert_eq!(kept.points().last().map(DataPoint::measurement), Some("errors"));
        kept.clear();
        assert!(sink.is_empty() && sink.points().is_empty());
    }

    #[test]
    fn the_target_defaults_to_the_description() {
        for (sink, name) in [(&MemorySink::new() as &dyn Sink, "memory"), (&NoSink, "none")] {
            assert_eq!((sink.describe(), sink.target()), (name.to_owned(), name.to_owned()));
        }
    }
}
