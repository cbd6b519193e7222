//! Our own ways.

use std::{cell::Cell, hint::black_box, rc::Rc, time::Duration};

use tokio::runtime::{Builder, Runtime};
use tower_influx::Monitor;
use tower_influx_benches::{ledger, monitor};
use tower_influx_internals::internals::encode::{EncoderInput, RequestIdSource, encoder};

use crate::{NANOSECONDS, REQUEST_ID, Row, STAMP};

/// The last digits of `REQUEST_ID`.
pub(crate) const NUMBER: u64 = 0x1e240;

/// A monitor that takes what is recorded, and how many that were.
pub(crate) struct Recorded {
    runtime: Runtime,
    monitor: Monitor,
    count: Rc<Cell<u64>>,
}

impl Recorded {
    pub(crate) fn new() -> Self {
        // Works only while it is asked to, so that the flusher takes no part in what is measured.
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let monitor = monitor(&runtime);
        Self { runtime, monitor, count: Rc::default() }
    }

    pub(crate) fn flush(&self) {
        self.runtime.block_on(self.monitor.flush()).expect("the flusher runs");
    }

    pub(crate) fn close(&self) {
        ledger::close(&self.runtime, &self.monitor, Some(self.count.get()));
    }

    fn row(&self, name: &'static str, point: impl Fn(&dyn Fn(&dyn tower_influx::Point)) + 'static) -> Row {
        let (monitor, count) = (self.monitor.clone(), Rc::clone(&self.count));
        let write = move |_: &mut Vec<u8>| {
            count.set(count.get() + 1);
            point(&|point| monitor.record(point));
        };
        Row { name, write: Box::new(write) }
    }
}

pub(crate) fn rows(recorded: &Recorded) -> Vec<Row> {
    vec![
        layer("tower-influx, the layer's encoder alone", true, RequestIdSource::Generated(NUMBER)),
        layer("the same, a route that the thread has not seen", false, RequestIdSource::Generated(NUMBER)),
        layer("the same, the request has brought its id", true, RequestIdSource::Own(REQUEST_ID)),
        recorded.row("tower-influx, `Monitor::record` of a `RequestPoint`", |record| {
            let time = black_box(Duration::from_nanos(NANOSECONDS));
            let point =
                tower_influx::point::RequestPoint::new("bench", "GET", "/items/{id}", black_box(200), time);
            record(&point.with_request_id(black_box(REQUEST_ID)));
        }),
        recorded.row("tower-influx, `Monitor::record` of a `DataPoint`", |record| {
            let point = tower_influx::DataPoint::new("requests")
                .with_tag("service", "bench")
                .with_tag("route", black_box("GET:/items/{id}"))
                .with_tag("status_code", black_box("200"))
                .with_field("request_id", black_box(REQUEST_ID))
                .with_field("execution_time", black_box(0.000_123_456));
            record(&point);
        }),
    ]
}

/// What the layer does for a request, but for the clock, the stamp and the buffer.
fn layer(name: &'static str, cached_route: bool, id: RequestIdSource) -> Row {
    Row {
        name,
        write: Box::new(encoder(EncoderInput { stamp: STAMP, nanoseconds: NANOSECONDS, id, cached_route })),
    }
}
