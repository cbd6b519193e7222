//! The points of a request, for services that record requests by hand, and for programs that use
//! points as values.

use std::{borrow::Cow, time::Duration};

use serde::{Serialize, Serializer};

use crate::point::{
    Point, Timestamp, Value, number_format,
    schema::{
        ERROR_CODE, ERRORS, EXECUTION_TIME, INSTANCE, REQUEST_ID, REQUESTS, RESERVED_BY_REQUESTS, ROUTE,
        SERVICE, STATUS_CODE,
    },
};

/// The point of a request in the measurement `requests`, as
/// [`MonitoringLayer`](crate::MonitoringLayer) records it.
///
/// Its tags are `service`, `route` and `status_code`. Its fields are `execution_time` in seconds,
/// and `request_id` if there is one.
///
/// ```
/// use std::time::Duration;
/// use tower_influx::point::RequestPoint;
///
/// let point = RequestPoint::new("luna-licenses", "GET", "/items/{id}", 200, Duration::from_millis(3))
///     .with_request_id("36a1b2c3")
///     .with_tag("tenant", "acme")
///     .with_field("size", 42);
/// let data = serde_json::to_value(&point).expect("a map");
/// assert_eq!(data["tags"]["route"], "GET:/items/{id}");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPoint<'a> {
    request: RequestParts<'a>,
}

/// The point of a failed request in the measurement `errors`, in addition to its [`RequestPoint`]
/// and with the same time.
///
/// Its tags are `service`, `route`, `status_code` and `error_code`. An empty error code is replaced
/// by the status code. Its field is `request_id`. A point without a field cannot be stored, so a
/// point without a request id has another field: `execution_time` if it was created by
/// [`RequestPoint::error`], otherwise an empty `request_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestErrorPoint<'a> {
    request: RequestParts<'a>,
    error_code: Cow<'a, str>,
}

/// The common part of both points of a request.
#[derive(Clone, Debug, PartialEq)]
struct RequestParts<'a> {
    service: Cow<'a, str>,
    method: Cow<'a, str>,
    resource: Cow<'a, str>,
    status_code: u16,
    execution_time: Option<Duration>,
    request_id: Cow<'a, str>,
    time: Option<Timestamp>,
    tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// Returns the value of the tag `route`, which is `METHOD:/resource`. The resource must be a
/// template such as `/items/{id}`, not a path.
pub fn route(method: &str, resource: &str) -> String {
    [method, ":", resource].concat()
}

impl<'a> RequestPoint<'a> {
    /// Creates the point of a request that took `execution_time`.
    pub fn new(
        service: impl Into<Cow<'a, str>>,
        method: impl Into<Cow<'a, str>>,
        resource: impl Into<Cow<'a, str>>,
        status_code: u16,
        execution_time: Duration,
    ) -> Self {
        let mut request = RequestParts::new(service.into(), method.into(), resource.into(), status_code);
        request.execution_time = Some(execution_time);
        Self { request }
    }

    /// Sets the field `request_id`. An empty id is left out.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<Cow<'a, str>>) -> Self {
        self.request.request_id = request_id.into();
        self
    }

    /// Sets the time, which should be the start of the request. Without it, the point gets a unique
    /// time when it is recorded.
    #[must_use]
    pub fn with_time(mut self, time: impl Into<Timestamp>) -> Self {
        self.request.time = Some(time.into());
        self
    }

    /// Adds a tag. A tag with the name of a standard tag or field is ignored, except `instance`.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.request.tags.push((key.into(), value.into().into_text()));
        self
    }

    /// Adds a field. A field with the name of a standard tag or field is ignored.
    #[must_use]
    pub fn with_field(mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.request.fields.push((key.into(), value.into()));
        self
    }

    /// Creates the point in `errors` of this request, with an error code of the application.
    pub fn error(&self, error_code: impl Into<Value<'a>>) -> RequestErrorPoint<'a> {
        RequestErrorPoint { request: self.request.clone(), error_code: error_code.into().into_text() }
    }
}

impl<'a> RequestErrorPoint<'a> {
    /// Creates the point of a failed request with the application's `error_code`, such as 12012. If
    /// it is empty, the error code is the status code.
    pub fn new(
        service: impl Into<Cow<'a, str>>,
        method: impl Into<Cow<'a, str>>,
        resource: impl Into<Cow<'a, str>>,
        status_code: u16,
        error_code: impl Into<Value<'a>>,
    ) -> Self {
        Self {
            request: RequestParts::new(service.into(), method.into(), resource.into(), status_code),
            error_code: error_code.into().into_text(),
        }
    }

