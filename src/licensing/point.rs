//! [`LicensingPoint`]: the point of each check, in the measurement `licensing`.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::state::CheckedLicense;
use crate::point::{Point, Timestamp, Value, schema};

/// The point of one licence check, in the measurement `licensing`.
///
/// Its tags are `service` and `license_status`. Its fields are `license_period_rest` (integer), and
/// `warnings` and `errors` (strings). Several messages are joined by `; `; without messages the
/// string is empty. The tags and fields that the check added follow.
///
/// If the check does not know how many days are left, `license_period_rest` is 0, so that every
/// point has this field. `license_status` is then `error`, and `errors` has the reason.
#[derive(Clone, Debug)]
pub struct LicensingPoint {
    service: Arc<str>,
    license: Arc<CheckedLicense>,
    stamp: Timestamp,
}

impl LicensingPoint {
    /// Creates the point. The timestamp must be unique. Otherwise the point would overwrite another
    /// one.
    pub(crate) fn new(service: Arc<str>, license: Arc<CheckedLicense>, stamp: Timestamp) -> Self {
        Self { service, license, stamp }
    }

    /// Returns the result of the check.
    pub fn license(&self) -> &CheckedLicense {
        &self.license
    }

    fn extra_tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.license.state().tags().filter(|(key, _)| !RESERVED.contains(key))
    }

    fn extra_fields(&self) -> impl Iterator<Item = (&str, &Value<'static>)> {
        self.license.state().fields().filter(|(key, _)| !RESERVED.contains(key))
    }
}

impl Point for LicensingPoint {
    fn measurement(&self) -> &str {
        schema::LICENSING
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit(schema::SERVICE, &self.service);
        visit(schema::LICENSE_STATUS, self.license.status().as_str());
        self.extra_tags().for_each(|(key, value)| visit(key, value));
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        let state = self.license.state();
        visit(schema::LICENSE_PERIOD_REST, state.days_left().unwrap_or(0).into());
        visit(schema::LICENSE_WARNINGS, state.warnings().join(SEPARATOR).into());
        visit(schema::LICENSE_ERRORS, state.errors().join(SEPARATOR).into());
        self.extra_fields().for_each(|(key, value)| visit(key, value.borrow()));
    }

    fn time(&self) -> Option<Timestamp> {
        Some(self.stamp)
    }
}

/// Serializes as `time`, `measurement`, `tags` and `fields`.
impl Serialize for LicensingPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self as &dyn Point).serialize(serializer)
    }
}

/// Returns the names of extras that are left out of the point because the schema uses them.
pub(crate) fn reserved_extras(license: &CheckedLicense) -> impl Iterator<Item = &str> {
    let state = license.state();
    let names = state.tags().map(|(key, _)| key).chain(state.fields().map(|(key, _)| key));
    names.filter(|key| RESERVED.contains(key))
}

/// Not a line break: VictoriaMetrics splits a line at one, even inside a string.
const SEPARATOR: &str = "; ";

/// The names that the schema uses in this measurement. An extra of the same name would overwrite
/// what dashboards read.
const RESERVED: [&str; 6] = [
    schema::INSTANCE,
    schema::SERVICE,
    schema::LICENSE_STATUS,
    schema::LICENSE_PERIOD_REST,
    schema::LICENSE_WARNINGS,
    schema::LICENSE_ERRORS,
];
