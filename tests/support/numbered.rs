//! Numbered points, with which the contents of a server can be compared with what was recorded, one
//! by one.

use std::collections::BTreeSet;

use tower_influx::{Monitor, Point, point::Value};

use super::influx::Influx;

/// The point with one number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbered {
    pub(crate) measurement: &'static str,
    pub(crate) number: i64,
}

impl Point for Numbered {
    fn measurement(&self) -> &str {
        self.measurement
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit("remainder", &(self.number % 7).to_string());
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        visit("number", self.number.into());
        visit("text", "about as long as the id of a request is".into());
    }
}

/// Records one point for each number.
pub(crate) fn record(monitor: &Monitor, measurement: &'static str, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        monitor.record(&Numbered { measurement, number });
    }
}

/// Returns the numbers that the server holds. A number that occurs twice fails the test.
pub(crate) async fn stored(influx: &Influx, database: &str, measurement: &str) -> BTreeSet<i64> {
    let result = influx.query(database, &format!("SELECT \"number\" FROM \"{measurement}\"")).await;
    let rows = result["series"][0]["values"].as_array().cloned().unwrap_or_default();
    let numbers: Vec<_> = rows.iter().map(|row| row[1].as_i64().expect("a whole number")).collect();
    let distinct: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len(), "{measurement}: a point was stored twice");
    distinct
}

/// Summarizes which numbers are missing and which are unexpected.
pub(crate) fn difference(expected: &BTreeSet<i64>, found: &BTreeSet<i64>) -> String {
    let missing: Vec<_> = expected.difference(found).collect();
    let strange: Vec<_> = found.difference(expected).collect();
    let some = |numbers: &[&i64]| {
        numbers.iter().take(5).map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
    };
    format!(
        "{} missing ({} …), {} strange ({} …)",
        missing.len(),
        some(&missing),
        strange.len(),
        some(&strange)
    )
}
