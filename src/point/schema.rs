//! Every name that this crate writes, and every name that others must not use.

use crate::point::value::FieldType;

/// The measurement with one point for every request.
pub(crate) const REQUESTS: &str = "requests";
/// The measurement with one more point for every failed request.
pub(crate) const ERRORS: &str = "errors";
/// The measurement with one point for every licence check.
pub(crate) const LICENSING: &str = "licensing";
/// The measurement with the monitoring's points about itself, if the settings enable them.
pub(crate) const MONITORING: &str = "monitoring";
/// The measurement with one point for every key and interval, if the settings enable rollups.
pub(crate) const REQUESTS_ROLLUP: &str = "requests_rollup";

/// The measurement with the values of the process and its runtime, if the settings enable them.
pub(crate) const PROCESS: &str = "process";

/// The measurement with one point for every outgoing call.
pub(crate) const CLIENT_REQUESTS: &str = "client_requests";
/// The measurement with one more point for every outgoing call that failed.
pub(crate) const CLIENT_ERRORS: &str = "client_errors";
/// The measurement with one point for every long connection, when it has ended.
pub(crate) const CONNECTIONS: &str = "connections";

/// The target of outgoing calls.
pub(crate) const TARGET: &str = "target";
/// The kind of a long connection.
pub(crate) const CONNECTION: &str = "connection";
/// How a long connection ended.
pub(crate) const END: &str = "end";
/// Seconds that a long connection was open.
pub(crate) const DURATION: &str = "duration";

pub(crate) const ERROR_CODE: &str = "error_code";
pub(crate) const INSTANCE: &str = "instance";
pub(crate) const ROUTE: &str = "route";
pub(crate) const SERVICE: &str = "service";
pub(crate) const STATUS_CODE: &str = "status_code";

pub(crate) const EXECUTION_TIME: &str = "execution_time";
pub(crate) const REQUEST_ID: &str = "request_id";

/// The trace of a request, if traces are enabled.
pub(crate) const TRACE_ID: &str = "trace_id";

/// The length of the request's body, if sizes are enabled.
pub(crate) const REQUEST_BYTES: &str = "request_bytes";
/// The length of the response's body, if sizes are enabled.
pub(crate) const RESPONSE_BYTES: &str = "response_bytes";

/// Bytes of the request's body that were read, where bodies of requests are tracked.
pub(crate) const REQUEST_BODY_BYTES: &str = "request_body_bytes";
/// How the request's body ended, where bodies of requests are tracked.
pub(crate) const REQUEST_BODY_END: &str = "request_body_end";

/// Bytes of the response's body that were sent, if bodies are tracked.
pub(crate) const BODY_BYTES: &str = "body_bytes";
/// How the response's body ended, if bodies are tracked: one of the values below.
pub(crate) const BODY_END: &str = "body_end";
/// Seconds from the start of the request to the end of its response's body, if bodies are tracked.
pub(crate) const RESPONSE_TIME: &str = "response_time";

/// The body was sent to its end.
pub(crate) const BODY_COMPLETE: &str = "complete";
/// The body itself failed.
pub(crate) const BODY_ERROR: &str = "error";
/// The body was dropped before its end, usually because the client disconnected.
pub(crate) const BODY_DROPPED: &str = "dropped";
/// The body was still being sent when the monitor was shut down.
pub(crate) const BODY_UNFINISHED: &str = "unfinished";
/// Nothing of the request's body was read.
pub(crate) const BODY_UNREAD: &str = "unread";

pub(crate) const LICENSE_STATUS: &str = "license_status";
pub(crate) const LICENSE_PERIOD_REST: &str = "license_period_rest";
pub(crate) const LICENSE_WARNINGS: &str = "warnings";
pub(crate) const LICENSE_ERRORS: &str = "errors";

/// The value of a tag instead of a further one, when it has as many distinct values as
/// `limits.tag_values` allows.
pub(crate) const OVERFLOW: &str = "other";

/// Keys that InfluxDB refuses or misreads: 1.x drops a point with a tag `time`, 2.x refuses the
/// whole body.
pub(crate) const RESERVED_BY_INFLUXDB: [&str; 4] = ["time", "_field", "_measurement", "__chunk_order"];

