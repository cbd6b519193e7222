//! The futures of the services.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    adding::number,
    body::ResponseBody,
    classify::Ending,
    exchange::{Entered, Exchange},
};

pin_project! {
    /// The future of a [`MonitoringService`](crate::layer::MonitoringService). If it is dropped
    /// before it is ready, the request is recorded as cancelled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // Declared before the exchange: if the future is dropped while pending, the handler's own
        // timers must stop before the points are written.
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(crate) fn new(inner: F, exchange: Option<Exchange>) -> Self {
        Self { inner, exchange }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.exchange.as_mut().map(Exchange::enter);
        // Read in place: a response has 128 bytes, and each move of it would cost 20 instructions.
        let mut polled = this.inner.poll(context);
        if let (Some(entered), Poll::Ready(Ok(response))) = (&entered, &polled) {
            entered.call_with_response(response);
        }
        Entered::leave_any(entered);
        if let Some(exchange) = this.exchange {
            match &mut polled {
                Poll::Pending => {}
                Poll::Ready(Ok(response)) => exchange.end(response),
                Poll::Ready(Err(_)) => exchange.finish_without_response(Ending::ServiceError),
            }
        }
        polled
    }
}

pin_project! {
    /// The future of a [`TrackBodyService`](crate::layer::TrackBodyService) or a
    /// [`TrackBodiesService`](crate::layer::TrackBodiesService). If it is dropped before it is
    /// ready, the request is recorded as cancelled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct TrackBodyFuture<F> {
        // Declared before the exchange, for the same reason as above.
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
        head_only: bool,
    }
}

impl<F> TrackBodyFuture<F> {
    pub(crate) fn new(response: ResponseFuture<F>, head_only: bool) -> Self {
        let ResponseFuture { inner, exchange } = response;
        Self { inner, exchange, head_only }
    }
}

impl<F, R, E> Future for TrackBodyFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(exchange) = this.exchange else {
            return this.inner.poll(context).map_ok(|response| response.map(ResponseBody::untracked));
        };
        let entered = exchange.enter();
        let polled = this.inner.poll(context);
        if let Poll::Ready(Ok(response)) = &polled {
            entered.call_with_response(response);
        }
        entered.leave();
        let result = ready!(polled);
        let exchange = this.exchange.take();
        Poll::Ready(match result {
            Ok(mut response) => {
                let tracked = exchange.and_then(|mut exchange| {
                    let size = response.body().size_hint().exact();
                    let judged = exchange.judge(&mut response, size)?;
                    Some((exchange, judged))
                });
                // The server sends no body with these responses, and may drop the body without
                // polling it.
                let bodiless = *this.head_only
                    || response.status().is_informational()
                    || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
                let length = response.headers().get(CONTENT_LENGTH).and_then(number);
                Ok(response.map(|body| ResponseBody::new(body, tracked, bodiless, length)))
            }
            Err(error) => {
                if let Some(mut exchange) = exchange {
                    exchange.finish_without_response(Ending::ServiceError);
                }
                Err(error)
            }
        })
    }
}
