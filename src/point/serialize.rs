//! The one form in which points serialize: `time`, `measurement`, `tags` and `fields`.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::point::{Point, Value};

impl Serialize for dyn Point + '_ {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Maps, so that a name that comes twice cannot make a document with a key twice.
        let tags: BTreeMap<Cow<'_, str>, Cow<'_, str>> = self
            .tags()
            .into_iter()
            .filter(|tag| !tag.value.is_empty())
            .map(|tag| (tag.key, tag.value))
            .collect();
        let fields: BTreeMap<Cow<'_, str>, Value<'_>> =
            self.fields().into_iter().map(|field| (field.key, field.value)).collect();
        let mut point = serializer.serialize_struct("Point", 4)?;
        point.serialize_field("time", &self.time())?;
        point.serialize_field("measurement", &self.measurement())?;
        point.serialize_field("tags", &tags)?;
        point.serialize_field("fields", &fields)?;
        point.end()
    }
}
