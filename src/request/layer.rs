//! The layers, and the services, futures and bodies that they make.
//!
//! [`Monitor::layer`](crate::Monitor::layer) makes a [`MonitoringLayer`]. Only code that names the
//! type of a service needs the others.

use std::{borrow::Cow, sync::Arc};

use http::HeaderName;
use tower::Layer;

pub use super::{
    body::ResponseBody,
    future::{ResponseFuture, TrackBodyFuture},
    request_body::RequestBody,
    service::{MonitoringService, TrackBodiesService, TrackBodyService},
};
use super::{
    callbacks::LayerExtras,
    classify::Classifier,
    config::LayerConfig,
    head::{RequestHead, ResponseHead},
    monitoring_data::MonitoringData,
    trace_context::TraceIdSource,
};
use crate::{
    record::{misplaced, recorder::Recorder},
    sync::sharded_arc::ShardedArc,
};

/// Records every request that reaches the layer as one point, however the request ends. It can end
/// with a response, an error or a panic, or be cancelled.
///
/// Created by [`Monitor::layer`](crate::Monitor::layer). In axum, add the layer last with
/// `Router::layer`, so that it is around all routes. Routes and fallbacks that are added after the
/// layer are not recorded.
///
/// If two layers of one monitor are around a request, the request gets one point. The inner layer
/// only refines the route: its classifier and body tracking have no effect. Layers of different
/// monitors record one point each. A request that a handler sends to a service in the same process
/// gets its own point: see [requests](crate::docs::requests).
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
/// Cloning the layer, or adding it to a service, copies a pointer. The first clone on each shard of
/// threads also copies the options. [Performance](crate::docs::performance) has the cost of a
/// request.
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

    /// Replaces the rule for which requests failed, and with which status and error code. Defaults
    /// to [`StatusClassifier`](crate::classify::StatusClassifier), which also judges the request if
    /// the classifier panics.
    pub fn classifier(self, classifier: impl Classifier) -> Self {
        self.with(|config| config.classifier = Some(Arc::new(classifier)))
    }

    /// Sets a function that names the route of a request. Use it in a service without axum, around
    /// a whole router, below `nest_service`, or on the client side of a proxy.
    ///
    /// The name has priority over axum's matched path. If the function returns `None` or panics,
    /// the route is the matched path. Without a matched path, the request is recorded as
    /// `unmatched`.
    ///
    /// # Cardinality
    ///
    /// The name becomes part of a tag. Return templates such as `/items/{id}`, never the path of
    /// the client. The number of distinct names has the same cap and the same overflow value as an
    /// extra tag: see [`tag_values`](crate::settings::Limits::tag_values).
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

    /// Sets the header from which the id of a request is read. Defaults to `x-request-id`.
    ///
    /// If layers of different monitors are around one request, only the header of the outermost
    /// layer is read. All points of the request have the same id.
    pub fn request_id_header(self, name: HeaderName) -> Self {
        self.with(|config| config.request_id_header = name)
    }

    /// Sets whether the response gets the id of the request, in the same header, unless the
    /// response already has one. Defaults to false. Costs one allocation if the layer generated the
    /// id.
    pub fn propagate_request_id(self, propagate: bool) -> Self {
        self.with(|config| config.propagate_request_id = propagate)
    }

    /// Sets whether [`MonitoringData`](crate::MonitoringData) is inserted into the extensions of
    /// every request. Defaults to false.
    ///
    /// Only needed if a middleware between this layer and the handler moves the request to another
    /// task, with `tokio::spawn` or tower's `Buffer`. Without this option, the extractor and an
    /// inner layer of the same monitor do not find the request there. Costs three or four
    /// allocations for each request.
    pub fn insert_data(self, insert: bool) -> Self {
        self.with(|config| config.insert_data = insert)
    }

    /// Calls a function with the head of each request, before the inner service gets the request.
    /// What the function adds to the [`MonitoringData`](crate::MonitoringData) is part of the
    /// points, as if a handler had added it.
    ///
    /// The function runs on the path of the request, so keep it short. A panic is caught and
    /// counted as [`callback_panics`](crate::stats::RecorderStats::callback_panics), and the
    /// request continues. A second call replaces the function.
    ///
    /// # Cardinality
    ///
    /// Put values that a client can choose into fields. The values of tags are capped, as always.
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

    /// Calls a function with the head of each response, before the classifier judges it. The rules
    /// of [`on_request`](Self::on_request) apply. The function is not called for a request that
    /// ends without a response.
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

    /// Sets whether the points get the field `trace_id`, 32 hexadecimal digits, from the header
    /// `traceparent` of the request (W3C Trace Context). Defaults to the setting
    /// [`trace_id`](crate::Settings::trace_id), which is false by default.
    ///
    /// An invalid header is counted as
    /// [`invalid_traces`](crate::stats::RecorderStats::invalid_traces), and its request gets no
    /// such field.
    pub fn trace_id(self, from_header: bool) -> Self {
        let source = if from_header { TraceIdSource::Header } else { TraceIdSource::None };
        self.with_extras(|extras| extras.trace_id = source)
    }

    /// Sets a function that returns the trace id for the field `trace_id`. The function can, for
    /// example, ask OpenTelemetry for the current span. With `None`, 0 or a panic, the points have
    /// no such field.
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

    /// Sets whether the points get the fields `request_bytes` and `response_bytes`, the sizes of
    /// the bodies from the header `content-length`. Defaults to false. A body without that header
    /// has no such field, unless it is [tracked](Self::track_bodies) and knows its exact size.
    pub fn sizes(self, sizes: bool) -> Self {
        self.with_extras(|extras| extras.sizes = sizes)
    }

    /// Follows the body of the response to its end. Adds fields for the time to its last byte, the
    /// bytes sent and how it ended. The points are written at that end. `execution_time` is still
    /// the time to the head of the response.
    ///
    /// The response gets the body type [`ResponseBody`](crate::layer::ResponseBody).
    pub fn track_body(self) -> TrackBodyLayer {
        TrackBodyLayer { config: self.with(|config| config.track_body = true).config }
    }

    /// Follows the bodies of the response and of the request. In addition to
    /// [`track_body`](Self::track_body), adds fields for the bytes of the request's body that were
    /// read and for how its reading ended. A classifier gets the latter as
    /// [`Outcome::request_body`](crate::classify::Outcome::request_body).
    ///
    /// The inner service must accept requests with a [`RequestBody`](crate::layer::RequestBody), as
    /// axum's router does. Costs one allocation, and one more if a router boxes the body.
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

/// A [`MonitoringLayer`] that follows the body of the response to its end. Created by
/// [`MonitoringLayer::track_body`], after all other options are set.
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

/// A [`MonitoringLayer`] that follows the bodies of requests and responses. Created by
/// [`MonitoringLayer::track_bodies`], after all other options are set.
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
