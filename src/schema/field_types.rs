//! The types of fields. InfluxDB declares a column by its first value, for ever.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    point::{
        schema::{COLUMNS, ColumnType, ERRORS, REQUESTS},
        value::FieldType,
    },
    sync::atomic_hash_set::{self, AtomicHashSet, HashSetEntry},
};

/// The types of all fields that one monitor has seen.
///
/// The first type of a measurement and field name wins, and so does the first kind, tag or field.
/// `requests` and `errors` share their names, since both have the extras of a request. Only points
/// with extras, and the application's own points, are checked.
///
/// Memory is bounded: about 37,000 names in at most 300 KiB, and 512 bytes while there are few.
/// Further names pass unchecked, so that no point is lost that the server would accept. A lookup
/// neither locks nor writes.
#[derive(Debug)]
pub(crate) struct FieldTypes {
    names: AtomicHashSet,
    /// The hash of the measurement `requests`: a random number.
    requests: u64,
    /// Unique within the process.
    number: u64,
}

/// What must be done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeCheck {
    /// The field has the type of its name.
    Keep,
    /// The field is an integer where the column has floats: it is written as a float.
    Widen,
    /// The field has another type: it is left out.
    Conflict,
}

impl FieldTypes {
    /// Returns a number that is unique within the process.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Returns whether a tag may have this name. It may not if a field of the measurement had it
    /// first. Warns about a name's first conflict.
    pub(crate) fn admits_tag(&self, measurement: &[u8], name: &[u8]) -> bool {
        let Some(entry) = self.find(measurement, name, TAG) else { return true };
        if entry.mark() & !WARNED == TAG {
            return true;
        }
        warn_of_kinds(&entry, measurement, name);
        false
    }

    /// Compares a field with the first one of its measurement and name. Warns about a name's first
    /// conflict.
    pub(crate) fn check(&self, measurement: &[u8], name: &[u8], given: FieldType) -> TypeCheck {
        let Some(entry) = self.find(measurement, name, mark(given)) else { return TypeCheck::Keep };
        let first = entry.mark() & !WARNED;
        if first == mark(given) {
            TypeCheck::Keep
        } else if first == mark(FieldType::Float) && given == FieldType::Integer {
            TypeCheck::Widen
        } else if first == TAG {
            warn_of_kinds(&entry, measurement, name);
            TypeCheck::Conflict
        } else {
            if entry.add_to_mark(WARNED) & WARNED == 0 {
                tracing::warn!(
                    target: "tower_influx",
                    measurement = %String::from_utf8_lossy(measurement),
                    field = %String::from_utf8_lossy(name),
                    first_type = name_of(first),
                    this_type = given.name(),
                    "field with a second type left out of points, since InfluxDB would refuse them: the points \
                     are stored without it; give the field one type, or the second type another name (logged \
                     once per field)"
                );
            }
            TypeCheck::Conflict
        }
    }

    /// Finds the entry of this name, or adds it with `mark`. Returns `None` if there is no room.
    fn find(&self, measurement: &[u8], name: &[u8], mark: u8) -> Option<HashSetEntry<'_>> {
        let measurement_hash = match measurement {
            measurement if measurement == REQUESTS.as_bytes() || measurement == ERRORS.as_bytes() => {
                self.requests
            }
            measurement => atomic_hash_set::hash_names(self.requests, measurement),
        };
        // The line break separates both: no encoded name contains one.
        let hash = atomic_hash_set::hash_names(atomic_hash_set::hash_names(measurement_hash, b"\n"), name);
        self.names.find_or_insert(atomic_hash_set::finish(hash), mark)
    }
}

impl Default for FieldTypes {
    /// Contains the tags and fields of this crate's own measurements from the start.
    fn default() -> Self {
        let types = Self {
            names: AtomicHashSet::new(LEVELS),
            requests: RandomState::new().hash_one(REQUESTS),
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
        };
        for (measurement, name, column) in COLUMNS {
            match column {
                ColumnType::Field(field_type) => {
                    types.check(measurement.as_bytes(), name.as_bytes(), field_type);
                }
                ColumnType::Tag => _ = types.admits_tag(measurement.as_bytes(), name.as_bytes()),
            }
        }
        types
    }
}

fn warn_of_kinds(entry: &HashSetEntry<'_>, measurement: &[u8], name: &[u8]) {
    if entry.add_to_mark(WARNED) & WARNED == 0 {
        tracing::warn!(
            target: "tower_influx",
            measurement = %String::from_utf8_lossy(measurement),
            name = %String::from_utf8_lossy(name),
            first_kind = if entry.mark() & !WARNED == TAG { "tag" } else { "field" },
            "name used for a tag and for a field, which InfluxDB would refuse or hide: points are stored without \
             the second kind; rename one of them (logged once per name)"
        );
    }
}

fn mark(field_type: FieldType) -> u8 {
    TYPES.iter().position(|candidate| *candidate == field_type).map_or(0, |at| at as u8) + 1
}

