//! The body of a request, tracked while a handler reads it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::body_ending::RequestBodyEnding;

pin_project! {
    /// The body of a request that passed a [`TrackBodiesLayer`](crate::layer::TrackBodiesLayer).
    /// Counts the bytes that are read.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        reading: Option<UnfinishedBody>,
    }
}

impl<B: Body> RequestBody<B> {
    pub(crate) fn untracked(inner: B) -> Self {
        Self { inner, reading: None }
    }

    pub(crate) fn new(inner: B, progress: Arc<RequestBodyProgress>) -> Self {
        if inner.is_end_stream() {
            // Such a body may never be polled.
            progress.end(RequestBodyEnding::Complete);
            return Self::untracked(inner);
        }
        let length = inner.size_hint().exact();
        Self { inner, reading: Some(UnfinishedBody { progress, length }) }
    }
}

/// Creates an untracked body.
impl<B: Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), reading: None }
    }
}

impl<B: Body> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(UnfinishedBody { progress, .. }) = &*this.reading else {
            return this.inner.poll_frame(context);
        };
        progress.end(RequestBodyEnding::Unfinished);
        let frame = ready!(this.inner.as_mut().poll_frame(context));
        let ending = match &frame {
            Some(Ok(frame)) => {
                progress.bytes.fetch_add(frame.data_ref().map_or(0, Buf::remaining) as u64, Relaxed);
                (frame.is_trailers() || this.inner.is_end_stream()).then_some(RequestBodyEnding::Complete)
            }
            Some(Err(_)) => Some(RequestBodyEnding::Error),
            None => Some(RequestBodyEnding::Complete),
        };
        if let Some(ending) = ending {
            progress.end(ending);
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

/// A body that has not ended.
#[derive(Debug)]
struct UnfinishedBody {
    progress: Arc<RequestBodyProgress>,
    length: Option<u64>,
}

impl Drop for UnfinishedBody {
    fn drop(&mut self) {
        let Self { progress, length } = self;
        if progress.ending() == RequestBodyEnding::Unfinished {
            let is_whole = *length == Some(progress.bytes());
            progress.end(if is_whole { RequestBodyEnding::Complete } else { RequestBodyEnding::Dropped });
        }
    }
}

/// How much of its request's body a handler has read. It is read when the points are written, while
/// another task may still read the body.
#[derive(Debug)]
pub(crate) struct RequestBodyProgress {
    bytes: AtomicU64,
    ending: AtomicU8,
}

impl RequestBodyProgress {
    pub(crate) fn unread() -> Self {
        Self { bytes: AtomicU64::new(0), ending: AtomicU8::new(RequestBodyEnding::Unread as u8) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn ending(&self) -> RequestBodyEnding {
        let number = self.ending.load(Relaxed);
        ENDINGS.into_iter().find(|ending| *ending as u8 == number).unwrap_or(RequestBodyEnding::Unread)
    }

    fn end(&self, ending: RequestBodyEnding) {
        self.ending.store(ending as u8, Relaxed);
    }
}

const ENDINGS: [RequestBodyEnding; 5] = [
    RequestBodyEnding::Complete,
    RequestBodyEnding::Error,
    RequestBodyEnding::Dropped,
    RequestBodyEnding::Unread,
    RequestBodyEnding::Unfinished,
];
