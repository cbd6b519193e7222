//! The common form in which points serialize: `time`, `measurement`, `tags` and `fields`.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::point::Point;

impl Serialize for dyn Point + '_ {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Maps, so that a duplicate name does not produce a document with a duplicate key.
        let mut tags = BTreeMap::new();
        self.visit_tags(&mut |key, value| {
            if !value.is_empty() {
                tags.insert(key.to_owned(), value.to_owned());
            }
        });
        let mut fields = BTreeMap::new();
        self.visit_fields(&mut |key, value| {
            fields.insert(key.to_owned(), value.into_owned());
        });
        let mut point = serializer.serialize_struct("Point", 4)?;
        point.serialize_field("time", &self.time())?;
        point.serialize_field("measurement", self.measurement())?;
        point.serialize_field("tags", &tags)?;
        point.serialize_field("fields", &fields)?;
        point.end()
    }
}