fn name_of(mark: u8) -> &'static str {
    TYPES.get(usize::from(mark).wrapping_sub(1)).map_or("unknown", |field_type| field_type.name())
}

const TYPES: [FieldType; 4] = [FieldType::Float, FieldType::Integer, FieldType::String, FieldType::Boolean];

/// The mark of a name that is a tag: the one after the last type.
const TAG: u8 = TYPES.len() as u8 + 1;

/// The additional bit of a type whose first conflict was logged.
const WARNED: u8 = 0b1000;

const LEVELS: usize = 4;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_log::logged;

    /// A thread's cache of one monitor's types must not be used for another monitor.
    #[test]
    fn types_of_different_monitors_have_different_numbers() {
        let numbers: std::collections::HashSet<_> =
            (0..100).map(|_| FieldTypes::default().number()).collect();
        assert_eq!(numbers.len(), 100);
    }

    #[test]
    fn the_first_type_wins() {
        let types = FieldTypes::default();
        for first in TYPES {
            let name = first.name().as_bytes();
            assert_eq!(types.check(b"jobs", name, first), TypeCheck::Keep);
            for given in TYPES {
                let expected = match (first, given) {
                    _ if first == given => TypeCheck::Keep,
                    (FieldType::Float, FieldType::Integer) => TypeCheck::Widen,
                    _ => TypeCheck::Conflict,
                };
                assert_eq!(types.check(b"jobs", name, given), expected, "{given:?} after {first:?}");
            }
        }
    }

    #[test]
    fn measurements_are_separate_except_requests_and_errors() {
        let types = FieldTypes::default();
        assert_eq!(types.check(b"a", b"bc", FieldType::Float), TypeCheck::Keep);
        assert_eq!(types.check(b"ab", b"c", FieldType::String), TypeCheck::Keep);
        assert_eq!(types.check(REQUESTS.as_bytes(), b"size", FieldType::Integer), TypeCheck::Keep);
        assert_eq!(types.check(ERRORS.as_bytes(), b"size", FieldType::Float), TypeCheck::Conflict);
    }

    #[test]
    fn the_first_kind_wins_and_a_conflict_is_logged_once() {
        let types = FieldTypes::default();
        let log = logged(|| {
            for _ in 0..3 {
                assert!(types.admits_tag(b"jobs", b"plan"));
                assert_eq!(types.check(b"jobs", b"plan", FieldType::String), TypeCheck::Conflict);
                assert_eq!(types.check(b"jobs", b"size", FieldType::Float), TypeCheck::Keep);
                assert!(!types.admits_tag(b"jobs", b"size"));
                assert!(types.admits_tag(b"others", b"size"));
            }
        });
        assert_eq!(log.matches("WARN").count(), 2, "{log}");
        for (name, kind) in [("plan", "tag"), ("size", "field")] {
            let line = format!(r#"measurement=jobs name={name} first_kind="{kind}""#);
            assert!(log.contains(&line), "{log}");
        }
        assert!(!types.admits_tag(REQUESTS.as_bytes(), b"execution_time"));
        assert_eq!(types.check(ERRORS.as_bytes(), b"route", FieldType::String), TypeCheck::Conflict);
    }

    #[test]
    fn fields_of_our_own_measurements_are_known_from_the_start() {
        let types = FieldTypes::default();
        assert_eq!(types.check(REQUESTS.as_bytes(), b"execution_time", FieldType::Integer), TypeCheck::Widen);
        assert_eq!(types.check(ERRORS.as_bytes(), b"request_id", FieldType::Integer), TypeCheck::Conflict);
        assert_eq!(types.check(b"licensing", b"license_period_rest", FieldType::Float), TypeCheck::Conflict);
    }

    #[test]
    fn a_conflict_is_logged_once_per_field_without_values() {
        let types = FieldTypes::default();
        let log = logged(|| {
            for field in [&b"size"[..], b"si\\ ze"] {
                types.check(b"jobs", field, FieldType::Integer);
                for _ in 0..3 {
                    types.check(b"jobs", field, FieldType::String);
                    types.check(b"jobs", field, FieldType::Float);
                }
            }
        });
        assert_eq!(log.matches("WARN").count(), 2, "{log}");
        assert!(
            log.contains(r#"measurement=jobs field=size first_type="integer" this_type="string""#),
            "{log}"
        );
    }

    #[test]
    fn names_beyond_the_bound_pass_unchecked() {
        let types = FieldTypes { names: AtomicHashSet::new(1), ..FieldTypes::default() };
        let verdicts = |given| {
            (0..1_000)
                .filter(|n: &u32| types.check(b"s", &n.to_be_bytes(), given) == TypeCheck::Conflict)
                .count()
        };
        assert_eq!(verdicts(FieldType::Float), 0);
        assert_eq!(verdicts(FieldType::String), 64);
    }
}
