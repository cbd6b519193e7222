//! The services of the layers.

use std::task::{Context, Poll};

use http::{Request, Response};
use tower::Service;

use super::{
    body::ResponseBody,
    config::LayerConfig,
    exchange::Exchange,
    future::{ResponseFuture, TrackBodyFuture},
    request_body::RequestBody,
};
use crate::sync::sharded_arc::ShardedArc;

/// A service that records every request to an inner service. Created by
/// [`MonitoringLayer`](crate::MonitoringLayer).
#[derive(Clone, Debug)]
pub struct MonitoringService<S> {
    inner: S,
    config: ShardedArc<LayerConfig>,
}

impl<S> MonitoringService<S> {
    pub(crate) fn new(inner: S, config: ShardedArc<LayerConfig>) -> Self {
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

    // Without closures and helpers that take the request or return the future: both have hundreds
    // of bytes, and each would be copied once more.
    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut exchange = Exchange::start(&self.config, &mut request);
        let Some(running) = &mut exchange else {
            return ResponseFuture::new(self.inner.call(request), exchange);
        };
        let entered = running.enter_with(&self.config, &request);
        let future = self.inner.call(request);
        entered.leave();
        ResponseFuture::new(future, exchange)
    }
}

/// A [`MonitoringService`] that also follows the body of the response. Created by
/// [`TrackBodyLayer`](crate::layer::TrackBodyLayer).
#[derive(Clone, Debug)]
pub struct TrackBodyService<S> {
    monitored: MonitoringService<S>,
}

impl<S> TrackBodyService<S> {
    pub(crate) fn new(inner: S, config: ShardedArc<LayerConfig>) -> Self {
        Self { monitored: MonitoringService::new(inner, config) }
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
        self.monitored.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let head_only = request.method() == http::Method::HEAD;
        TrackBodyFuture::new(self.monitored.call(request), head_only)
    }
}

/// A [`MonitoringService`] that also follows the bodies of the request and the response. Created by
/// [`TrackBodiesLayer`](crate::layer::TrackBodiesLayer).
#[derive(Clone, Debug)]
pub struct TrackBodiesService<S> {
    inner: S,
    config: ShardedArc<LayerConfig>,
}

impl<S> TrackBodiesService<S> {
    pub(crate) fn new(inner: S, config: ShardedArc<LayerConfig>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for TrackBodiesService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: http_body::Body,
    R: http_body::Body,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = TrackBodyFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let head_only = request.method() == http::Method::HEAD;
        let mut exchange = Exchange::start(&self.config, &mut request);
        let future = match &mut exchange {
            None => self.inner.call(request.map(RequestBody::untracked)),
            Some(running) => {
                let progress = running.track_request_body(request.body().size_hint().exact());
                let request = request.map(|body| RequestBody::new(body, progress));
                let entered = running.enter_with(&self.config, &request);
                let future = self.inner.call(request);
                entered.leave();
                future
            }
        };
        TrackBodyFuture::new(ResponseFuture::new(future, exchange), head_only)
    }
}
