//! The body of a response to a call, tracked to its end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::call::Call;
use crate::point::schema::{BODY_COMPLETE, BODY_DROPPED, BODY_ERROR};

pin_project! {
    /// The body of a response that passed a [`TrackBodyClientLayer`](super::TrackBodyClientLayer).
    /// The points of the call are written when the body ends, fails or is dropped.
    #[derive(Debug)]
    pub struct ClientBody<B> {
        #[pin]
        inner: B,
        reading: Option<UnfinishedAnswer>,
    }
}

impl<B: Body> ClientBody<B> {
    pub(super) fn new(inner: B, call: Option<Call>) -> Self {
        let mut reading =
            call.map(|call| UnfinishedAnswer { call, bytes: 0, length: inner.size_hint().exact() });
        // Such a body may never be polled.
        if inner.is_end_stream()
            && let Some(mut reading) = reading.take()
        {
            reading.call.finish_body(BODY_COMPLETE, 0);
        }
        Self { inner, reading }
    }
}

impl<B: Body + Default> Default for ClientBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), reading: None }
    }
}

impl<B: Body> Body for ClientBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(reading) = this.reading else { return this.inner.poll_frame(context) };
        let inner = this.inner.as_mut();
        let frame = ready!(reading.call.run(|| inner.poll_frame(context)));
        let end = match &frame {
            Some(Ok(frame)) => {
                reading.bytes += frame.data_ref().map_or(0, Buf::remaining) as u64;
                (frame.is_trailers() || this.inner.is_end_stream()).then_some(BODY_COMPLETE)
            }
            Some(Err(_)) => Some(BODY_ERROR),
            None => Some(BODY_COMPLETE),
        };
        if let Some(end) = end {
            reading.call.finish_body(end, reading.bytes);
            *this.reading = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body under way. If it is dropped before its end, it is recorded as dropped, unless all of its
/// length was read.
#[derive(Debug)]
struct UnfinishedAnswer {
    call: Call,
    bytes: u64,
    length: Option<u64>,
}

impl Drop for UnfinishedAnswer {
    fn drop(&mut self) {
        let end = if self.length == Some(self.bytes) { BODY_COMPLETE } else { BODY_DROPPED };
        self.call.finish_body(end, self.bytes);
    }
}
