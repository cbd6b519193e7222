//! The names in the database: the types of fields, and the number of values of tags.

pub(crate) mod cardinality;
pub(crate) mod field_types;
