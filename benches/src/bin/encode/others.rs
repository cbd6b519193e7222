//! The encoders that others offer, as an application would use them.

use std::hint::black_box;

use influxdb_line_protocol::LineProtocolBuilder;
use influxdb2::models::{DataPoint, WriteDataPoint};

use crate::{REQUEST_ID, Row, STAMP};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row { name: "influxdb2, `DataPoint` built and written", write: Box::new(influxdb2) },
        Row { name: "influxdb-line-protocol, `LineProtocolBuilder`", write: Box::new(line_protocol) },
    ]
}

fn influxdb2(out: &mut Vec<u8>) {
    let point = DataPoint::builder("requests")
        .tag("service", "bench")
        .tag("route", black_box("GET:/items/{id}"))
        .tag("status_code", black_box("200"))
        .field("request_id", black_box(REQUEST_ID))
        .field("execution_time", black_box(0.000_123_456))
        .timestamp(black_box(STAMP))
        .build()
        .expect("it has fields");
    point.write_data_point_to(out).expect("memory takes it");
}

fn line_protocol(out: &mut Vec<u8>) {
    // It takes the memory, and gives it back.
    let memory = std::mem::take(out);
    *out = LineProtocolBuilder::new_with(memory)
        .measurement("requests")
        .tag("route", black_box("GET:/items/{id}"))
        .tag("service", "bench")
        .tag("status_code", black_box("200"))
        .field("execution_time", black_box(0.000_123_456))
        .field("request_id", black_box(REQUEST_ID))
        .timestamp(black_box(STAMP))
        .close_line()
        .build();
}
