//! What handlers add to the points of their own request.

use crate::{
    Limits, Value,
    line_protocol::{
        Changes, EXTRAS_BYTES,
        entries::{Entries, Room},
    },
    point::schema::RESERVED_BY_REQUESTS,
};

/// Extra tags and fields of one request, encoded as they come: recycled, it allocates nothing once it is warm.
///
/// Refused and counted: names of the standard tags and fields, names reserved by InfluxDB, empty names, empty tags, numbers
/// that are none. The last value of a key wins, but one that is refused leaves the earlier one in place. Where a name comes
/// as a tag and as a field, the tag is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(super) entries: Entries,
}

impl Extras {
    /// Sets a tag; a number or boolean becomes its text.
    pub(crate) fn tag(&mut self, key: &'static str, value: Value<'_>, limits: &Limits) -> Changes {
        self.entries.tag(key, &value, room(limits))
    }

    /// Sets a field.
    pub(crate) fn field(&mut self, key: &'static str, value: Value<'_>, limits: &Limits) -> Changes {
        self.entries.field(key, &value, room(limits))
    }

    /// Takes over the tags and fields of another container, as if they were set now.
    pub(crate) fn merge(&mut self, other: &Self, limits: &Limits) -> Changes {
        self.entries.merge(&other.entries, room(limits))
    }

    /// Whether there is nothing to add.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything but keeps the memory, up to 16 KiB of it.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

fn room(limits: &Limits) -> Room<'_> {
    Room { limits, count: limits.extras, bytes: EXTRAS_BYTES, reserved: &RESERVED_BY_REQUESTS }
}
