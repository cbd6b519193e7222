//! The result of a licence check: [`LicenseState`], and [`CheckedLicense`] with its time.

use std::{borrow::Cow, time::SystemTime};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::point::Value;

/// Whether a licence is valid, by the messages of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LicenseStatus {
    /// No warnings and no errors.
    Ok,
    /// At least one warning and no error. For example, the licence ends soon.
    Warning,
    /// At least one error. For example, the licence has ended, or could not be checked.
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

/// The result of a [`LicenseCheck`](super::LicenseCheck): the days left, and messages about the
/// licence.
///
/// The status follows from the messages. With an error it is [`LicenseStatus::Error`], otherwise
/// with a warning [`LicenseStatus::Warning`]. The number of days does not change the status. A
/// check that finds an ended licence must add an error.
#[derive(Clone, Debug, PartialEq)]
pub struct LicenseState {
    days_left: Option<i64>,
    warnings: Vec<String>,
    errors: Vec<String>,
    tags: Vec<(Cow<'static, str>, String)>,
    fields: Vec<(Cow<'static, str>, Value<'static>)>,
}

impl LicenseState {
    /// Creates the state of a licence that ends after this number of whole days. The number is
    /// negative if the licence has ended.
    pub fn new(days_left: i64) -> Self {
        Self { days_left: Some(days_left), ..Self::empty() }
    }

    /// Creates the state of a licence that could not be checked, with the reason as an error. For
    /// example, the file is missing, or the licence server cannot be reached.
    pub fn unknown(error: impl Into<String>) -> Self {
        Self::empty().with_error(error)
    }

    /// Adds a warning.
    #[must_use]
    pub fn with_warning(mut self, message: impl Into<String>) -> Self {
        self.warnings.push(message.into());
        self
    }

    /// Adds an error.
    #[must_use]
    pub fn with_error(mut self, message: impl Into<String>) -> Self {
        self.errors.push(message.into());
        self
    }

    /// Adds a tag to the point. A tag with a name of the schema (`service`, `license_status`,
    /// `instance` and so on) is left out, and a warning is logged.
    ///
    /// # Cardinality
    ///
    /// Each distinct value is a new series. An edition or a region can be a tag; a customer number
    /// must be a field.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// Adds a field to the point. The same names as for a [`with_tag`](Self::with_tag) are left
    /// out.
    #[must_use]
    pub fn with_field(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value<'static>>) -> Self {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Returns the status, which follows from the messages.
    pub fn status(&self) -> LicenseStatus {
        if !self.errors.is_empty() {
            LicenseStatus::Error
        } else if !self.warnings.is_empty() {
            LicenseStatus::Warning
        } else {
            LicenseStatus::Ok
        }
    }

    /// Returns the number of whole days until the licence ends. It is negative if the licence has
    /// ended, and `None` if the check does not know it.
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

    /// Returns the state `days` later, or `None` if the licence ends before that.
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

/// The result of one check, with its time.
///
/// It serializes to these fields:
///
/// - `license_status`
/// - `license_period_rest`, which is `null` if the check does not know it
/// - `checked_at`, in seconds since the Unix epoch
/// - the lists `warnings` and `errors`
/// - the maps `tags` and `fields`, which the check has added
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedLicense {
    state: LicenseState,
    checked_at: SystemTime,
}

impl CheckedLicense {
    pub(crate) fn new(state: LicenseState, checked_at: SystemTime) -> Self {
        Self { state, checked_at }
    }

    /// Returns the result of the check.
    ///
    /// If the check failed to run, panicked or took too long, this is the last result with a
    /// warning, during the [grace period](super::Licensing::grace_period). Otherwise it is a state
    /// with the error.
    pub fn state(&self) -> &LicenseState {
        &self.state
    }

    /// Returns the status, the same as `state().status()`.
    pub fn status(&self) -> LicenseStatus {
        self.state.status()
    }

    /// Returns when the check started, by the clock of the system.
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
