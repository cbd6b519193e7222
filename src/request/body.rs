//! The body of a response, tracked to its end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    body_tracking::{Tracked, Tracking},
    classify::BodyEnding,
    exchange::{Exchange, Judged},
};

pin_project! {
    /// The body of a response that passed a [`TrackBodyLayer`](crate::layer::TrackBodyLayer) or a
    /// [`TrackBodiesLayer`](crate::layer::TrackBodiesLayer).
    ///
    /// The points of the request are written when the body ends, fails or is dropped. If the
    /// monitor is shut down before, they are written then.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        // Declared before the tracking: what the body's own drop adds must come before the points
        // are written.
        #[pin]
        inner: B,
        tracking: Tracked,
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) fn untracked(inner: B) -> Self {
        Self { inner, tracking: Tracked::Not }
    }

    /// Creates the body. `length` is the length from the response's head, if it has one.
    pub(crate) fn new(
        inner: B,
        tracked: Option<(Exchange, Judged)>,
        bodiless: bool,
        length: Option<u64>,
    ) -> Self {
        let Some((exchange, judged)) = tracked else { return Self::untracked(inner) };
        // Otherwise hyper takes the length from the body.
        let length = length.or(inner.size_hint().exact());
        let mut tracking = Tracking::new(exchange, judged, length);
        // Such a body may never be polled: hyper first asks whether it has ended.
        if bodiless || inner.is_end_stream() {
            tracking.finish(BodyEnding::Complete, None);
            return Self::untracked(inner);
        }
        // Shared at once: a body that a middleware holds may never be polled.
        Self { inner, tracking: tracking.share() }
    }
}

/// Creates an untracked body. Outer layers use it to answer without the tracked body.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { inner: B::default(), tracking: Tracked::Not }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let (polled, ended) = match this.tracking {
            Tracked::Not => return this.inner.poll_frame(context),
            Tracked::Open(open) => open.poll_frame(this.inner, context),
        };
        if ended {
            *this.tracking = Tracked::Not;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