    /// Sets the field `request_id`.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<Cow<'a, str>>) -> Self {
        self.request.request_id = request_id.into();
        self
    }

    /// Sets the time, which should be the time of the [`RequestPoint`].
    #[must_use]
    pub fn with_time(mut self, time: impl Into<Timestamp>) -> Self {
        self.request.time = Some(time.into());
        self
    }

    /// Adds a tag. A tag with the name of a standard tag or field is ignored, except `instance`.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.request.tags.push((key.into(), value.into().into_text()));
        self
    }

    /// Adds a field. A field with the name of a standard tag or field is ignored.
    #[must_use]
    pub fn with_field(mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.request.fields.push((key.into(), value.into()));
        self
    }
}

impl<'a> RequestParts<'a> {
    fn new(service: Cow<'a, str>, method: Cow<'a, str>, resource: Cow<'a, str>, status_code: u16) -> Self {
        Self {
            service,
            method,
            resource,
            status_code,
            execution_time: None,
            request_id: Cow::Borrowed(""),
            time: None,
            tags: Vec::new(),
            fields: Vec::new(),
        }
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit(ROUTE, &route(&self.method, &self.resource));
        visit(SERVICE, &self.service);
        visit(STATUS_CODE, &self.status_code.to_string());
        let additional = self.tags.iter().filter(|(key, _)| key == INSTANCE || !is_standard(key));
        additional.for_each(|(key, value)| visit(key, value));
    }

    fn visit_fields(&self, measurement: &str, visit: &mut dyn FnMut(&str, Value<'_>)) {
        let has_request_id = !self.request_id.is_empty();
        let execution_time = self.execution_time.filter(|_| measurement == REQUESTS || !has_request_id);
        if let Some(execution_time) = execution_time {
            visit(EXECUTION_TIME, number_format::as_seconds(execution_time).into());
        }
        if has_request_id || execution_time.is_none() {
            visit(REQUEST_ID, (&*self.request_id).into());
        }
        let additional = self.fields.iter().filter(|(key, _)| !is_standard(key));
        additional.for_each(|(key, value)| visit(key, value.borrow()));
    }
}

impl Point for RequestPoint<'_> {
    fn measurement(&self) -> &str {
        REQUESTS
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.request.visit_tags(visit);
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.request.visit_fields(REQUESTS, visit);
    }

    fn time(&self) -> Option<Timestamp> {
        self.request.time
    }
}

impl Point for RequestErrorPoint<'_> {
    fn measurement(&self) -> &str {
        ERRORS
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        match &*self.error_code {
            "" => visit(ERROR_CODE, &self.request.status_code.to_string()),
            code => visit(ERROR_CODE, code),
        }
        self.request.visit_tags(visit);
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.request.visit_fields(ERRORS, visit);
    }

    fn time(&self) -> Option<Timestamp> {
        self.request.time
    }
}

impl Serialize for RequestPoint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self as &dyn Point).serialize(serializer)
    }
}

impl Serialize for RequestErrorPoint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self as &dyn Point).serialize(serializer)
    }
}

fn is_standard(key: &str) -> bool {
    RESERVED_BY_REQUESTS.contains(&key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn point() -> RequestPoint<'static> {
        RequestPoint::new("luna-licenses", "GET", "/items/{id}", 404, Duration::from_micros(1_500))
            .with_request_id("abc")
            .with_time(1_700_000_000_000_000_000)
            .with_tag("tenant", 7)
            .with_tag("instance", "one")
            .with_tag("route", "not this one")
            .with_field("size", 3)
            .with_field("execution_time", 9.0)
    }

    #[test]
    fn a_request_serializes_as_the_reference_converts_it() {
        let expected = json!({
            "time": 1_700_000_000_000_000_000_i64,
            "measurement": "requests",
            "tags": {
                "service": "luna-licenses", "route": "GET:/items/{id}", "status_code": "404", "tenant": "7",
                "instance": "one",
            },
            "fields": {"request_id": "abc", "execution_time": 0.0015, "size": 3},
        });
        assert_eq!(serde_json::to_value(point()).expect("serializes"), expected);
    }

    #[test]
    fn an_error_has_its_code_and_no_execution_time() {
        let expected = json!({
            "time": 1_700_000_000_000_000_000_i64,
            "measurement": "errors",
            "tags": {
                "service": "luna-licenses", "route": "GET:/items/{id}", "status_code": "404", "tenant": "7",
                "error_code": "11009", "instance": "one",
            },
            "fields": {"request_id": "abc", "size": 3},
        });
        assert_eq!(serde_json::to_value(point().error(11009)).expect("serializes"), expected);
    }

    #[test]
    fn an_error_without_code_or_request_id_still_has_a_code_and_a_field() {
        let error = RequestErrorPoint::new("s", "GET", "/", 503, "");
        let data = |error: &RequestErrorPoint<'_>| serde_json::to_value(error).expect("serializes");
        assert_eq!(data(&error)["tags"]["error_code"], "503");
        assert_eq!(data(&error)["fields"], json!({"request_id": ""}));
        let error = RequestPoint::new("s", "GET", "/", 503, Duration::from_secs(1)).error("");
        assert_eq!(data(&error)["fields"], json!({"execution_time": 1.0}));
    }
}
