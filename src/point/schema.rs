//! Every name that this crate itself writes, and every name that others must not use.

/// The series with one point for every request.
pub(crate) const REQUESTS: &str = "requests";
/// The series with one more point for every failed request.
pub(crate) const ERRORS: &str = "errors";
/// The series with one point for every licence check.
pub(crate) const LICENSING: &str = "licensing";

pub(crate) const ERROR_CODE: &str = "error_code";
pub(crate) const INSTANCE: &str = "instance";
pub(crate) const ROUTE: &str = "route";
pub(crate) const SERVICE: &str = "service";
pub(crate) const STATUS_CODE: &str = "status_code";

pub(crate) const EXECUTION_TIME: &str = "execution_time";
pub(crate) const REQUEST_ID: &str = "request_id";

pub(crate) const LICENSE_STATUS: &str = "license_status";
pub(crate) const LICENSE_PERIOD_REST: &str = "license_period_rest";
pub(crate) const LICENSE_WARNINGS: &str = "warnings";
pub(crate) const LICENSE_ERRORS: &str = "errors";

/// Keys that InfluxDB itself refuses or misreads: 1.x drops a point with a tag `time`, 2.x refuses the whole body.
pub(crate) const RESERVED_BY_INFLUXDB: [&str; 4] = ["time", "_field", "_measurement", "__chunk_order"];

/// Keys of `requests` and `errors` that handlers cannot set.
pub(crate) const RESERVED_BY_REQUESTS: [&str; 7] =
    [ERROR_CODE, INSTANCE, ROUTE, SERVICE, STATUS_CODE, EXECUTION_TIME, REQUEST_ID];
