//! The sink for the storage `none`, for which no point is created.

use crate::delivery::{
    batch::Batch,
    sink::{Sink, SinkFuture, WriteError, Written},
};

/// A sink that never receives a batch.
#[derive(Debug)]
pub(crate) struct NoSink;

impl Sink for NoSink {
    fn write<'a>(&'a self, _batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async { Ok(Written::default()) })
    }

    fn describe(&self) -> String {
        "none".to_owned()
    }
}
