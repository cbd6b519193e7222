//! The shape of a line, which nearly every refusal depends on.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::{line_protocol::Columns, point::schema::COLUMNS};

/// A measurement with its tag keys, and its fields with their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LineShape(u64);

impl LineShape {
    /// Computes the shape of a line. The hash is keyed, since handlers may use names chosen by
    /// clients.
    pub(super) fn of(line: &[u8], keys: &RandomState) -> Self {
        let mut hasher = keys.build_hasher();
        let columns = Columns::of(line);
        columns.measurement().hash(&mut hasher);
        columns.for_each(|column| (column.key, column.kind).hash(&mut hasher));
        Self(hasher.finish())
    }
}

/// Returns whether the measurement is one of this crate.
pub(super) fn is_known_measurement(measurement: &[u8]) -> bool {
    COLUMNS.iter().any(|(known, ..)| known.as_bytes() == measurement)
}

/// Returns whether handlers or settings added the column to a measurement of this crate.
pub(super) fn is_extra(measurement: &[u8], key: &[u8]) -> bool {
    is_known_measurement(measurement)
        && !COLUMNS
            .iter()
            .any(|(known, column, _)| known.as_bytes() == measurement && column.as_bytes() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_names_and_types_and_not_values() {
        let keys = RandomState::new();
        let shape = |line: &str| LineShape::of(line.as_bytes(), &keys);
        let one = shape("requests,route=a,tenant=x execution_time=1,size=1i 5");
        assert_eq!(one, shape("requests,route=b,tenant=y execution_time=-2.5,size=7i 6"));
        for other in [
            "errors,route=a,tenant=x execution_time=1,size=1i 5",
            "requests,route=a execution_time=1,size=1i 5",
            "requests,route=a,tenant=x execution_time=1,size=1 5",
            "requests,route=a,tenant=x execution_time=1,size=\"1i\" 5",
            "requests,route=a,tenant=x execution_time=1 5",
        ] {
            assert_ne!(one, shape(other), "{other}");
        }
    }

    #[test]
    fn only_columns_that_this_crate_does_not_write_are_extras() {
        for (_, key, _) in COLUMNS.iter().filter(|(measurement, ..)| *measurement == "requests") {
            assert!(!is_extra(b"requests", key.as_bytes()), "{key}");
        }
        assert!(is_extra(b"requests", b"tenant") && is_extra(b"errors", b"tenant"));
        assert!(is_extra(b"errors", b"response_time"), "it is a column of other measurements only");
        assert!(
            !is_extra(b"orders", b"tenant"),
            "a point of the application's own means nothing without its fields"
        );
    }
}
