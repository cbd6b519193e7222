//! Rollups count every request, whatever becomes of its points.

pub(crate) mod exact;
mod queries;
mod rules;
mod sockets;
