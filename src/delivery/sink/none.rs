//! Nowhere: for the storage `none`, where no point is made.

use crate::delivery::{
    batch::Batch,
    sink::{Sink, SinkFuture, WriteError, Written},
};

/// Takes what never comes.
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
