//! The layers: what an application adds to its router.

use std::{borrow::Cow, sync::Arc};

use http::HeaderName;
use tower::Layer;

use super::{
    callbacks::LayerExtras,
    classify::Classifier,
    config::LayerConfig,
    head::{RequestHead, ResponseHead},
    monitoring_data::MonitoringData,
    service::{MonitoringService, TrackBodiesService, TrackBodyService},
    trace_context::TraceIdSource,
};
use crate::{
    record::{misplaced, recorder::Recorder},
    sync::sharded_arc::ShardedArc,
};

/// Records every request that reaches it, however it ends: with a response, an error, a panic, or
/// not at all.
///
/// Made by [`Monitor::layer`](crate::Monitor::layer). In axum add it last with `Router::layer`, so
/// that it is around every route; routes and fallbacks that are added after it are not seen.
///
/// Two layers of one monitor around one request make one point. The inner layer only refines the
/// route; its classifier and body tracking have no effect. Two layers of different monitors make a
/// point each. A request that a handler sends to a service in the same process has a point of its
/// own: see [requests](crate::docs::requests).
///
/// ```
/// use axum::{Router, routing::get};
/// use http::HeaderName;
///
/// # let monitor = tower_influx::Monitor::disabled();
/// let layer = monitor
///     .layer()
///     .request_id_header(HeaderName::from_static("x-correlation-id"))
///     .propagate_request_id(true);
/// let app: Router = Router::new().route("/version", get(|| async { "1.0" })).layer(layer);
/// ```
///
/// # Cost
///
/// Cloning it and adding it to a service copy a pointer, and its options once for each shard of
/// threads that clones it. See [performance](crate::docs::performance) for what a request pays.
#[derive(Clone, Debug)]
#[must_use]
pub struct MonitoringLayer {
    config: ShardedArc<LayerConfig>,
}

impl MonitoringLayer {
    pub(crate) fn new(recorder: Option<Arc<Recorder>>) -> Self {
        if recorder.is_none() {
            misplaced::note_disabled();
        }
        Self { config: ShardedArc::new(LayerConfig::new(recorder)) }
    }

    /// Replaces the rule that says which requests failed, with which status and error code.
    /// Defaults to [`StatusClassifier`](crate::classify::StatusClassifier), which also judges where
    /// the classifier panics.
    pub fn classifier(self, classifier: impl Classifier) -> Self {
        self.with(|config| config.classifier = Some(Arc::new(classifier)))
    }

