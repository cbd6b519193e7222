//! The futures of calls.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{body::ClientBody, call::Call};

pin_project! {
    /// The future of a [`ClientService`](super::ClientService). If it is dropped before it is
    /// ready, the call is recorded as canceled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ClientFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F> ClientFuture<F> {
    pub(super) fn new(inner: F, call: Option<Call>) -> Self {
        Self { inner, call }
    }
}

impl<F, R, E> ClientFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: 'static,
{
    /// Polls for the head of the response. An error ends the call.
    fn poll_head(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Response<R>, E>> {
        let this = self.project();
        let inner = this.inner;
        let Some(call) = this.call else { return inner.poll(context) };
        let polled = ready!(call.run(|| inner.poll(context)));
        match &polled {
            Ok(response) => call.respond(response.status(), response.headers()),
            Err(error) => call.fail(error),
        }
        Poll::Ready(polled)
    }
}

impl<F, R, E> Future for ClientFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: 'static,
{
    type Output = Result<Response<R>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = ready!(self.as_mut().poll_head(context));
        if let Some(call) = self.project().call {
            call.finish();
        }
        Poll::Ready(polled)
    }
}

pin_project! {
    /// The future of a [`TrackBodyClientService`](super::TrackBodyClientService). If it is dropped
    /// before it is ready, the call is recorded as canceled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct TrackBodyClientFuture<F> {
        #[pin]
        inner: ClientFuture<F>,
    }
}

impl<F> TrackBodyClientFuture<F> {
    pub(super) fn new(inner: ClientFuture<F>) -> Self {
        Self { inner }
    }
}

impl<F, R, E> Future for TrackBodyClientFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: 'static,
    R: Body,
{
    type Output = Result<Response<ClientBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = ready!(this.inner.as_mut().poll_head(context));
        let call = this.inner.project().call.take();
        Poll::Ready(polled.map(|response| response.map(|body| ClientBody::new(body, call))))
    }
}
