//! What a licence check finds: [`LicenseState`], and [`CheckedLicense`], the same with its time.

use std::{borrow::Cow, time::SystemTime};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::point::Value;

/// Whether a licence is in order. It follows from the messages of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LicenseStatus {
    /// No warnings and no errors.
    Ok,
    /// At least one warning and no error, such as a licence that ends soon.
    Warning,
    /// At least one error, such as a licence that has ended, or one that could not be checked.
    Error,
}

impl LicenseStatus {
    /// Returns the value of the tag `license_status`: `ok`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for LicenseStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for LicenseStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a [`LicenseCheck`](super::LicenseCheck) returns: the days that are left and what there is
/// to say about the licence.
///
/// The status is not set but follows: any error makes it [`LicenseStatus::Error`], otherwise any
/// warning makes it [`LicenseStatus::Warning`]. A number of days alone changes nothing: a check
/// that finds a licence ended says so by an error.
#[derive(Clone, Debug, PartialEq)]
pub struct LicenseState {
    days_left: Option<i64>,
    warnings: Vec<String>,
    errors: Vec<String>,
    tags: Vec<(Cow<'static, str>, String)>,
    fields: Vec<(Cow<'static, str>, Value<'static>)>,
}

impl LicenseState {
    /// Creates the state of a licence that ends after this many whole days; negative when it is
    /// over.
    pub fn new(days_left: i64) -> Self {
        Self { days_left: Some(days_left), ..Self::empty() }
    }

    /// Creates a licence of which nothing can be told but why: the file is missing, the licence
    /// server is away.
    pub fn unknown(error: impl Into<String>) -> Self {
        Self::empty().error(error)
    }

    /// Adds a warning.
    #[must_use]
    pub fn warning(mut self, message: impl Into<String>) -> Self {
        self.warnings.push(message.into());
        self
    }

    /// Adds an error.
    #[must_use]
    pub fn error(mut self, message: impl Into<String>) -> Self {
        self.errors.push(message.into());
        self
    }

    /// Adds a tag to the point. The names of the schema (`service`, `license_status`, `instance`
    /// and so on) keep their own values: an extra tag of such a name is left out and warned of.
    ///
    /// # Cardinality
    ///
    /// Each distinct value is a series of its own: an edition or a region is a tag, a customer's
    /// number is a field.
    #[must_use]
    pub fn tag(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// Adds a field to the point, under the same rule for names as [`tag`](Self::tag).
    #[must_use]
    pub fn field(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value<'static>>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Returns the status that follows from the messages.
    pub fn status(&self) -> LicenseStatus {
        if !self.errors.is_empty() {
            LicenseStatus::Error
        } else if !self.warnings.is_empty() {
            LicenseStatus::Warning
        } else {
            LicenseStatus::Ok
        }
    }

    /// Returns the whole days until the licence ends, negative when it is over; `None` when the
    /// check could not tell.
    pub fn days_left(&self) -> Option<i64> {
        self.days_left
    }

    /// Returns the warnings, in the order in which they were added.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the errors, in the order in which they were added.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Returns the extra tags.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (&**key, value.as_str()))
    }

    /// Returns the extra fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value<'static>)> {
        self.fields.iter().map(|(key, value)| (&**key, value))
    }

    /// Returns the same so many days later; `None` if the licence ends before that.
    pub(crate) fn after(&self, days: i64) -> Option<Self> {
        let Some(days_left) = self.days_left else { return Some(self.clone()) };
        let rest = days_left.saturating_sub(days);
        let has_ended = days_left >= 0 && rest < 0;
        (!has_ended).then(|| Self { days_left: Some(rest), ..self.clone() })
    }

    fn empty() -> Self {
        Self {
            days_left: None,
            warnings: Vec::new(),
            errors: Vec::new(),
            tags: Vec::new(),
            fields: Vec::new(),
        }
    }
}

/// The result of one check.
///
/// It serializes to `license_status`, `license_period_rest` (`null` if the check does not know it)
/// and `checked_at` in seconds since the epoch. `warnings` and `errors` are lists; `tags` and
/// `fields` are those that the check added.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedLicense {
    state: LicenseState,
    checked_at: SystemTime,
}

impl CheckedLicense {
    pub(crate) fn new(state: LicenseState, checked_at: SystemTime) -> Self {
        Self { state, checked_at }
    }

    /// Returns what the check returned, or what stands for it when it failed, panicked or gave no
    /// answer in time.
    pub fn state(&self) -> &LicenseState {
        &self.state
    }

    /// Returns the status, the same as `state().status()`.
    pub fn status(&self) -> LicenseStatus {
        self.state.status()
    }

    /// Returns when the check began, by the system's clock.
    pub fn checked_at(&self) -> SystemTime {
        self.checked_at
    }
}

impl Serialize for CheckedLicense {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let checked_at = self.checked_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut license = serializer.serialize_struct("CheckedLicense", 7)?;
        license.serialize_field("license_status", &self.status())?;
        license.serialize_field("license_period_rest", &self.state.days_left)?;
        license.serialize_field("warnings", &self.state.warnings)?;
        license.serialize_field("errors", &self.state.errors)?;
        license.serialize_field("tags", &Map(&self.state.tags))?;
        license.serialize_field("fields", &Map(&self.state.fields))?;
        license.serialize_field("checked_at", &checked_at.as_secs())?;
        license.end()
    }
}

/// Serializes pairs as a map.
struct Map<'a, V>(&'a [(Cow<'static, str>, V)]);

impl<V: Serialize> Serialize for Map<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