/// Keys of `requests` and `errors` that handlers cannot set.
pub(crate) const RESERVED_BY_REQUESTS: [&str; 10] = [
    ERROR_CODE,
    INSTANCE,
    ROUTE,
    SERVICE,
    STATUS_CODE,
    EXECUTION_TIME,
    REQUEST_ID,
    BODY_BYTES,
    BODY_END,
    RESPONSE_TIME,
];

/// Fields that layers add to requests and errors where they are asked to.
pub(crate) const ADDED_FIELDS: [&str; 5] =
    [TRACE_ID, REQUEST_BYTES, RESPONSE_BYTES, REQUEST_BODY_BYTES, REQUEST_BODY_END];

/// The fields of rollups, but for those of the histogram.
const ROLLUP_FIELDS: [&str; 11] = [
    "count",
    "example_trace_id",
    "execution_time_max",
    "execution_time_min",
    "execution_time_p50",
    "execution_time_p95",
    "execution_time_p99",
    "execution_time_sum",
    "interval",
    "kept",
    "running",
];
/// What the names of a histogram's fields begin with. The end of the bucket follows, a number or
/// `inf`.
pub(crate) const ROLLUP_BUCKET: &str = "bucket_";

/// Returns whether rollups have a field of this name, whatever their boundaries are.
pub(crate) fn is_rollup_field(name: &str) -> bool {
    let is_end = |end: &str| {
        end == "inf" || !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    ROLLUP_FIELDS.contains(&name) || name.strip_prefix(ROLLUP_BUCKET).is_some_and(is_end)
}

/// Returns whether InfluxDB reserves the key. It contains the list above in the form that compiles
/// to the fewest comparisons.
pub(crate) fn is_reserved_by_influxdb(key: &[u8]) -> bool {
    matches!(key, b"time" | b"_field" | b"_measurement" | b"__chunk_order")
}

/// Returns whether handlers cannot set the key, by both lists above.
pub(crate) fn is_reserved(key: &[u8]) -> bool {
    let by_requests = matches!(
        key,
        b"error_code"
            | b"instance"
            | b"route"
            | b"service"
            | b"status_code"
            | b"execution_time"
            | b"request_id"
            | b"body_bytes"
            | b"body_end"
            | b"response_time"
    );
    by_requests || is_reserved_by_influxdb(key)
}

/// The kind of a measurement's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Tag,
    Field(FieldType),
}

