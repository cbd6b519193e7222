//! Records the application's own points.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    recorder::Recorder,
    scratch::{keep_scratch, take_scratch},
};
use crate::{
    clock::{self, MonotonicInstant},
    line_protocol,
    point::Point,
};

impl Recorder {
    /// Records a point of the application.
    pub(crate) fn record(&self, point: &dyn Point) {
        self.record_all(&[point]);
    }

    /// Records points that belong together: all or none.
    pub(crate) fn record_all(&self, points: &[&dyn Point]) {
        if self.keep.is_never() {
            return;
        }
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
    fn refuse(&self, point: &dyn Point, invalid: line_protocol::InvalidPoint) {
        self.buffer.refuse_invalid();
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                measurement = %point.measurement(),
                "point of the application left out, it cannot be stored: {invalid}; correct it: further ones are \
                 only counted, as `invalid`"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        delivery::buffer::Buffer,
        point::DataPoint,
        record::recorder::Recorder,
        settings::{Overflow, Settings},
        stats::ledger::Ledger,
        test_log::logged,
    };

    #[test]
    fn invalid_points_are_counted_and_logged_once_and_valid_ones_are_recorded() {
        let buffer = Arc::new(Buffer::with_shards(1, 1 << 20, Overflow::DropNewest));
        let recorder = Recorder::new(&Settings::new("test"), Arc::clone(&buffer), Arc::default(), None, ());
        let (good, bad) = (DataPoint::new("jobs").with_field("done", 1), DataPoint::new("jobs"));
        let log = logged(|| {
            recorder.record(&bad);
            recorder.record_all(&[&good, &bad, &good]);
            recorder.record_all(&[&bad, &bad]);
        });
        assert!(log.lines().count() == 1 && log.contains("measurement=jobs"), "{log}");
        let counts = buffer.snapshot(&Ledger::default()).1;
        assert_eq!((counts.offered, counts.invalid, counts.accepted), (6, 4, 2));
    }
}
