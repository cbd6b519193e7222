//! The services that record calls.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{
    body::ClientBody,
    call::Call,
    config::ClientConfig,
    future::{ClientFuture, TrackBodyClientFuture},
};

/// A client whose calls are recorded. Created by [`ClientLayer`](super::ClientLayer).
#[derive(Clone, Debug)]
pub struct ClientService<S> {
    inner: S,
    config: Option<Arc<ClientConfig>>,
}

impl<S> ClientService<S> {
    pub(super) fn new(inner: S, config: Option<Arc<ClientConfig>>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for ClientService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ClientFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut call = self.config.as_ref().map(|config| Call::start(config, &mut request));
        let future = match &mut call {
            Some(call) => call.run(|| self.inner.call(request)),
            None => self.inner.call(request),
        };
        ClientFuture::new(future, call)
    }
}

/// A client whose calls are recorded at the end of the response's body. Created by
/// [`TrackBodyClientLayer`](super::TrackBodyClientLayer).
#[derive(Clone, Debug)]
pub struct TrackBodyClientService<S> {
    recorded: ClientService<S>,
}

impl<S> TrackBodyClientService<S> {
    pub(super) fn new(inner: S, config: Option<Arc<ClientConfig>>) -> Self {
        Self { recorded: ClientService::new(inner, config) }
    }
}

impl<S, B, R> Service<Request<B>> for TrackBodyClientService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: 'static,
    R: http_body::Body,
{
    type Response = Response<ClientBody<R>>;
    type Error = S::Error;
    type Future = TrackBodyClientFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.recorded.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        TrackBodyClientFuture::new(self.recorded.call(request))
    }
}