/// Every column that this crate writes.
pub(crate) const COLUMNS: [(&str, &str, ColumnType); 46] = [
    (REQUESTS, INSTANCE, ColumnType::Tag),
    (REQUESTS, ROUTE, ColumnType::Tag),
    (REQUESTS, SERVICE, ColumnType::Tag),
    (REQUESTS, STATUS_CODE, ColumnType::Tag),
    (REQUESTS, BODY_BYTES, ColumnType::Field(FieldType::Integer)),
    (REQUESTS, BODY_END, ColumnType::Field(FieldType::String)),
    (REQUESTS, EXECUTION_TIME, ColumnType::Field(FieldType::Float)),
    (REQUESTS, REQUEST_ID, ColumnType::Field(FieldType::String)),
    (REQUESTS, RESPONSE_TIME, ColumnType::Field(FieldType::Float)),
    (ERRORS, ERROR_CODE, ColumnType::Tag),
    (ERRORS, INSTANCE, ColumnType::Tag),
    (ERRORS, ROUTE, ColumnType::Tag),
    (ERRORS, SERVICE, ColumnType::Tag),
    (ERRORS, STATUS_CODE, ColumnType::Tag),
    (ERRORS, EXECUTION_TIME, ColumnType::Field(FieldType::Float)),
    (ERRORS, REQUEST_ID, ColumnType::Field(FieldType::String)),
    (CLIENT_REQUESTS, INSTANCE, ColumnType::Tag),
    (CLIENT_REQUESTS, ROUTE, ColumnType::Tag),
    (CLIENT_REQUESTS, SERVICE, ColumnType::Tag),
    (CLIENT_REQUESTS, STATUS_CODE, ColumnType::Tag),
    (CLIENT_REQUESTS, TARGET, ColumnType::Tag),
    (CLIENT_REQUESTS, BODY_BYTES, ColumnType::Field(FieldType::Integer)),
    (CLIENT_REQUESTS, BODY_END, ColumnType::Field(FieldType::String)),
    (CLIENT_REQUESTS, EXECUTION_TIME, ColumnType::Field(FieldType::Float)),
    (CLIENT_REQUESTS, REQUEST_ID, ColumnType::Field(FieldType::String)),
    (CLIENT_REQUESTS, RESPONSE_TIME, ColumnType::Field(FieldType::Float)),
    (CLIENT_ERRORS, ERROR_CODE, ColumnType::Tag),
    (CLIENT_ERRORS, INSTANCE, ColumnType::Tag),
    (CLIENT_ERRORS, ROUTE, ColumnType::Tag),
    (CLIENT_ERRORS, SERVICE, ColumnType::Tag),
    (CLIENT_ERRORS, STATUS_CODE, ColumnType::Tag),
    (CLIENT_ERRORS, TARGET, ColumnType::Tag),
    (CLIENT_ERRORS, EXECUTION_TIME, ColumnType::Field(FieldType::Float)),
    (CLIENT_ERRORS, REQUEST_ID, ColumnType::Field(FieldType::String)),
    (CONNECTIONS, CONNECTION, ColumnType::Tag),
    (CONNECTIONS, END, ColumnType::Tag),
    (CONNECTIONS, INSTANCE, ColumnType::Tag),
    (CONNECTIONS, SERVICE, ColumnType::Tag),
    (CONNECTIONS, DURATION, ColumnType::Field(FieldType::Float)),
    (CONNECTIONS, REQUEST_ID, ColumnType::Field(FieldType::String)),
    (LICENSING, INSTANCE, ColumnType::Tag),
    (LICENSING, LICENSE_STATUS, ColumnType::Tag),
    (LICENSING, SERVICE, ColumnType::Tag),
    (LICENSING, LICENSE_PERIOD_REST, ColumnType::Field(FieldType::Integer)),
    (LICENSING, LICENSE_WARNINGS, ColumnType::Field(FieldType::String)),
    (LICENSING, LICENSE_ERRORS, ColumnType::Field(FieldType::String)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_reserved_keys_agree() {
        let columns = COLUMNS
            .iter()
            .filter(|(measurement, ..)| [REQUESTS, ERRORS].contains(measurement))
            .map(|(_, key, _)| *key);
        let keys: Vec<&str> = RESERVED_BY_REQUESTS.into_iter().chain(columns).collect();
        for key in &keys {
            assert!(RESERVED_BY_REQUESTS.contains(key) && is_reserved(key.as_bytes()), "{key}");
            assert!(!is_reserved_by_influxdb(key.as_bytes()), "{key}");
        }
        for key in RESERVED_BY_INFLUXDB {
            assert!(is_reserved_by_influxdb(key.as_bytes()) && is_reserved(key.as_bytes()), "{key}");
        }
        for key in ["", "times", "tim", "tenant", "Route"] {
            assert!(!is_reserved(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn rollups_have_as_many_columns_as_documented() {
        let is_tag = |column: &&(&str, &str, ColumnType)| column.0 == ERRORS && column.2 == ColumnType::Tag;
        let tags = COLUMNS.iter().filter(is_tag).count();
        let fields = ROLLUP_FIELDS.len() + crate::record::rollup::Boundaries::fine().buckets();
        let all = tags + fields + 1;
        let text = include_str!("../../docs/rollups.md").replace('\n', " ");
        let told = format!("at most {all}, that is {fields} fields, {tags} tags and the time");
        assert!(text.contains(&told), "{told}");
    }

    #[test]
    fn fields_of_rollups_are_told_from_names_like_theirs() {
        for name in ["count", "running", "bucket_1", "bucket_0.00025", "bucket_inf"] {
            assert!(is_rollup_field(name), "{name}");
        }
        for name in
            ["counts", "bucket", "bucket_", "bucket_name", "bucket_1s", "bucket_nan", "execution_time"]
        {
            assert!(!is_rollup_field(name), "{name}");
        }
    }
}
