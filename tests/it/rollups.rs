//! Rollups count every request, even if its point is lost.

pub(crate) mod exact;
mod last_interval;
mod queries;
mod rules;
mod sockets;
