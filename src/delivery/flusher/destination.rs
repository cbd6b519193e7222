//! The destination of points.

use std::sync::Arc;

use crate::delivery::{
    sink::{Sink, rejected::RejectedFiles},
    spool::Spool,
};

/// The destination of points, which a reload replaces as a whole.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) sink: SinkHandle,
    pub(super) spool: Option<Arc<Spool>>,
    pub(super) rejected: Option<Arc<RejectedFiles>>,
}

/// A sink with a `Debug` implementation.
#[derive(Clone)]
pub(super) struct SinkHandle(pub(super) Arc<dyn Sink>);

impl std::fmt::Debug for SinkHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sink")
    }
}
