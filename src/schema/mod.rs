//! What is known of the names in the database: the types of fields, and how many values tags have.

pub(crate) mod cardinality;
pub(crate) mod field_types;
