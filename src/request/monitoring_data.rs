//! The API for handlers: extra tags and fields of their request.

use std::{fmt, sync::Arc};

use crate::{
    point::{Value, error_code::ErrorCode},
    request::{data::RequestData, request_id::RequestId},
};

/// Adds extra tags, fields and an error code to the points of the current request.
///
/// As an axum extractor it never rejects a request. If no layer of a [`Monitor`](crate::Monitor) is
/// around the handler, everything that is added is lost. This is counted as
/// [`detached`](crate::stats::RecorderStats::detached), and the first case is logged.
///
/// Clones share their contents, so a clone can be moved into a spawned task. What is added after
/// the points were written is ignored, and counted as
/// [`late_extras`](crate::stats::RecorderStats::late_extras).
///
/// # Keys
///
/// A key is a `&'static str`, so that no client can invent one. The last value of a key replaces
/// earlier ones. Reserved keys (`route`, `service`, `status_code`, `error_code`, `instance`,
/// `request_id`, `execution_time`, `time`, …) and empty keys are left out and counted. Nothing
/// panics.
///
/// # Cardinality
///
/// Each distinct value of a tag is a new series in the database, so use tags only for values from a
/// small set. After [`tag_values`](crate::settings::Limits::tag_values) distinct values, further
/// values of the tag become one overflow value. Fields have no such cost.
///
/// # Cost
///
/// A request whose handler does not use `MonitoringData` allocates nothing. Other requests allocate
/// nothing either, except for the first ones: the memory is reused by later requests.
///
/// ```
/// use tower_influx::MonitoringData;
///
/// async fn item(data: MonitoringData) -> &'static str {
///     data.tag("tenant", "acme");
///     let item = data.time("database_time", async { "item" }).await;
///     data.field("size", item.len());
///     item
/// }
/// ```
#[derive(Clone)]
pub struct MonitoringData {
    pub(crate) request_data: Arc<RequestData>,
}

impl MonitoringData {
    /// Creates empty data that belongs to no request yet. To use it, insert it into the extensions
    /// of a request, outside of the layer, or of a response, inside of the layer.
    pub fn new() -> Self {
        Self { request_data: RequestData::without_owner() }
    }

    /// Adds a tag. Tags are indexed and stored as text. `None` adds nothing.
    #[inline]
    pub fn tag<'a>(&self, key: &'static str, value: impl Into<Value<'a>>) {
        self.request_data.tag(key, value.into());
    }

    /// Adds a field. Fields are not indexed and have a type: the type of the first value of a field
    /// name is the type of that field. A later integer is stored as a float in a float field. Any
    /// other value of another type is left out and counted.
    ///
    /// `None` adds nothing. A [`Duration`](std::time::Duration) adds its seconds as a float, and a
    /// status code its number.
    #[inline]
    pub fn field<'a>(&self, key: &'static str, value: impl Into<Value<'a>>) {
        self.request_data.field(key, value.into());
    }

    /// Sets the error code of the request's point in `errors`, if the request fails. An
    /// [`ErrorCode`] in the extensions of the response has priority.
    pub fn error_code(&self, code: impl Into<ErrorCode>) {
        self.request_data.lock().error_code = Some(code.into());
    }

    /// Adds a number to a field. The field contains the sum of all values that were added under the
    /// key, and of the value that [`field`](Self::field) has set before.
    ///
    /// The sum of integers is an integer, which saturates. The sum of an integer and a float is a
    /// float. A [`Duration`](std::time::Duration) adds its seconds. A value that is not a number is
    /// left out and counted as a [refused extra](crate::stats::RecorderStats::refused_extras). So
    /// is a number if the field contains text.
    pub fn add<'a>(&self, key: &'static str, value: impl Into<Value<'a>>) {
        let value = value.into();
        self.request_data.lock().add(|extras, limits| extras.add(key, value, limits));
    }

    /// Excludes this request: it gets no point in `requests` and `errors`, and rollups do not count
    /// it. The effect is that of a [filter](crate::settings::FilterSettings) that names its route.
    /// Counted as [`skipped`](crate::stats::RecorderStats::skipped).
    pub fn skip(&self) {
        self.request_data.lock().skip = true;
    }

    /// Keeps this request: it gets a point even if
    /// [`requests.keep`](crate::settings::RequestSettings::keep) excludes such requests.
    pub fn keep(&self) {
        self.request_data.lock().keep = true;
    }

    /// Returns the id of this request: the one from its header, or the one that the layer
    /// generated. Empty for data that belongs to no request.
    pub fn request_id(&self) -> RequestId {
        self.request_data.lock().request_id()
    }

    /// Returns the id of the request's trace that the layer has read, from the header `traceparent`
    /// or from the application's function, so that a line of the log has the id that the points
    /// have.
    ///
    /// `None` where the layer [reads no traces](crate::MonitoringLayer::trace_id), and where the
    /// request has no valid header. A handler's own field `trace_id` changes the point, not this.
    ///
    /// ```
    /// # let data = tower_influx::MonitoringData::new();
    /// // As it is in the point: 32 hexadecimal digits.
    /// let trace_id = data.trace_id().map(|id| format!("{id:032x}"));
    /// # assert_eq!(trace_id, None);
    /// ```
    pub fn trace_id(&self) -> Option<u128> {
        let digits = self.request_data.lock().trace_id?;
        u128::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
    }
}

impl Default for MonitoringData {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MonitoringData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MonitoringData").finish_non_exhaustive()
    }
}
