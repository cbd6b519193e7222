//! What handlers add: extra tags and fields of their request.

use std::{fmt, sync::Arc};

use crate::{
    point::{Value, error_code::ErrorCode},
    request::{data::RequestData, request_id::RequestId},
};

/// Extra tags and fields for the points of the request that is being handled.
///
/// As an axum extractor it never rejects a request. Where no layer of a [`Monitor`](crate::Monitor)
/// is around the handler, what is added goes nowhere; that is counted and warned of once.
///
/// Clones share their contents, so a clone can be moved into a spawned task. What is added after
/// the request's points were written is left out and counted as late.
///
/// # Keys
///
/// Names are `&'static str`, so that no client can invent one. The last value of a key wins.
/// Reserved names (`route`, `service`, `status_code`, `error_code`, `instance`, `request_id`,
/// `execution_time`, `time`, …) and empty ones are left out and counted; nothing panics.
///
/// # Cardinality
///
/// Each distinct value of a tag is a new series in the database: give tags only values from a small
/// set. After [`tag_values`](crate::settings::Limits::tag_values) distinct ones a tag's further
/// values are replaced by one overflow value. Fields have no such cost.
///
/// # Cost
///
/// Nothing is allocated for a request whose handler does not ask for it, nor, once warm, for one
/// that does: the contents live in a recycled arena.
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
    /// Creates empty data that belongs to no request yet. It counts once it is put into the
    /// extensions of a request, outside of the layer, or of a response, inside of it.
    pub fn new() -> Self {
        Self { request_data: RequestData::without_owner() }
    }

    /// Adds a tag: indexed, stored as text. `None` adds nothing.
    #[inline]
    pub fn tag<'a>(&self, key: &'static str, value: impl Into<Value<'a>>) {
        self.request_data.tag(key, value.into());
    }

    /// Adds a field: not indexed, typed. One field has one type: the first type seen for a name
    /// wins. `None` adds nothing, a [`Duration`](std::time::Duration) its seconds, and a status its
    /// number.
    #[inline]
    pub fn field<'a>(&self, key: &'static str, value: impl Into<Value<'a>>) {
        self.request_data.field(key, value.into());
    }

    /// Sets the error code of the request's point in `errors`, if the request fails. One in the
    /// response's extensions wins.
    pub fn error_code(&self, code: impl Into<ErrorCode>) {
        self.request_data.lock().error_code = Some(code.into());
    }

    /// Adds to a field: the field holds the sum of all that was added under the key, and what
    /// [`field`](Self::field) set before.
    ///
    /// Integers and floats add up, an integer and a float to a float; integers saturate. A
    /// [`Duration`](std::time::Duration) adds its seconds. What is no number is left out and
    /// counted as a refused extra, and so is a number where the field holds text.
    pub fn add<'a>(&self, key: &'static str, value: impl Into<Value<'a>>) {
        let value = value.into();
        self.request_data.lock().add(|extras, limits| extras.add(key, value, limits));
    }

    /// Leaves this request out: it gets no point, neither in `requests` nor in `errors`, and is not
    /// counted in rollups, as if a [filter](crate::settings::FilterSettings) named its route.
    pub fn skip(&self) {
        self.request_data.lock().skip = true;
    }

    /// Keeps this request: it gets a point even if
    /// [`requests.keep`](crate::settings::RequestSettings::keep) leaves out requests like it.
    pub fn keep(&self) {
        self.request_data.lock().keep = true;
    }

    /// Returns the id of this request: the one it came with, or the one it was given. Empty for
    /// data that belongs to no request.
    pub fn request_id(&self) -> RequestId {
        self.request_data.lock().request_id()
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
