//! The services that the layers make.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{
    body::ResponseBody,
    config::LayerConfig,
    exchange::Exchange,
    future::{ResponseFuture, TrackBodyFuture},
    route::Route,
};

/// A service around another that records every request. Made by [`MonitoringLayer`](crate::MonitoringLayer).
#[derive(Clone, Debug)]
pub struct MonitoringService<S> {
    inner: S,
    config: Arc<LayerConfig>,
}

impl<S> MonitoringService<S> {
    pub(crate) fn new(inner: S, config: Arc<LayerConfig>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for MonitoringService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (exchange, future) = call(&mut self.inner, &self.config, request);
        ResponseFuture::new(future, exchange)
    }
}

/// As [`MonitoringService`], and follows the body. Made by [`TrackBodyLayer`](crate::TrackBodyLayer).
#[derive(Clone, Debug)]
pub struct TrackBodyService<S> {
    inner: S,
    config: Arc<LayerConfig>,
}

impl<S> TrackBodyService<S> {
    pub(crate) fn new(inner: S, config: Arc<LayerConfig>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for TrackBodyService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = TrackBodyFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let head_only = request.method() == http::Method::HEAD;
        let (exchange, future) = call(&mut self.inner, &self.config, request);
        TrackBodyFuture::new(future, exchange, head_only)
    }
}

/// Into its callers, or the inner future, often hundreds of bytes, would be moved once more.
#[inline(always)]
fn call<S, B>(
    inner: &mut S,
    config: &Arc<LayerConfig>,
    mut request: Request<B>,
) -> (Option<Exchange>, S::Future)
where
    S: Service<Request<B>>,
{
    let Some(intake) = &config.intake else { return (None, inner.call(request)) };
    let route;
    match &config.route {
        // Not moved, only looked at: a request is a few hundred bytes.
        None => route = Route::matched(request.extensions()),
        Some(function) => (request, route) = Route::named(function, request),
    }
    let mut exchange = Exchange::start(config, intake, route, &mut request);
    let future = match &mut exchange {
        Some(exchange) => exchange.enter(|| inner.call(request)),
        None => inner.call(request),
    };
    (exchange, future)
}