    /// Names the route of requests: in a service without axum, around a whole router, below
    /// `nest_service`, or on the client side of a proxy. The name that the function returns wins
    /// over axum's matched path. With `None`, or a panic, the route is the matched path, or the
    /// constant of requests without a route.
    ///
    /// # Cardinality
    ///
    /// The name becomes a tag. Return templates such as `/items/{id}`, never a path as the client
    /// wrote it. Distinct names are capped as the values of extra tags are, with the same overflow
    /// value.
    ///
    /// ```
    /// # let monitor = tower_influx::Monitor::disabled();
    /// let layer = monitor.layer().route(|request| match request.uri.path() {
    ///     "/version" => Some("/version".into()),
    ///     path if path.starts_with("/items/") => Some("/items/{id}".into()),
    ///     _ => None,
    /// });
    /// ```
    pub fn route<F>(self, function: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<Cow<'static, str>> + Send + Sync + 'static,
    {
        self.with(|config| config.route = Some(Arc::new(function)))
    }

    /// Sets the header that a request brings its id in. Defaults to `x-request-id`. Of layers of
    /// different monitors around one request, only the outermost one's is read: their points carry
    /// one id.
    pub fn request_id_header(self, name: HeaderName) -> Self {
        self.with(|config| config.request_id_header = name)
    }

    /// Sets whether the response carries the request's id, in the same header, unless it has one
    /// already. Defaults to false. Costs an allocation where the id was given by the layer.
    pub fn propagate_request_id(self, propagate: bool) -> Self {
        self.with(|config| config.propagate_request_id = propagate)
    }

    /// Sets whether [`MonitoringData`](crate::MonitoringData) is put into the extensions of every
    /// request. Defaults to false.
    ///
    /// Only needed where a middleware between this layer and the handler moves the request to
    /// another task, with `tokio::spawn` or tower's `Buffer`: the extractor and an inner layer of
    /// the same monitor find nothing there otherwise. Costs three or four allocations a request.
    pub fn insert_data(self, insert: bool) -> Self {
        self.with(|config| config.insert_data = insert)
    }

    /// Calls a function with the head of each request, before the inner service sees it. What it
    /// adds to the [`MonitoringData`](crate::MonitoringData) is in the request's points, as if a
    /// handler had added it.
    ///
    /// It runs on the request's path: keep it short. A panic costs what it would have added, and
    /// counts as [`callback_panics`](crate::stats::RecorderStats::callback_panics). A second call
    /// replaces the function.
    ///
    /// # Cardinality
    ///
    /// What a client may choose belongs into a field. Values of tags are capped, as always.
    ///
    /// ```
    /// # let monitor = tower_influx::Monitor::disabled();
    /// let layer = monitor.layer().on_request(|parts, data| {
    ///     data.field("user_agent", parts.headers.get("user-agent").and_then(|agent| agent.to_str().ok()));
    /// });
    /// ```
    pub fn on_request<F>(self, function: F) -> Self
    where
        F: Fn(&RequestHead<'_>, &MonitoringData) + Send + Sync + 'static,
    {
        self.with_extras(|extras| extras.on_request = Some(Arc::new(function)))
    }

    /// Calls a function with the head of each response, before it is judged, with the same rules as
    /// [`on_request`](Self::on_request). A request that ends without a response has none.
    ///
    /// ```
    /// # let monitor = tower_influx::Monitor::disabled();
    /// let layer = monitor.layer().on_response(|parts, data| {
    ///     data.tag("cache", parts.headers.get("x-cache").and_then(|cache| cache.to_str().ok()));
    /// });
    /// ```
    pub fn on_response<F>(self, function: F) -> Self
    where
        F: Fn(&ResponseHead<'_>, &MonitoringData) + Send + Sync + 'static,
    {
        self.with_extras(|extras| extras.on_response = Some(Arc::new(function)))
    }

    /// Sets whether the points get the field `trace_id`, 32 hexadecimal digits, from the request's
    /// header `traceparent` (W3C Trace Context). Defaults to false. A header that is not valid
    /// counts as [`invalid_traces`](crate::stats::RecorderStats::invalid_traces), and its request
    /// gets no such field.
    pub fn trace_id(self, from_header: bool) -> Self {
        let source = if from_header { TraceIdSource::Header } else { TraceIdSource::None };
        self.with_extras(|extras| extras.trace_id = source)
    }

    /// Takes the field `trace_id` from a function, such as one that asks OpenTelemetry for the
    /// current span. With `None` or 0 there is no such field.
    ///
    /// ```
    /// # let monitor = tower_influx::Monitor::disabled();
    /// # #[derive(Clone)] struct Trace(u128);
    /// let layer = monitor.layer().trace_id_from(|parts| parts.extensions.get::<Trace>().map(|trace| trace.0));
    /// ```
    pub fn trace_id_from<F>(self, function: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<u128> + Send + Sync + 'static,
    {
        self.with_extras(|extras| extras.trace_id = TraceIdSource::Function(Arc::new(function)))
    }

    /// Sets whether the points get the fields `request_bytes` and `response_bytes`: the sizes of
    /// the bodies as `content-length` promises them, where it does. Defaults to false.
    ///
    /// Bodies that are [tracked](Self::track_bodies) tell their exact sizes without that header,
    /// too.
    pub fn sizes(self, sizes: bool) -> Self {
        self.with_extras(|extras| extras.sizes = sizes)
    }

    /// Waits for the end of the response's body, and adds fields for the time to its last byte, for
    /// the bytes sent and for how it ended. The points are then written at that end;
    /// `execution_time` keeps its meaning, the time to the head.
    ///
    /// The response's body becomes a [`ResponseBody`](crate::ResponseBody).
    pub fn track_body(self) -> TrackBodyLayer {
        TrackBodyLayer { config: self.with(|config| config.track_body = true).config }
    }

    /// Follows the bodies of requests, too: does what [`track_body`](Self::track_body) does, and
    /// adds fields for the bytes of the request's body that were read and for how far it was read.
    /// A classifier sees the latter as
    /// [`Outcome::request_body`](crate::classify::Outcome::request_body).
    ///
    /// The inner service takes requests with a [`RequestBody`](crate::RequestBody), as axum's
    /// router does. Costs an allocation, and one more where a router boxes the body.
    pub fn track_bodies(self) -> TrackBodiesLayer {
        TrackBodiesLayer { config: self.with(|config| config.track_body = true).config }
    }

    fn with_extras(self, change: impl FnOnce(&mut LayerExtras)) -> Self {
        self.with(|config| {
            let mut extras = config.extras.as_deref().cloned().unwrap_or_default();
            change(&mut extras);
            if let Some(recorder) = &config.recorder {
                extras.declare(recorder);
            }
            config.extras = (!extras.is_empty()).then(|| Arc::new(extras));
        })
    }

    fn with(self, change: impl FnOnce(&mut LayerConfig)) -> Self {
        let mut config = LayerConfig::clone(&self.config);
        change(&mut config);
        Self { config: ShardedArc::new(config.settled()) }
    }
}

impl<S> Layer<S> for MonitoringLayer {
    type Service = MonitoringService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MonitoringService::new(inner, self.config.clone())
    }
}

/// A [`MonitoringLayer`] that follows the response's body to its end. Made by
/// [`MonitoringLayer::track_body`], after all other options.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrackBodyLayer {
    config: ShardedArc<LayerConfig>,
}

impl<S> Layer<S> for TrackBodyLayer {
    type Service = TrackBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TrackBodyService::new(inner, self.config.clone())
    }
}

/// A [`MonitoringLayer`] that follows the bodies of requests and responses. Made by
/// [`MonitoringLayer::track_bodies`], after all other options.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrackBodiesLayer {
    config: ShardedArc<LayerConfig>,
}

impl<S> Layer<S> for TrackBodiesLayer {
    type Service = TrackBodiesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TrackBodiesService::new(inner, self.config.clone())
    }
}
