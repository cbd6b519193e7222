//! Where points go.

use std::sync::Arc;

use crate::delivery::{
    sink::{Sink, rejected::RejectedFiles},
    spool::Spool,
};

/// Where points go: what a reload replaces as a whole.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) sink: SinkHandle,
    pub(super) spool: Option<Arc<Spool>>,
    pub(super) rejected: Option<Arc<RejectedFiles>>,
}

/// A sink that can be in a `Debug` struct.
#[derive(Clone)]
pub(super) struct SinkHandle(pub(super) Arc<dyn Sink>);

impl std::fmt::Debug for SinkHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sink")
    }
}
