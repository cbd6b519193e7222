//! The body of a response, followed to its end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    classify::{BodyEnding, BodyOutcome},
    exchange::{Exchange, Judged},
};

pin_project! {
    /// The body of a response that passed a [`TrackBodyLayer`](crate::TrackBodyLayer). The request's points are written when
    /// it ends, fails or is dropped.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        // Before the tracking: what the body's own drop adds must come before the points are written.
        #[pin]
        inner: B,
        tracking: Option<Tracking>,
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) fn untracked(inner: B) -> Self {
        Self { inner, tracking: None }
    }

    /// `length` is what the head of the response has promised, if it did.
    pub(crate) fn new(
        inner: B,
        tracked: Option<(Exchange, Judged)>,
        bodiless: bool,
        length: Option<u64>,
    ) -> Self {
        let mut tracking = tracked.map(|(exchange, judged)| {
            // hyper promises it in the head's place.
            let length = length.or_else(|| inner.size_hint().exact());
            Tracking { exchange, judged: Some(judged), bytes: 0, length }
        });
        // Such a body may never be polled: hyper asks first whether it has ended.
        if (bodiless || inner.is_end_stream())
            && let Some(mut tracking) = tracking.take()
        {
            tracking.finish(BodyEnding::Complete, None);
        }
        Self { inner, tracking }
    }
}

/// An untracked body: what layers outside answer with in the place of the tracked one.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), tracking: None }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(tracking) = this.tracking else { return this.inner.poll_frame(context) };
        let inner = this.inner.as_mut();
        let frame = ready!(tracking.poll(|| inner.poll_frame(context)));
        let ended = match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    tracking.bytes += bytes::Buf::remaining(data) as u64;
                }
                let trailers = frame.trailers_ref();
                // After its last frame a body need not be polled again.
                (trailers.is_some() || this.inner.is_end_stream()).then_some((BodyEnding::Complete, trailers))
            }
            Some(Err(_)) => Some((BodyEnding::Error, None)),
            None => Some((BodyEnding::Complete, None)),
        };
        if let Some((ending, trailers)) = ended {
            tracking.finish(ending, trailers);
            *this.tracking = None;
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

/// The exchange of a body under way. Dropped before its end, it records the body as dropped.
///
/// A server asks for no more than the length that the head or the body has promised, so a body that does not know its own end, such as a
/// file that is read piece by piece, is dropped by it without having ended. All of it was handed over nevertheless.
#[derive(Debug)]
struct Tracking {
    exchange: Exchange,
    /// `Some` until the end.
    judged: Option<Judged>,
    bytes: u64,
    length: Option<u64>,
}

impl Tracking {
    /// Polls the body as part of its request. A panic counts as a failed body.
    fn poll<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let mut polling = Polling { tracking: self, returned: false };
        let entered = polling.tracking.exchange.enter_body();
        let result = poll();
        drop(entered);
        polling.returned = true;
        result
    }

    fn finish(&mut self, ending: BodyEnding, trailers: Option<&HeaderMap>) {
        let Some(judged) = self.judged.take() else { return };
        self.exchange.finish_body(judged, &BodyOutcome { ending, trailers }, self.bytes);
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        let ending = if self.length == Some(self.bytes) { BodyEnding::Complete } else { BodyEnding::Dropped };
        self.finish(ending, None);
    }
}

/// Knows a panic by not having been told of a return.
struct Polling<'a> {
    tracking: &'a mut Tracking,
    returned: bool,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.tracking.finish(BodyEnding::Error, None);
        }
    }
}
