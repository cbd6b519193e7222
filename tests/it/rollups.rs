//! Rollups count every request, whatever becomes of its points.

mod exact;
mod queries;
mod rules;
